"""Pictures on their way to a disk that refuses: kept, told, offered, saved in their order as soon as there is room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from webui.errors import DiskFull, StorageError
from webui.events import Cancelled, Event, Failed, Finished, Rendered, Waiting
from webui.jobs import keeper as module
from webui.jobs.job import Job
from webui.jobs.keeper import Keeper
from webui.request import Defaults, Request

PICTURE = Rendered(width=1, height=1, rgb=b"rgb", seconds=2.0)


def job(name: str) -> Job:
    return Job(name, "group", "ann", Request().resolve(Defaults(), "m"), datetime.now().astimezone())


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)


class Disk:
    """A store and a journal that refuse as long as `error` or `journal_error` is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.journal_error: StorageError | None = None
        self.saved: list[str] = []
        self.journaled: list[tuple[str, Event]] = []
        self.freed = 0
        self.busy = threading.Event()
        self.keeper = Keeper(self._save, self._finish, self._free)

    def _save(self, job: Job, picture: Rendered) -> str:
        if self.error is not None:
            raise self.error
        self.saved.append(job.id)
        return f"{job.id}.png"

    def _finish(self, job: Job, ending: Event) -> None:
        if self.journal_error is not None:
            raise self.journal_error
        self.journaled.append((job.id, ending))
        job.append(ending)

    def _free(self) -> None:
        self.freed += 1


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setattr(module, "RETRY", 0.01)
    disk = Disk()
    yield disk
    disk.keeper.close()


def test_a_picture_is_saved_journaled_and_then_finished(disk: Disk) -> None:
    one = job("a")
    disk.keeper.keep(one, PICTURE)
    assert one.wait(30) == Finished(picture="a.png", seconds=2.0) == disk.journaled[0][1]
    until(lambda: disk.keeper.held("a") is None)
    assert disk.keeper.trouble is None and not disk.keeper.full


def test_all_that_wait_for_room_say_so_can_be_had_and_are_saved_in_order(disk: Disk) -> None:
    disk.error = DiskFull("The disk is full. Free some space.")
    jobs = [job(name) for name in "abc"]
    for one in jobs:
        disk.keeper.keep(one, PICTURE)
    until(lambda: all(isinstance(one.last, Waiting) for one in jobs))
    for one in jobs:
        assert isinstance(one.last, Waiting) and one.last.download
        assert one.last.reason.startswith("Waiting for disk space. The disk is full. Free some space. The picture is kept in memory")
        assert disk.keeper.held(one.id) is PICTURE
    time.sleep(0.05)
    assert [len(one.events) for one in jobs] == [2, 2, 2], "told once, not at every try"
    disk.error = None
    assert all(isinstance(one.wait(30), Finished) for one in jobs)
    assert disk.saved == ["a", "b", "c"]
    until(lambda: disk.freed == 1)
    assert disk.keeper.trouble is None


def test_another_reason_is_told_anew(disk: Disk) -> None:
    one = job("a")
    for reason in ("The folder outputs is gone.", "outputs is on a read-only drive."):
        disk.error = StorageError(reason)
        if reason.startswith("The"):
            disk.keeper.keep(one, PICTURE)
        until(lambda reason=reason: isinstance(one.last, Waiting) and one.last.reason.startswith(reason))  # type: ignore[misc]


def test_a_journal_without_room_does_not_save_the_picture_twice(disk: Disk) -> None:
    disk.journal_error = DiskFull("The disk is full.")
    one = job("a")
    disk.keeper.keep(one, PICTURE)
    until(lambda: isinstance(one.last, Waiting))
    time.sleep(0.05)
    disk.journal_error = None
    assert isinstance(one.wait(30), Finished) and disk.saved == ["a"] and len(disk.journaled) == 1


def test_an_end_that_the_journal_refused_is_written_later(disk: Disk) -> None:
    disk.journal_error = DiskFull("The disk is full.")
    one = job("a")
    one.append(Cancelled())
    disk.keeper.end(one, Cancelled())
    time.sleep(0.05)
    disk.journal_error = None
    until(lambda: disk.journaled == [("a", Cancelled())])
    assert disk.saved == []


def test_a_picture_that_waits_for_room_can_be_given_up(disk: Disk) -> None:
    disk.error = DiskFull("The disk is full.")
    one = job("a")
    disk.keeper.keep(one, PICTURE)
    until(lambda: disk.keeper.trouble is not None)
    until(lambda: disk.keeper.drop(one))
    assert disk.keeper.held("a") is None and disk.keeper.trouble is None and not disk.keeper.drop(one)


def test_with_much_in_memory_no_more_is_begun(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", 2 * len(PICTURE.rgb))
    disk.error = DiskFull("The disk is full.")
    disk.keeper.keep(job("a"), PICTURE)
    until(lambda: disk.keeper.trouble is not None)
    assert not disk.keeper.full
    disk.keeper.keep(job("b"), PICTURE)
    assert disk.keeper.full
    disk.error = None
    until(lambda: not disk.keeper.full)


def test_a_bug_ends_one_job_and_not_the_keeper(disk: Disk) -> None:
    disk.error = ZeroDivisionError()
    bad, good = job("bad"), job("good")
    disk.keeper.keep(bad, PICTURE)
    last = bad.wait(30)
    assert isinstance(last, Failed) and "The log has the details" in last.message
    assert disk.journaled == [("bad", last)], "or it would be made again at the next start"
    disk.journal_error = StorageError("The journal is gone.")
    worse = job("worse")
    disk.keeper.keep(worse, PICTURE)
    assert isinstance(worse.wait(30), Failed)
    disk.error = disk.journal_error = None
    disk.keeper.keep(good, PICTURE)
    assert isinstance(good.wait(30), Finished)


def test_it_ends_with_everything_saved_or_at_once_if_the_disk_refuses(disk: Disk) -> None:
    jobs = [job(str(k)) for k in range(20)]
    for one in jobs:
        disk.keeper.keep(one, PICTURE)
    disk.keeper.close()
    assert all(one.done for one in jobs)
    refused = Disk()
    refused.error = DiskFull("The disk is full.")
    one = job("kept")
    refused.keeper.keep(one, PICTURE)
    until(lambda: refused.keeper.trouble is not None)
    refused.keeper.close()
    assert not one.done
