"""What is remembered of people from one run to the next, in SQLite below `outputs/`: readable by this account alone."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from webui.errors import StorageError, refused

log = logging.getLogger(__name__)

SCHEMA = """
create table if not exists people (id text primary key, name text not null, colour text not null, role text not null);
create table if not exists sessions (digest text primary key, person text not null, made real not null, ended integer not null default 0);
create table if not exists links (role text primary key, secret text not null);
create table if not exists settings (name text primary key, value text not null);
create table if not exists shown (job text primary key, owner text not null, shown integer not null, picture text unique);
create index if not exists owners on shown (owner);
"""
# Sessions as digests and the password as its scrypt hash; the two links as they are, since the owner is shown them again.

Statement = tuple[str, tuple[Any, ...]]


class Register:
    """One SQLite file, or memory when `file` is `None`. Safe between threads; the journal beside it keeps other studios away.

    Raises:
        StorageError: the file cannot be opened.
    """

    def __init__(self, file: Path | None) -> None:
        self._lock = threading.Lock()
        try:
            self._db = _opened(file)
        except sqlite3.OperationalError as error:
            raise StorageError(f"{file} cannot be opened: {error}. Check the drive.") from None
        except sqlite3.DatabaseError:
            assert file is not None
            spoilt = file.with_suffix(".damaged")
            file.replace(spoilt)
            log.warning("%s is damaged and was put aside as %s: everybody signs in anew, with new links", file, spoilt.name)
            self._db = _opened(file)

    def read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows that a query finds.

        Raises:
            StorageError: the disk does not give them.
        """
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise StorageError(f"The list of people cannot be read: {error}. Check the drive.") from None

    def write(self, *statements: Statement) -> None:
        """Run statements, all or none.

        Raises:
            StorageError: the disk does not take them; nothing was written.
        """
        with self._lock:
            try:
                self._db.execute("begin immediate")
                for query, values in statements:
                    self._db.execute(query, values)
                self._db.execute("commit")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise refused("The list of people", error) from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _opened(file: Path | None) -> sqlite3.Connection:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Before SQLite makes it: its own files beside it take over who may read them.
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        file.chmod(0o600)
    db = sqlite3.connect(file or ":memory:", timeout=1, check_same_thread=False, isolation_level=None)
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
        db.executescript(SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db
