"""The denoising as an animation: one cell, or the whole sheet with all cells moving together."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from PIL import Image

from webui.comparison import Comparison
from webui.comparisons.contact import Sheet, Tile
from webui.store.provenance import XMP

Kind = Literal["webp", "gif"]

MOMENTS = 60
"""Most frames of the steps."""

PACE = 120
HOLD = 2000
"""Milliseconds that a frame is shown, and the last one."""

SIDE = 768
"""Longest side of one cell's animation in pixels."""

SAMPLES = 8
"""Frames that a GIF's colours are chosen from."""

PIXELS = 2**20
"""Most pixels of all pictures on the sheet: a browser has to play it, and a message has to carry it."""


class Reel(NamedTuple):
    """A cell's frames as image files, first step first, and its picture; or a sentence where there is none."""

    frames: Sequence[bytes]
    picture: Image.Image | None
    sentence: str = ""


def cell_film(reel: Reel, kind: Kind) -> bytes:
    """The animation of one cell that has a picture: each step's frame at the picture's size, then the picture."""
    assert reel.picture is not None
    last = reel.picture
    scale = min(1.0, SIDE / max(last.size))
    size = max(1, round(last.width * scale)), max(1, round(last.height * scale))
    moments = min(MOMENTS, len(reel.frames))

    def at(k: int) -> Image.Image:
        return _sized(last if k == moments else _opened(reel.frames[_share(k, moments, len(reel.frames)) - 1]), size)

    return _encoded(at, moments + 1, kind)


def sheet_film(comparison: Comparison, reels: Sequence[Reel], size: tuple[int, int], kind: Kind, *, share: bool) -> bytes:
    """The animation of the whole sheet, its cells of `size` pixels or less.

    Args:
        share: all cells begin and end together; otherwise each takes a step at a time, and those with few steps are done first.
    """
    sheet = Sheet(comparison, *size, below=True, pixels=PIXELS)
    longest = max(1, *(len(reel.frames) for reel in reels))
    moments = min(MOMENTS, longest)

    def at(k: int) -> Image.Image:
        step = _share(k, moments, longest)
        return sheet.draw([_moment(reel, _share(k, moments, len(reel.frames)) if share else min(step, len(reel.frames))) for reel in reels])

    return _encoded(at, moments, kind)


def _share(k: int, moments: int, steps: int) -> int:
    """The step, from 1, that is shown at moment `k`, from 0, when all moments together are all steps."""
    return -(-(k + 1) * steps // moments)


def _moment(reel: Reel, step: int) -> Tile:
    """A cell after so many of its steps."""
    if reel.picture is None or not reel.frames:
        return Tile(reel.picture, reel.sentence)
    done = step == len(reel.frames)
    return Tile(reel.picture if done else _opened(reel.frames[step - 1]), "", _count(step, len(reel.frames)))


def _count(step: int, steps: int) -> str:
    return f"{step} of {steps}" if steps else ""


def _opened(frame: bytes) -> Image.Image:
    with Image.open(io.BytesIO(frame)) as file:
        return file.convert("RGB")


def _sized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    picture = picture.convert("RGB")
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _encoded(at: Callable[[int], Image.Image], count: int, kind: Kind) -> bytes:
    """The file of `count` pictures, which are made one by one as the encoder takes them."""
    stream = io.BytesIO()
    shared = {"save_all": True, "duration": [PACE] * (count - 1) + [HOLD], "loop": 0}
    if kind == "webp":
        rest = (at(k) for k in range(1, count))
        at(0).save(stream, "WEBP", append_images=rest, quality=85, method=2, xmp=XMP.encode(), **shared)
        return stream.getvalue()
    palette = _palette([at(k * (count - 1) // (SAMPLES - 1)) for k in range(SAMPLES)])
    first, *others = (at(k).quantize(palette=palette, dither=Image.Dither.NONE) for k in range(count))
    first.save(stream, "GIF", append_images=others, **shared)
    return stream.getvalue()


def _palette(samples: Sequence[Image.Image]) -> Image.Image:
    """256 colours for all frames of a GIF: a palette for each of them takes eight times as long and flickers."""
    width, height = samples[0].size
    together = Image.new("RGB", (width, height * len(samples)))
    for number, sample in enumerate(samples):
        together.paste(sample, (0, number * height))
    return together.reduce(2).quantize(256, Image.Quantize.MEDIANCUT)
