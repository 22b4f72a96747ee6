"""What a download would bring: every file with its size and checksum, the licence, and whether there is room. Nothing has been fetched."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from webui.errors import DownloadError

RESERVE = 1_000_000_000
"""Bytes that a download leaves free on the disk, for pictures and the journal."""


class File(BaseModel):
    """One file of a download."""

    model_config = ConfigDict(frozen=True)

    path: str
    """Below the download's own folder, with slashes."""
    url: str
    bytes: int
    sha256: str = ""
    """What it must be; empty where nobody says."""


class Offer(BaseModel):
    """A download that somebody may start."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The same for the same files: what has been fetched of them is gone on with."""
    source: str
    """What was asked for."""
    title: str
    name: str
    """Of the folder or the file that it becomes."""
    folder: bool
    """Whether it is a model in a folder, not a single file."""
    files: tuple[File, ...]
    licence: str = ""
    notes: tuple[str, ...] = ()
    """What else to know, a sentence each."""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)


def offer_of(source: str, title: str, name: str, files: Sequence[File], **more: object) -> Offer:
    """An offer with its id."""
    seed = repr([source, *((file.path, file.url, file.bytes, file.sha256) for file in files)])
    id = hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:16]
    return Offer.model_validate({"id": id, "source": source, "title": title, "name": name, "files": tuple(files), **more})


def room(offer: Offer, folder: Path, have: int = 0) -> str:
    """Why there is not enough room on the disk of `folder`, of which `have` bytes have come already; empty if there is."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    missing = offer.bytes - have + RESERVE - free
    if missing <= 0:
        return ""
    return (
        f"It needs {offer.bytes - have:,} bytes, and the disk has {free:,} free, of which {RESERVE:,} are kept for pictures. "
        f"Free {missing:,} bytes, or choose a smaller model."
    )


def safe_name(text: str) -> str:
    """A file's name as strangers say it, fit for any drive.

    Raises:
        DownloadError: nothing is left of it.
    """
    last = PurePosixPath(text.replace("\\", "/")).name
    name = re.sub(r'[<>:"|?*\x00-\x1f]', "-", last).strip(" .-")
    if not name or not name.isprintable():
        raise DownloadError("What lies there has no name that a file can have.")
    stem, dot, ending = name.rpartition(".")
    return f"{stem[:120]}{dot}{ending}" if dot else name[:120]
