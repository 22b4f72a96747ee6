"""The contact sheet: all cells in their places under their heads, as a picture to keep or to send."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from webui.comparison import Comparison
from webui.comparisons.lettering import EMPTY, FAINT, INK, LINE, PAPER, font_for, wrapped, write
from webui.request import title

MARGIN = 16
GAP = 8
NARROWEST = 112
"""Width of a cell in pixels, at least: its head has to fit above it."""
HEAD_LINES = 3
SIDE_WIDTH = 160
"""Of the heads of rows, in pixels, at most."""
PIXELS = 2**24
"""Most pixels of a sheet; cells that need more are made smaller."""
LONGEST = 16383
"""Pixels of a sheet's side, at most: WebP takes no more."""
WORDS = 1024
"""What a side keeps for heads, margins and words, at most."""


class Tile(NamedTuple):
    """What stands in a cell: a picture, or a sentence in its place; and a few words below."""

    picture: Image.Image | None
    sentence: str = ""
    below: str = ""


class Sheet:
    """Where everything is on the sheet of a comparison whose cells are `width` x `height` pixels."""

    def __init__(self, comparison: Comparison, width: int, height: int, *, below: bool = False, pixels: int = PIXELS) -> None:
        self._comparison = comparison
        columns, rows = len(comparison.columns), len(comparison.rows)
        room = ((LONGEST - WORDS) / columns - GAP) / width, ((LONGEST - WORDS) / rows - GAP - LINE) / height
        scale = min(1.0, *room, math.sqrt(pixels / (columns * max(width, NARROWEST) * rows * height)))
        self.tile = max(1, int(width * scale)), max(1, int(height * scale))
        """Width and height of a picture on it."""
        self._cell = max(self.tile[0], NARROWEST), self.tile[1] + (LINE if below else 0)
        self._side = min(SIDE_WIDTH, max(math.ceil(font_for(head).getlength(head)) for head in comparison.rows))
        self._left = MARGIN + (self._side + GAP if self._side else 0)
        across = self._left + columns * (self._cell[0] + GAP) - GAP + MARGIN
        words = wrapped(_about(comparison), across - 2 * MARGIN, 4), wrapped(_settings(comparison), across - 2 * MARGIN, 3)
        heads = max(len(wrapped(head, self._cell[0], HEAD_LINES)) for head in comparison.columns)
        self._top = MARGIN + (len(words[0]) + len(words[1])) * LINE + GAP + heads * LINE + GAP // 2
        self._words, self._heads = words, heads
        self.size = across, self._top + rows * (self._cell[1] + GAP) - GAP + MARGIN

    def draw(self, tiles: Sequence[Tile]) -> Image.Image:
        """The sheet with these tiles, row by row."""
        sheet = Image.new("RGB", self.size, PAPER)
        draw = ImageDraw.Draw(sheet)
        width = self.size[0] - 2 * MARGIN
        write(draw, (MARGIN, MARGIN), _about(self._comparison), width, 4)
        write(draw, (MARGIN, MARGIN + len(self._words[0]) * LINE), _settings(self._comparison), width, 3, FAINT)
        for column, head in enumerate(self._comparison.columns):
            lines = len(wrapped(head, self._cell[0], HEAD_LINES))
            top = self._top - GAP // 2 - lines * LINE
            write(draw, (self._corner(0, column)[0], top), head, self._cell[0], HEAD_LINES, middle=True)
        for row, head in enumerate(self._comparison.rows):
            write(draw, (MARGIN, self._corner(row, 0)[1]), head, self._side, max(1, self._cell[1] // LINE))
        for cell, tile in zip(self._comparison.cells(), tiles, strict=True):
            self._place(sheet, draw, self._corner(cell.row, cell.column), tile)
        return sheet

    def _corner(self, row: int, column: int) -> tuple[int, int]:
        return self._left + column * (self._cell[0] + GAP), self._top + row * (self._cell[1] + GAP)

    def _place(self, sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], tile: Tile) -> None:
        (left, top), (width, height) = corner, self.tile
        left += (self._cell[0] - width) // 2
        if tile.picture is None:
            draw.rectangle((corner[0], top, corner[0] + self._cell[0] - 1, top + height - 1), fill=EMPTY)
            room = self._cell[0] - 2 * GAP
            write(draw, (corner[0] + GAP, top + GAP), tile.sentence, room, max(1, (height - 2 * GAP) // LINE), FAINT)
        else:
            picture = tile.picture.convert("RGB")
            # Where models differ in their size, a picture keeps its shape.
            scale = min(width / picture.width, height / picture.height)
            fitted = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
            if fitted != picture.size:
                picture = picture.resize(fitted, Image.Resampling.LANCZOS)
            sheet.paste(picture, (left + (width - fitted[0]) // 2, top + (height - fitted[1]) // 2))
        if tile.below:
            write(draw, (corner[0], top + height + 2), tile.below, self._cell[0], 1, FAINT, middle=True)


def strip(frames: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """Frames beside each other, each with its words below; all as tall as the last one, the picture."""
    width, height = frames[-1][0].size
    cell = max(width, NARROWEST)
    sheet = Image.new("RGB", (2 * MARGIN + len(frames) * (cell + GAP) - GAP, 2 * MARGIN + height + LINE), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (frame, words) in enumerate(frames):
        left = MARGIN + number * (cell + GAP)
        picture = frame.convert("RGB")
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + (cell - width) // 2, MARGIN))
        write(draw, (left, MARGIN + height + 2), words, cell, 1, INK, middle=True)
    return sheet


def _about(comparison: Comparison) -> str:
    """The prompt, or what varies in its place."""
    return "Prompts compared" if comparison.varies("prompt") else comparison.request.prompt or "No prompt"


def _settings(comparison: Comparison) -> str:
    """What all cells have in common, in one line."""
    request = comparison.request
    parts = [
        f"{title(field)} {value:.10g}"
        if isinstance(value, int | float)
        else f"{title(field)}: {value}"
        if field == "negative"
        else str(value)
        for field in ("sampler", "schedule", "steps", "guidance", "seed", "model", "negative")
        if (value := getattr(request, field)) not in (None, "") and not comparison.varies(field)
    ]
    size = [f"{request.width} x {request.height}"] if request.width and request.height else []
    return ", ".join(parts + size)
