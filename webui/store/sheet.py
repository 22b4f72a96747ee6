"""All step frames of a picture on one JPEG, in rows, first step top left; its comment says how to take it apart.

Cells are multiples of 8 pixels and the colour is not subsampled, so that no JPEG block touches two frames.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Self

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webui.errors import UserError
from webui.store.provenance import XMP

BLOCK = 8
SIDE = 65_500
"""Longest side of a JPEG in pixels."""
PIXELS = 2**25
"""Most pixels of a sheet: a third of a second to decode. Frames that need more are made smaller: 150 of them to about 470 x 470."""
FRAMES = 150
QUALITY = 90
# The same tables for the sheet and for the frames cut from it: encoding again then loses next to nothing.

DAMAGED = "The step frames of this picture are damaged and cannot be shown. The picture itself may be fine."


class Grid(BaseModel):
    """How a sheet is divided: `count` frames of `width` x `height` pixels, `columns` in a row."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    count: int = Field(ge=1, le=FRAMES)
    columns: int = Field(ge=1, le=FRAMES)
    width: int = Field(ge=1, le=SIDE)
    height: int = Field(ge=1, le=SIDE)

    @classmethod
    def of(cls, count: int, width: int, height: int) -> Self:
        """The grid nearest to a square for frames of this size, which shrink if there are too many pixels."""
        scale = min(1.0, math.sqrt(PIXELS / (count * _cell(width) * _cell(height))))
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
        columns = min(count, math.ceil(math.sqrt(count * _cell(height) / _cell(width))))
        return cls(count=count, columns=columns, width=width, height=height)

    @property
    def size(self) -> tuple[int, int]:
        """The sheet's width and height in pixels."""
        return self.columns * _cell(self.width), math.ceil(self.count / self.columns) * _cell(self.height)

    def corner(self, k: int) -> tuple[int, int]:
        """Left and top of frame `k`, counted from 0."""
        return k % self.columns * _cell(self.width), k // self.columns * _cell(self.height)


def _cell(length: int) -> int:
    return math.ceil(length / BLOCK) * BLOCK


def join(frames: Sequence[bytes]) -> bytes:
    """The sheet of 1 to 150 frames, each an image file of the same size.

    Raises:
        OSError: a frame is not an image.
    """
    with Image.open(io.BytesIO(frames[0])) as first:
        grid = Grid.of(len(frames), *first.size)
    sheet = Image.new("RGB", grid.size)
    for k, frame in enumerate(frames):
        with Image.open(io.BytesIO(frame)) as file:
            file.draft("RGB", (grid.width, grid.height))
            picture = file.convert("RGB")
        cell = (_cell(grid.width), _cell(grid.height))
        if cell != (grid.width, grid.height):
            # What is between the frame and the next one is never seen; similar colours there keep the frame's edge clean.
            sheet.paste(picture.resize(cell, Image.Resampling.NEAREST), grid.corner(k))
        if picture.size != (grid.width, grid.height):
            picture = picture.resize((grid.width, grid.height), Image.Resampling.LANCZOS)
        sheet.paste(picture, grid.corner(k))
    return _jpeg(sheet, comment=grid.model_dump_json().encode(), xmp=XMP.encode())


def split(sheet: bytes) -> tuple[bytes, ...]:
    """The frames of a sheet as JPEGs, first step first.

    Raises:
        UserError: this is no sheet, or a damaged one.
    """
    try:
        with Image.open(io.BytesIO(sheet), formats=("JPEG",)) as file:
            grid = Grid.model_validate_json(file.info.get("comment", b""))
            if file.size != grid.size or file.width * file.height > 2 * PIXELS:
                raise UserError(DAMAGED)
            whole = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, ValidationError, Image.DecompressionBombError):
        raise UserError(DAMAGED) from None
    corners = (grid.corner(k) for k in range(grid.count))
    return tuple(_jpeg(whole.crop((left, top, left + grid.width, top + grid.height))) for left, top in corners)


def _jpeg(picture: Image.Image, **more: bytes) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY, subsampling="4:4:4", **more)
    return stream.getvalue()
