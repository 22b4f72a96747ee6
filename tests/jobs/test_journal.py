"""The journal: what is acknowledged survives."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from webui.comparison import Axis, Comparison
from webui.errors import DiskFull, StorageError
from webui.events import Cancelled, Failed, Finished
from webui.jobs.job import Job
from webui.jobs.journal import SCHEMA, ComparisonEntry, Journal
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


def test_jobs_that_another_version_wrote_are_left_aside_and_stay_where_they_are(file: Path) -> None:
    journal = Journal(file)
    journal.add([job(id) for id in ("known", "more", "ended", "when")])
    journal._db.execute("update jobs set request = json_set(request, '$.mood', 'calm') where id = 'more'")
    journal._db.execute("update jobs set ending = '{\"kind\": \"dreamt\"}' where id = 'ended'")
    journal._db.execute("update jobs set created = 'noon' where id = 'when'")
    for jobs in (journal.unfinished(), journal.group("g")):
        assert [back.id for back in jobs] == ["known"]
    assert journal.job("more") is None and journal.latest("ann") == "g"
    assert journal._db.execute("select count(*) from jobs").fetchone() == (4,)
    journal.close()


OLD = """
create table jobs (
    number integer primary key autoincrement, id text not null unique, team text not null, owner text not null, created text not null,
    request text not null, attempts integer not null default 0, ending text
);
create index unfinished on jobs (number) where ending is null;
create index of_owner on jobs (owner, number);
create index of_group on jobs (team);
"""
"""The journal of version 0.1.0, before there were comparisons."""

STEPS = Comparison(request=Request(prompt="a boat", seed=3), axes=(Axis(field="steps", values=(4, 8)),))


def entry(id: str, owner: str = "ann", comparison: Comparison = STEPS, hour: int = 12) -> ComparisonEntry:
    # Other offsets from Greenwich: what counts is the moment.
    return ComparisonEntry(id, owner, datetime(2026, 11, 25, hour, tzinfo=timezone(timedelta(hours=hour - 12))), comparison)


def test_a_journal_from_before_there_were_comparisons_opens_with_its_jobs(file: Path) -> None:
    file.parent.mkdir()
    old = sqlite3.connect(file)
    old.executescript(OLD)
    row = ("1", "g", "ann", datetime.now().astimezone().isoformat(), job("1").request.model_dump_json())
    old.execute("insert into jobs (id, team, owner, created, request) values (?, ?, ?, ?, ?)", row)
    old.commit()
    old.close()
    journal = Journal(file)
    assert [back.id for back in journal.unfinished()] == ["1"] and journal.comparisons() == [] and journal.rates("cpu") == {}
    journal.add([job("2", "c")], entry("c"))
    assert journal.latest("ann") == "g"
    journal.close()


def test_a_comparison_and_its_cells_are_written_together_or_not_at_all(file: Path) -> None:
    journal = Journal(file)
    born_failed = job("2", "c")
    born_failed.append(Failed(message="It cannot be run."))
    journal.add([job("1", "c"), born_failed], entry("c"))
    with pytest.raises(StorageError):
        journal.add([job("3", "d"), job("1", "d")], entry("d"))
    journal.close()
    again = Journal(file)
    assert again.comparison("c") == entry("c") and again.comparison("d") is None
    assert [back.id for back in again.unfinished()] == ["1"]
    assert [back.last.kind for back in again.group("c")] == ["queued", "failed"]
    longer = STEPS.extended([16])
    again.add([job("4", "c")], entry("c", comparison=longer))
    assert again.comparison("c") == entry("c", comparison=longer) and [back.id for back in again.group("c")] == ["1", "2", "4"]
    again.close()


def test_comparisons_are_listed_newest_first_by_their_owner_and_say_whether_they_are_finished(file: Path) -> None:
    journal = Journal(file)
    for number, (id, owner, hour) in enumerate([("a", "ann", 14), ("b", "bob", 13), ("c", "ann", 12)]):
        journal.add([job(str(number), id, owner)], entry(id, owner, hour=hour))
    journal.ended(job("0"), Finished(picture="a.png", seconds=1))
    # All three were begun at twelve in Greenwich; ties keep an order of their own.
    assert [(one.id, finished) for one, finished in journal.comparisons("ann")] == [("a", True), ("c", False)]
    journal.add([job("9", "z")], entry("z", hour=12)._replace(created=datetime(2026, 11, 25, 14, 1, tzinfo=timezone(timedelta(hours=2)))))
    assert [one.id for one, _ in journal.comparisons("ann")] == ["z", "a", "c"] and len(journal.comparisons()) == 4
    assert journal.latest("ann") is None
    journal.close()


def test_an_acknowledged_comparison_survives_kill_9(file: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from tests.jobs.test_journal import Journal, entry, job
journal = Journal(Path(sys.argv[1]))
journal.add([job("kept", "c")], entry("c"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code, str(file)], cwd=Path(__file__).parents[2], timeout=60)
    assert ended.returncode == -9
    journal = Journal(file)
    assert journal.comparison("c") == entry("c") and [back.id for back in journal.group("c")] == ["kept"]
    journal.close()
