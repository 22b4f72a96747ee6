"""The journal: every acknowledged job, on disk before the acknowledgement. SQLite in WAL mode, one transaction per change.

It holds requests and how they ended, not previews: those are on the picture's sheet of frames once it is finished.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from webui.comparison import Comparison
from webui.errors import StorageError, UserError, refused
from webui.events import EVENT, Event
from webui.jobs.job import Job
from webui.jobs.rates import Kind
from webui.request import Resolved

log = logging.getLogger(__name__)

SCHEMA = """
create table if not exists jobs (
    number   integer primary key autoincrement,
    id       text not null unique,
    team     text not null,
    owner    text not null,
    created  text not null,
    request  text not null,
    attempts integer not null default 0,
    ending   text,
    place    real
);
create index if not exists unfinished on jobs (number) where ending is null;
create index if not exists of_owner on jobs (owner, number);
create index if not exists of_group on jobs (team);
create table if not exists comparisons (
    id         text primary key,
    owner      text not null,
    created    text not null,
    comparison text not null
) without rowid;
create table if not exists rates (
    device   text not null,
    kind     text not null,
    together integer not null,
    seconds  real not null,
    primary key (device, kind, together)
) without rowid;
"""
# "group" is a word of SQL's own, hence "team". `place` is where a job that was moved stands among the numbers. A comparison's id is the
# group of its jobs. All of this is made where it is missing, so that a journal from before opens as it is.

COLUMNS = "id, team, owner, created, request, attempts, ending"


class ComparisonEntry(NamedTuple):
    """A comparison as it was asked for; its cells are the jobs of the group `id`."""

    id: str
    owner: str
    created: datetime
    comparison: Comparison


class Journal:
    """Jobs in one SQLite file, or in memory when `file` is `None` (for a command that ends with its pictures).

    Raises:
        StorageError: the file cannot be opened, or another studio has it open.
    """

    def __init__(self, file: Path | None) -> None:
        self._lock = threading.Lock()
        where = f"The journal in {file.parent}" if file else "The journal"
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file or ":memory:", timeout=1, check_same_thread=False, isolation_level=None)
            # One studio per outputs folder: the lock is the database's own and dies with the process.
            self._db.execute("pragma locking_mode = exclusive")
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.executescript(SCHEMA)
            if "place" not in [column[1] for column in self._db.execute("pragma table_info(jobs)")]:
                self._db.execute("alter table jobs add column place real")  # a journal from before jobs could be moved
            self._db.execute("begin immediate")
            self._db.execute("commit")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StorageError(
                    f"{where} is in use by another studio. Stop that one, or choose another folder with --outputs."
                ) from None
            raise StorageError(f"{where} cannot be opened: {error}.") from None
        except (OSError, sqlite3.DatabaseError) as error:
            raise StorageError(f"{where} cannot be opened: {error}. Move it elsewhere to begin a new one; the pictures stay.") from None

    def add(self, jobs: Iterable[Job], entry: ComparisonEntry | None = None) -> None:
        """Write new jobs, all or none, and the comparison that they belong to. When this returns they survive a power cut.

        A job that has ended already is written with its end: a cell that cannot be run, a picture that was found again.

        Raises:
            StorageError: the disk does not take them; nothing was written.
        """
        rows = [
            (job.id, job.group, job.owner, job.created.isoformat(), job.request.model_dump_json(), job.attempts, _ending(job))
            for job in jobs
        ]
        with self._lock:
            try:
                self._db.execute("begin immediate")
                self._db.executemany(f"insert into jobs ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)", rows)
                if entry is not None:
                    self._db.execute(
                        "insert into comparisons values (?, ?, ?, ?) on conflict (id) do update set comparison = excluded.comparison",
                        (entry.id, entry.owner, entry.created.isoformat(), entry.comparison.model_dump_json()),
                    )
                self._db.execute("commit")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise refused("The journal", error) from None

    def started(self, job: Job) -> None:
        """The job enters an engine once more, or has left it by no fault of its own.

        Raises:
            StorageError: the disk does not take it.
        """
        self._write([("update jobs set attempts = ? where id = ?", (job.attempts, job.id))])

    def ended(self, job: Job, event: Event) -> None:
        """The job's last event.

        Raises:
            StorageError: the disk does not take it.
        """
        self._write([("update jobs set ending = ? where id = ?", (event.model_dump_json(), job.id))])

    def moved(self, jobs: Sequence[Job]) -> None:
        """These jobs wait in this order from now on: they exchange their places among themselves, and nobody else's changes.

        Raises:
            StorageError: the disk does not take it.
        """
        marks = ", ".join("?" * len(jobs))
        with self._lock:
            query = f"select coalesce(place, number) from jobs where id in ({marks}) order by 1"
            places = [row[0] for row in self._db.execute(query, [job.id for job in jobs])]
        self._write([("update jobs set place = ? where id = ?", (place, job.id)) for place, job in zip(places, jobs, strict=True)])

    def unfinished(self) -> list[Job]:
        """Jobs without an end, in the order in which they wait: what a restart goes on with."""
        return self._read("where ending is null order by coalesce(place, number)")

    def job(self, id: str) -> Job | None:
        """One job as it stands on disk."""
        return next(iter(self._read("where id = ?", id)), None)

    def group(self, group: str) -> list[Job]:
        """Jobs that were submitted together, in their order."""
        return self._read("where team = ? order by number", group)

    def latest(self, owner: str) -> str | None:
        """The group that `owner` submitted last; comparisons aside."""
        latest = "select team from jobs where owner = ? and team not in (select id from comparisons) order by number desc limit 1"
        with self._lock:
            row = self._db.execute(latest, (owner,)).fetchone()
        return row and str(row[0])

    def comparison(self, id: str) -> ComparisonEntry | None:
        """One comparison."""
        with self._lock:
            row = self._db.execute("select * from comparisons where id = ?", (id,)).fetchone()
        return row and _readable(row)

    def comparisons(self, owner: str | None = None) -> list[tuple[ComparisonEntry, bool]]:
        """The owner's comparisons, or everybody's, newest first, and whether every cell has ended."""
        ended = "not exists (select 1 from jobs where team = comparisons.id and ending is null)"
        query = f"select *, {ended} from comparisons where owner = ? or ? is null order by julianday(created) desc, id"
        with self._lock:
            rows = self._db.execute(query, (owner, owner)).fetchall()
        return [(entry, bool(row[4])) for row in rows if (entry := _readable(row[:4]))]

    def rates(self, device: str) -> dict[tuple[Kind, int], float]:
        """What was measured on this device, as `Rates.known` says it."""
        with self._lock:
            rows = self._db.execute("select kind, together, seconds from rates where device = ?", (device,)).fetchall()
        return {(Kind(*json.loads(kind)), together): seconds for kind, together, seconds in rows}

    def keep_rates(self, device: str, rates: Mapping[tuple[Kind, int], float]) -> None:
        """Write what was measured over what is there."""
        rows = [(device, json.dumps(kind), together, seconds) for (kind, together), seconds in rates.items()]
        with self._lock:
            try:
                self._db.execute("begin immediate")
                self._db.executemany("insert or replace into rates values (?, ?, ?, ?)", rows)
                self._db.execute("commit")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                log.warning("what was measured is not kept: %s", error)

    def close(self) -> None:
        """Close the file; the journal is not usable afterwards."""
        with self._lock:
            self._db.close()

    def _write(self, statements: Sequence[tuple[str, tuple[object, ...]]]) -> None:
        with self._lock:
            try:
                self._db.execute("begin immediate")
                for statement, values in statements:
                    self._db.execute(statement, values)
                self._db.execute("commit")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise refused("The journal", error) from None

    def _read(self, where: str, *values: object) -> list[Job]:
        with self._lock:
            rows = self._db.execute(f"select {COLUMNS} from jobs {where}", values).fetchall()
        return [job for row in rows if (job := _job(row))]


def _ending(job: Job) -> str | None:
    return job.last.model_dump_json() if job.done else None


def _readable(row: tuple[str, str, str, str]) -> ComparisonEntry | None:
    """A comparison, or `None` if another version wrote what this one does not know."""
    id, owner, created, comparison = row
    try:
        return ComparisonEntry(id, owner, datetime.fromisoformat(created), Comparison.model_validate_json(comparison))
    except (ValueError, UserError) as error:
        log.warning("comparison %s is left aside: %s", id, error)
        return None


def _job(row: tuple[str, str, str, str, str, int, str | None]) -> Job | None:
    """A job, or `None` as for comparisons. Its row stays: the version that wrote it goes on with it."""
    id, group, owner, created, request, attempts, ending = row
    try:
        job = Job(id, group, owner, Resolved.model_validate_json(request), datetime.fromisoformat(created), attempts=attempts)
        if ending is not None:
            job.append(EVENT.validate_json(ending))
    except (ValueError, UserError) as error:
        log.warning("job %s is left aside: %s", id, error)
        return None
    return job
