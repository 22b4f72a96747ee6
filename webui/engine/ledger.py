"""What has been read of each file, kept on disk, so that ten thousand files need not be opened again at every start.

SQLite and not one JSON file: a checksum that was computed is one row that changes, not ten megabytes written anew; a kill in between leaves
the row before it; and `webui models` may read while the studio writes. It is a cache: whatever is wrong with it, it begins anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from webui.engine.catalogue import Model

log = logging.getLogger(__name__)

SCHEMA = """
create table if not exists entries (path blob primary key, stamp text not null, model text not null) without rowid;
create table if not exists sums (path blob primary key, stamp text not null, whole text not null, body text not null) without rowid;
create table if not exists reader (code text not null);
"""

FIELDS = set(Model.model_fields) - {"sha256", "body"}


class Sum(NamedTuple):
    """Checksums of a file, in hexadecimal."""

    stamp: str
    whole: str
    body: str
    """Without the header of a .safetensors file."""


class Ledger:
    """What was read of each path at which stamp. Safe between threads; without a file, or where it cannot be used, in memory."""

    def __init__(self, file: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._db = _opened(file)

    def entries(self) -> dict[Path, Model]:
        """Every path with what was read of it, at the model's `stamp`."""
        with self._lock:
            rows = self._db.execute("select path, model from entries").fetchall()
        found: dict[Path, Model] = {}
        for path, text in rows:
            try:
                found[Path(os.fsdecode(path))] = Model.model_validate_json(text)
            except ValidationError:
                continue  # read again, as if it were new
        return found

    def sums(self) -> dict[Path, Sum]:
        """Every path with its checksums."""
        with self._lock:
            rows = self._db.execute("select path, stamp, whole, body from sums").fetchall()
        return {Path(os.fsdecode(path)): Sum(*row) for path, *row in rows}

    def keep(self, models: Mapping[Path, Model], gone: Iterable[Path]) -> None:
        """Write what was read, and strike out what is there no longer."""
        rows = [
            (os.fsencode(path), one.stamp, one.model_dump_json(include=FIELDS, exclude_defaults=True))
            for path, one in models.items()
            if str(path).isprintable()  # else its name is no text
        ]
        left = [(os.fsencode(path),) for path in gone]
        if rows or left:
            self._write(("insert or replace into entries values (?, ?, ?)", rows), ("delete from entries where path = ?", left))

    def summed(self, path: Path, sum: Sum) -> None:
        """Write a file's checksums."""
        self._write(("insert or replace into sums values (?, ?, ?, ?)", [(os.fsencode(path), *sum)]))

    def close(self) -> None:
        """Nothing is written after this."""
        with self._lock:
            self._db.close()

    def _write(self, *commands: tuple[str, Sequence[tuple[object, ...]]]) -> None:
        with self._lock:
            try:
                with self._db:
                    for command, rows in commands:
                        self._db.executemany(command, rows)
            except sqlite3.Error as error:
                # A full disk, or a studio that is just ending: it is read again the next time.
                log.warning("what was read of the models could not be kept: %s", error)


def _opened(file: Path | None) -> sqlite3.Connection:
    for attempt in ("as it is", "anew"):
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                if attempt == "anew":
                    file.unlink(missing_ok=True)
            db = sqlite3.connect(file or ":memory:", timeout=5, check_same_thread=False)
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = normal")
            db.executescript(SCHEMA)
            _renewed(db)
        except (sqlite3.Error, OSError) as error:
            log.warning("%s cannot be used (%s)", file, error)
            continue
        return db
    return _opened(None)


def _renewed(db: sqlite3.Connection) -> None:
    """Another version of what reads may read something else: all is read anew then. Checksums stay."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    code = digest.hexdigest()
    with db:
        if db.execute("select code from reader").fetchall() != [(code,)]:
            db.execute("delete from entries")
            db.execute("delete from reader")
            db.execute("insert into reader values (?)", (code,))
