"""What can be taken away from a comparison, each as the bytes of a file: contact sheet, difference map, strip, animation."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from webui.comparisons.comparisons import Compared, error_of, recorded
from webui.comparisons.contact import Sheet, Tile, strip
from webui.comparisons.film import PIXELS as FILM_PIXELS
from webui.comparisons.film import Kind, Reel, cell_film, sheet_film
from webui.comparisons.measures import FULL, difference
from webui.errors import NotFound, NotYet, UserError
from webui.events import Finished
from webui.jobs.job import Job
from webui.store import metadata
from webui.store.store import Store

STRIP = 6
"""Frames of a strip, the picture among them."""

NO_CELL = "There is no such cell. Cells are counted from 0, row by row."
NOT_YET = "This cell has no picture yet."
NO_PICTURE = "This cell has no picture."
DAMAGED = "The picture of this cell is damaged."


def sheet(compared: Compared, store: Store) -> bytes:
    """The contact sheet as PNG, with the comparison inside. Cells without a picture say why."""
    plan = Sheet(compared.comparison, *_largest(compared))
    return _png(plan.draw([_tile(job, store, plan.tile) for job in compared.jobs]), metadata.write_comparison(recorded(compared)))


def difference_map(compared: Compared, a: int, b: int, store: Store) -> bytes:
    """Where the pictures of two cells differ, as PNG.

    Raises:
        NotFound, NotYet, UserError: there is no such cell, it has no picture, or the pictures are not of one size.
    """
    pictures = [picture_of(job, store) for job in (_job(compared, a), _job(compared, b))]
    about = f"Difference of cells {a} and {b}: from black for none to the brightest colour for {FULL} of 255 or more."
    return _png(difference(*pictures), metadata.write_description(about))


def six_frames(compared: Compared, cell: int, store: Store) -> bytes:
    """From noise to picture: five of a cell's step frames and its picture, as PNG.

    Raises:
        NotFound, NotYet, UserError: there is no such cell, or it has no picture.
    """
    job = _job(compared, cell)
    picture, frames = picture_of(job, store), _frames(job, store)
    count = len(frames)
    # The last frame is the picture in small: it is the picture itself that stands for it.
    shown = min(STRIP - 1, max(0, count - 1))
    steps = [1 + k * (count - 1) // shown for k in range(shown)]
    row = [(_image(frames[step - 1]), f"step {step} of {count}") for step in steps]
    about = metadata.write_description(f"Steps of one run: {job.request.text}")
    return _png(strip([*row, (picture, f"step {count} of {count}" if count else "picture")]), about)


def animation(compared: Compared, cell: int | None, kind: Kind, store: Store, *, share: bool = False) -> bytes:
    """The denoising of one cell, or of the whole sheet, as an animated file.

    Raises:
        NotFound, NotYet, UserError: there is no such cell, or it has no picture.
    """
    if cell is not None:
        job = _job(compared, cell)
        return cell_film(Reel(_frames(job, store), picture_of(job, store)), kind)
    if not compared.finished:
        raise NotYet("The animation of the whole sheet comes when all of its pictures are finished.")
    room = Sheet(compared.comparison, *_largest(compared), below=True, pixels=FILM_PIXELS).tile
    reels = [Reel(_frames(job, store), *_tile(job, store, room)[:2]) for job in compared.jobs]
    if all(reel.picture is None for reel in reels):
        raise NotFound(NO_PICTURE)
    return sheet_film(compared.comparison, reels, room, kind, share=share)


def picture_of(job: Job, store: Store) -> Image.Image:
    """A job's picture.

    Raises:
        NotFound, NotYet, UserError: it has none, or none yet, or it is damaged.
    """
    last = job.last
    if not job.done:
        raise NotYet(NOT_YET)
    if not isinstance(last, Finished):
        raise NotFound(f"{NO_PICTURE} {error_of(last) or ''}".strip())
    try:
        with Image.open(store.path(last.picture)) as file:
            return file.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        raise UserError(DAMAGED) from None


def _job(compared: Compared, cell: int) -> Job:
    if not 0 <= cell < len(compared.jobs):
        raise NotFound(NO_CELL)
    return compared.jobs[cell]


def _tile(job: Job, store: Store, room: tuple[int, int]) -> Tile:
    """A job's picture, no larger than there is room for it, so that 64 large ones need not be in memory together."""
    try:
        picture = picture_of(job, store)
        picture.thumbnail(room, Image.Resampling.LANCZOS)
        return Tile(picture)
    except UserError as error:
        return Tile(None, error_of(job.last) or error.message)


def _frames(job: Job, store: Store) -> Sequence[bytes]:
    """A finished job's step frames, from memory or from its sheet; none if they are gone."""
    if not isinstance(job.last, Finished):
        return ()
    try:
        return job.frames or store.frames(job.last.picture)
    except UserError:
        return ()


def _largest(compared: Compared) -> tuple[int, int]:
    """Room for the picture of every cell."""
    return max(job.request.width for job in compared.jobs), max(job.request.height for job in compared.jobs)


def _image(frame: bytes) -> Image.Image:
    with Image.open(io.BytesIO(frame)) as file:
        return file.convert("RGB")


def _png(picture: Image.Image, info: PngInfo) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", pnginfo=info, compress_level=6)
    return stream.getvalue()
