"""The denoising as an animation: one cell, or the whole sheet with all cells moving together."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from PIL import Image

from webui.comparison import Comparison
from webui.comparisons.contact import Sheet, Tile
from webui.store.provenance import XMP

Kind = Literal["webp", "gif"]

MOMENTS = 60
"""Most frames before the last one."""

PACE = 120
HOLD = 2000
"""Milliseconds that a frame is shown, and the last one."""

SIDE = 768
"""Longest side of one cell's animation in pixels."""

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
    scale = min(1.0, SIDE / max(reel.picture.size))
    size = max(1, round(reel.picture.width * scale)), max(1, round(reel.picture.height * scale))
    count = len(reel.frames)
    moments = min(MOMENTS, count)
    chosen = (_opened(reel.frames[-(-(k + 1) * count // moments) - 1]) for k in range(moments))
    return _encoded((_sized(picture, size) for picture in (*chosen, reel.picture)), moments + 1, kind)


def sheet_film(comparison: Comparison, reels: Sequence[Reel], size: tuple[int, int], kind: Kind, *, share: bool) -> bytes:
    """The animation of the whole sheet, its cells of `size` pixels or less.

    Args:
        share: all cells begin and end together; otherwise each takes a step at a time, and those with few steps are done first.
    """
    sheet = Sheet(comparison, *size, below=True, pixels=PIXELS)
    longest = max((len(reel.frames) for reel in reels), default=0)
    moments = min(MOMENTS, longest)

    def pictures() -> Iterator[Image.Image]:
        for k in range(1, moments + 1):
            at = -(-k * longest // moments)
            yield sheet.draw([_moment(reel, -(-len(reel.frames) * k // moments) if share else min(at, len(reel.frames))) for reel in reels])
        yield sheet.draw([Tile(reel.picture, reel.sentence, _count(len(reel.frames), len(reel.frames))) for reel in reels])

    return _encoded(pictures(), moments + 1, kind)


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


def _encoded(pictures: Iterator[Image.Image], count: int, kind: Kind) -> bytes:
    """The file; the frames are made one by one, as the encoder takes them."""
    stream = io.BytesIO()
    first = next(pictures)
    shared = {"save_all": True, "append_images": pictures, "duration": [PACE] * (count - 1) + [HOLD], "loop": 0}
    if kind == "webp":
        first.save(stream, "WEBP", quality=85, method=2, xmp=XMP.encode(), **shared)
    else:
        first.save(stream, "GIF", **shared)
    return stream.getvalue()
