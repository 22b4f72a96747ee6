"""The folder `wildcards/`: one text file per wildcard, one option per line, folders within folders."""

from __future__ import annotations

import difflib
from itertools import islice
from pathlib import Path

from webui.errors import InvalidRequest
from webui.prompts.draw import Deck, deck
from webui.request import UNSEEN

FILE_LIMIT = 2_000_000
"""Bytes of a file."""

LISTED = 10_000
"""Files that are looked through for names."""


class Wildcards:
    """Read when they are drawn from, and again when they have changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, tuple[tuple[int, int], Deck]] = {}

    def names(self) -> list[str]:
        """All that there are, in order."""
        files = islice(self._folder.rglob("*.txt"), LISTED) if self._folder.is_dir() else iter(())
        return sorted(file.relative_to(self._folder).with_suffix("").as_posix() for file in files)

    def deck(self, name: str) -> Deck:
        """What the wildcard of that name is drawn from; lines that begin with `#`, and empty ones, are left out.

        Raises:
            InvalidRequest: there is none, or its file is empty, too large or no text.
        """
        file = self._folder / f"{name}.txt"
        if any(part in ("", ".", "..") for part in name.split("/")) or not _is_file(file):
            near = difflib.get_close_matches(name, self.names(), 3, 0.4)
            hint = f"Did you mean: {', '.join(near)}?" if near else f"Make the file wildcards/{name}.txt, one option per line."
            raise InvalidRequest(f"There is no wildcard called {name!r}. {hint} To write underscores, put a backslash before them.")
        try:
            state = file.stat()
            mark = (state.st_mtime_ns, state.st_size)
            if self._kept.get(name, (None,))[0] != mark:
                self._kept[name] = (mark, _read(name, file, state.st_size))
        except OSError as error:
            raise InvalidRequest(f"wildcards/{name}.txt cannot be read: {error.strerror}.") from None
        return self._kept[name][1]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the drive takes
        return False


def _read(name: str, file: Path, size: int) -> Deck:
    if size > FILE_LIMIT:
        raise InvalidRequest(f"wildcards/{name}.txt has more than {FILE_LIMIT // 1_000_000} MB. Split it into several.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest(f"wildcards/{name}.txt is not UTF-8 text. Save it as UTF-8.") from None
    lines = [UNSEEN.sub("", line).strip() for line in text.split("\n")]
    found = deck(line for line in lines if line and not line.startswith("#"))
    if not found.lines:
        raise InvalidRequest(f"wildcards/{name}.txt has no lines to draw from. Write one option per line.")
    return found
