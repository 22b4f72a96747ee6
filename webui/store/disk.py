"""Files that are there whole or not at all, whatever happens in between: a full disk, a kill, a power cut."""

from __future__ import annotations

import errno
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

SAVING = ".saving"
"""Ends the name of a file that is being written; it begins with a dot. So whoever looks for *.png sees whole ones alone."""

FOLDERLESS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
"""What a drive answers that cannot put a folder on the disk by itself."""

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

if sys.platform == "win32":

    def hold(file: int) -> None:
        """Nothing to do: Windows does not delete a file that is open."""

    def let_go(file: BinaryIO) -> None:
        """Close a file, as Windows neither renames nor deletes one that is open."""
        file.close()

else:
    import fcntl

    def hold(file: int) -> None:
        """Mark an open file as in use, for as long as its process lives.

        Raises:
            BlockingIOError: it is in use already.
        """
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def let_go(file: BinaryIO) -> None:
        """Nothing to do: an open file can be renamed and deleted, and stays marked meanwhile."""


def place(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all of these files into `folder`, or none; when this returns they survive a power cut.

    They appear one by one, whole, in the order given: whoever sees the last one finds the others too.

    Raises:
        FileExistsError: one of the names is taken; nothing is ever overwritten.
        OSError: the disk refused.
    """
    with ExitStack() as temporary, ExitStack() as undo:
        ready = {name: temporary.enter_context(_written(folder / f".{name}{SAVING}", content)) for name, content in files.items()}
        for name, file in ready.items():
            _name(file, folder / name)
            undo.callback((folder / name).unlink, missing_ok=True)
        sync(folder)
        undo.pop_all()


def replace(folder: Path, name: str, content: bytes) -> None:
    """Write a file over the one of its name, if there is one: whoever looks sees the old one or the new one, whole.

    Not safe between threads that write the same name.

    Raises:
        OSError: the disk refused; the old one is still there.
    """
    temporary = folder / f".{name}{SAVING}"
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    sync(folder)


@contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """A new file with this content, on the disk; it is gone afterwards."""
    with path.open("xb") as file:
        try:
            with suppress(OSError):  # A file system without locks: `sweep` leaves its leftovers alone.
                hold(file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            let_go(file)
            yield path
        finally:
            let_go(file)
            path.unlink(missing_ok=True)


def _name(file: Path, final: Path) -> None:
    """Give a finished file its name, which must be free."""
    try:
        os.link(file, final)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, some network drives). The temporary name was created exclusively and belongs to this final name alone,
        # so no other studio can be between these two lines with the same one.
        if final.exists():
            raise FileExistsError(final) from None
        file.rename(final)


def sync(folder: Path) -> None:
    """Put the folder's list of names on the disk. Windows has no such call and needs none; some network drives refuse it for folders."""
    if sys.platform != "win32":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        except OSError as error:
            if error.errno not in FOLDERLESS:
                raise
        finally:
            os.close(file)


def probe(folder: Path) -> None:
    """Write a small file, read it back, remove it.

    Raises:
        OSError: one of the three failed.
    """
    content = secrets.token_bytes(4096)
    with _written(folder / f".{secrets.token_hex(8)}{SAVING}", content) as file:
        if file.read_bytes() != content:
            raise OSError(f"{file} did not read back as it was written")


def sweep(outputs: Path) -> None:
    """Remove what a killed process left half-written; files that a living one holds stay."""
    days = [path for path in outputs.iterdir() if DAY.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]
    for folder in (outputs, *days):
        for path in folder.glob(f".*{SAVING}"):
            if path.is_file() and not path.is_symlink():
                _remove(path)


def _remove(leftover: Path) -> None:
    final = leftover.with_name(leftover.name[1:].removesuffix(SAVING))
    with suppress(OSError), leftover.open("r+b") as file:
        hold(file.fileno())
        let_go(file)
        if final.name.endswith(".steps.jpg") and not final.with_name(final.name.replace(".steps.jpg", ".png")).exists():
            final.unlink(missing_ok=True)
        leftover.unlink()
