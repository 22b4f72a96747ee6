"""Pictures and their step frames below `outputs/`, one folder per day."""

from __future__ import annotations

import errno
import io
import logging
import re
import secrets
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

from PIL import Image

from webui.errors import DiskFull, NotFound, StorageError, UserError
from webui.request import Resolved
from webui.store import disk, metadata, sheet
from webui.store.record import ENDING, Record

log = logging.getLogger(__name__)

RESERVE = 16 * 2**20
"""Bytes that are left free, so that the journal can always be written."""

COMPRESSION = 3
"""Of a PNG, 0 to 9: a third of the time of the usual 6 for a tenth more bytes."""

LETTERS = 4
"""Of a job's id in the name of its picture."""

NAMES = 100
"""Random parts that are tried before a save is given up."""

NO_PICTURE = "There is no such picture."


class Store:
    """The folder of pictures. Safe between threads and between processes.

    A save leaves a picture and its frames, or nothing: `2026-11-23/153012-7f3a-red-sailboat.png` and `....steps.jpg` beside it.
    """

    def __init__(self, outputs: Path, reserve: int = RESERVE) -> None:
        self.outputs = outputs.absolute()
        self._reserve = reserve

    def check(self) -> None:
        """Make the folder if there is none, try it, and remove what a crash left half-written.

        Raises:
            StorageError: pictures cannot be kept there, and why.
        """
        try:
            self.outputs.mkdir(parents=True, exist_ok=True)
            disk.sweep(self.outputs)
            disk.probe(self.outputs)
            self._room(0)
        except OSError as error:
            raise _refusal(error, str(self.outputs), " Or choose another folder with --outputs.") from None

    def save(
        self,
        request: Resolved,
        rgb: bytes,
        width: int,
        height: int,
        frames: Sequence[bytes],
        seconds: float,
        at: datetime,
        mark: str | None = None,
        how: Mapping[str, str] | None = None,
    ) -> str:
        """Keep a picture with its recipe and its step frames. When this returns it survives a power cut.

        Args:
            rgb: width * height * 3 bytes, row by row.
            frames: an image file per step, all of one size; may be empty.
            seconds: how long the picture took.
            at: local time; day and time of the name.
            mark: a job's id; the name begins with four of its letters, so that `find` knows the picture again.
            how: what else is known of its making, such as the type of the numbers that it was computed in.

        Returns:
            The picture's path below `outputs/`, with forward slashes.

        Raises:
            StorageError: it cannot be written now; nothing of it is left.
        """
        png = encoded(rgb, width, height, request, seconds, at, how)
        steps = _sheet(frames)
        day = f"{at:%Y-%m-%d}"
        try:
            self._room(len(png) + len(steps or b""))
            self._day(day)
            for number in range(NAMES):
                letters = mark[:LETTERS] if mark and not number else secrets.token_hex(LETTERS // 2)
                stem = f"{at:%H%M%S}-{letters}-{slug(request.text)}"
                try:
                    # The picture comes last: whoever sees it finds its frames.
                    disk.place(self.outputs / day, ({f"{stem}.steps.jpg": steps} if steps else {}) | {f"{stem}.png": png})
                    return f"{day}/{stem}.png"
                except FileExistsError:
                    continue
        except OSError as error:
            raise _refusal(error, self.outputs.name) from error
        raise StorageError("No free name was found for the picture.")

    def find(self, mark: str, request: Resolved, since: datetime) -> tuple[str, float] | None:
        """The picture that `save` made of this request with this mark, not before `since`, and the seconds that it took; if any."""
        for file in self.outputs.glob(f"*/*-{mark[:LETTERS]}-{slug(request.text)}.png"):
            name = file.relative_to(self.outputs).as_posix()
            try:
                # The clock of a network drive may be a little behind ours.
                if file.stat().st_mtime >= since.timestamp() - 60 and self.recipe(name) == request:
                    with file.open("rb") as png:
                        return name, metadata.seconds(png)
            except (OSError, UserError):
                continue
        return None

    def path(self, name: str) -> Path:
        """The file of a picture or of its sheet of frames. The name may come from anybody.

        Raises:
            NotFound: there is none of that name below `outputs/`, or it is none of its pictures.
        """
        try:
            root = self.outputs.resolve(strict=True)
            file = (root / name).resolve(strict=True)
            if _visible(name) and _visible(file.relative_to(root).as_posix()) and file.is_file():
                return file
        except (OSError, ValueError, RuntimeError):  # missing, outside, NUL, too long, a loop of links
            pass
        raise NotFound(NO_PICTURE)

    def recipe(self, name: str) -> Resolved:
        """The request that a picture was made from.

        Raises:
            NotFound: there is no such picture.
            UserError: it holds no settings that can be read.
        """
        with self.path(name).open("rb") as file:
            return metadata.recipe(file)

    def frames(self, name: str) -> tuple[bytes, ...]:
        """The step frames of a picture as JPEGs, first step first; empty if it has none.

        Raises:
            NotFound: there is no such picture.
            UserError: the frames are damaged.
        """
        self.path(name)
        try:
            file = self.path(f"{name.removesuffix('.png')}.steps.jpg")
        except NotFound:
            return ()
        return sheet.split(file.read_bytes())

    def record_name(self, id: str, prompt: str, created: datetime) -> str:
        """Where the file of a comparison is, below `outputs/`."""
        return f"{created:%Y-%m-%d}/{created:%H%M%S}-{id[:4]}-{slug(prompt)}{ENDING}"

    def write_record(self, name: str, record: Record) -> None:
        """Keep a comparison beside its pictures, over what was written of it before. Not safe between threads.

        Raises:
            StorageError: it cannot be written now.
        """
        content = record.model_dump_json(indent=1).encode()
        day, _, file = name.partition("/")
        try:
            self._room(len(content))
            self._day(day)
            disk.replace(self.outputs / day, file, content)
        except OSError as error:
            raise StorageError(_reason(error, self.outputs.name)) from error

    def records(self) -> list[str]:
        """The files of all comparisons that are there, below `outputs/`."""
        return sorted(
            f"{file.parent.name}/{file.name}" for file in self.outputs.glob(f"*/[!.]*{ENDING}") if disk.DAY.fullmatch(file.parent.name)
        )

    def record(self, name: str) -> Record | None:
        """One of `records()`, or `None` if it is not what it should be."""
        try:
            return Record.model_validate_json((self.outputs / name).read_bytes())
        except (OSError, ValueError, UserError) as error:
            log.warning("%s is not understood and left aside: %s", name, error)
            return None

    def _room(self, size: int) -> None:
        usage = shutil.disk_usage(self.outputs)
        # Some network drives report nothing.
        if usage.total and usage.free < size + self._reserve:
            raise OSError(errno.ENOSPC, "the reserve would be used")

    def _day(self, day: str) -> None:
        """Make the day's folder, but never `outputs/` itself: if that is gone, its drive may be."""
        folder = self.outputs / day
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            disk.sync(self.outputs)


def slug(prompt: str) -> str:
    """The prompt's first words as part of a file name that every file system takes: at most 38 of a-z, 0-9 and hyphens."""
    plain = unicodedata.normalize("NFKD", prompt[:200]).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(words) > 38:
        words = words[:39].rpartition("-")[0] or words[:38]
    return words or "picture"


def _visible(name: str) -> bool:
    """Whether a path below `outputs/` may be a picture: no hidden part, no drive, no way up, no other kind of file."""
    path = PurePosixPath(name)
    plain = not path.is_absolute() and not any(sign in name for sign in "\\:\0")
    return plain and not any(part.startswith(".") for part in name.split("/")) and path.suffix.lower() in (".png", ".jpg")


def encoded(
    rgb: bytes, width: int, height: int, request: Resolved, seconds: float, at: datetime, how: Mapping[str, str] | None = None
) -> bytes:
    """A picture as the PNG that is saved, with its recipe inside."""
    stream = io.BytesIO()
    Image.frombytes("RGB", (width, height), rgb).save(
        stream, "PNG", pnginfo=metadata.write(request, seconds, at, how), compress_level=COMPRESSION
    )
    return stream.getvalue()


def _sheet(frames: Sequence[bytes]) -> bytes | None:
    try:
        return sheet.join(frames) if frames else None
    except OSError:
        # A picture is never lost because of a preview.
        log.exception("the step frames cannot be read; the picture is kept without them")
        return None


def _refusal(error: OSError, folder: str, more: str = "") -> StorageError:
    kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
    return kind(_reason(error, folder) + more)


def _reason(error: OSError, folder: str) -> str:
    """What the system says, as a sentence that says what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full, so pictures cannot be saved in {folder}. Free some space."
    if error.errno == errno.EROFS:
        return f"{folder} is on a read-only drive, so pictures cannot be saved there. Make it writable."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Pictures cannot be saved in {folder}: permission is denied. Give this account the right to write there."
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"{folder} is not a folder, so pictures cannot be saved there. Rename that file."
    if error.errno == errno.ENOENT:
        return f"The folder {folder} is gone. Bring it back, or reconnect its drive."
    return f"Pictures cannot be saved in {folder}: {(error.strerror or str(error)).lower()}. Check the drive."
