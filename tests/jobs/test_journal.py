"""The journal: what is acknowledged survives."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from webui.errors import DiskFull, StorageError
from webui.events import Cancelled, Finished
from webui.jobs.job import Job
from webui.jobs.journal import SCHEMA, Journal
from webui.request import Defaults, Request


def job(id: str, group: str = "g", owner: str = "ann") -> Job:
    request = Request(prompt=f"prompt of {id} 'quoted'; drop table jobs;").resolve(Defaults(), "m")
    return Job(id, group, owner, request, datetime.now().astimezone())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".stepwise" / "journal.sqlite"


def test_jobs_come_back_after_a_restart(file: Path) -> None:
    journal = Journal(file)
    one, two, three = job("1"), job("2"), job("3", "other", "bob")
    journal.add([one, two, three])
    one.attempts = 2
    journal.started(one)
    journal.ended(two, Finished(picture="a.png", seconds=1))
    journal.close()

    again = Journal(file)
    assert [(back.id, back.attempts) for back in again.unfinished()] == [("1", 2), ("3", 0)]
    assert again.unfinished()[0].request == one.request and again.unfinished()[0].created == one.created
    ended = again.job("2")
    assert ended is not None and ended.done and ended.last == Finished(picture="a.png", seconds=1)
    assert [back.id for back in again.group("g")] == ["1", "2"]
    assert again.latest("bob") == "other" and again.latest("nobody") is None and again.job("'") is None
    again.close()


def test_a_group_is_written_whole_or_not_at_all(file: Path) -> None:
    journal = Journal(file)
    journal.add([job("1")])
    with pytest.raises(StorageError):
        journal.add([job("2"), job("1")])
    assert [back.id for back in journal.unfinished()] == ["1"]
    journal.ended(job("1"), Cancelled())
    assert journal.unfinished() == []
    journal.close()


def test_a_second_studio_on_the_same_folder_is_refused_with_a_sentence(file: Path) -> None:
    journal = Journal(file)
    with pytest.raises(StorageError, match="in use by another studio"):
        Journal(file)
    journal.close()
    Journal(file).close()


def test_something_that_is_no_journal_is_refused_with_a_sentence(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"not a database, but long enough to be taken for one" * 10)
    with pytest.raises(StorageError, match="cannot be opened"):
        Journal(file)


def test_an_acknowledged_job_survives_kill_9(file: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from tests.jobs.test_journal import Journal, job
journal = Journal(Path(sys.argv[1]))
journal.add([job("kept")])
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code, str(file)], cwd=Path(__file__).parents[2], timeout=60)
    assert ended.returncode == -9
    journal = Journal(file)
    assert [back.id for back in journal.unfinished()] == ["kept"]
    journal.close()


def test_a_journal_that_cannot_be_written_says_what_to_do(file: Path) -> None:
    journal = Journal(file)
    journal.add([one := job("1")])
    journal._db.execute("pragma query_only = on")
    writes: list[Callable[[], None]] = [
        lambda: journal.add([job("2")]),
        lambda: journal.started(one),
        lambda: journal.ended(one, Cancelled()),
    ]
    for write in writes:
        with pytest.raises(StorageError, match="read-only drive"):
            write()
    journal._db.execute("pragma query_only = off")
    pages = journal._db.execute("pragma page_count").fetchone()[0]
    journal._db.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(DiskFull, match="Free some space"):
        journal.add([job(str(k)) for k in range(2, 500)])
    journal.ended(one, Cancelled())
    assert journal.unfinished() == []
    journal.close()


def test_a_journal_from_before_jobs_could_be_moved_is_taken_over(file: Path) -> None:
    file.parent.mkdir()
    old = sqlite3.connect(file)
    old.executescript(SCHEMA.replace(",\n    place    real", ""))
    old.execute(
        "insert into jobs (id, team, owner, created, request) values ('old', 'g', 'ann', ?, ?)",
        (job("old").created.isoformat(), job("old").request.model_dump_json()),
    )
    old.commit()
    old.close()
    journal = Journal(file)
    journal.add([new := job("new")])
    journal.moved([new, *journal.unfinished()[:1]])
    assert [back.id for back in journal.unfinished()] == ["new", "old"]
    journal.close()


def test_jobs_that_are_moved_leave_everybody_elses_places_alone(file: Path) -> None:
    journal = Journal(file)
    jobs = {name: job(name, owner="bob" if name == "x" else "ann") for name in "axbc"}
    journal.add(jobs.values())
    journal.moved([jobs[name] for name in "cab"])
    assert [back.id for back in journal.unfinished()] == ["c", "x", "a", "b"]
    journal.close()
