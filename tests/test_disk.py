"""A real drive that is full or read-only under a running studio: a sentence, the picture in memory, and nothing lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.fake import ANN, BOB, FakeWorker
from tests.store.test_faults import small_drive
from tests.test_studio import PROMPT, until
from webui.errors import NotFound, StorageError
from webui.events import Cancelled, Finished, Waiting
from webui.jobs import keeper
from webui.settings import Settings
from webui.store import store as store_module
from webui.studio import Studio

__all__ = ["small_drive"]  # a fixture


@pytest.fixture
def drive(small_drive: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """4 MB, of which a studio leaves 1 MB to the journal."""
    monkeypatch.setattr(store_module, "RESERVE", 2**20)
    monkeypatch.setattr(store_module.Store.__init__, "__defaults__", (2**20,))
    monkeypatch.setattr(keeper, "RETRY", 0.05)
    return small_drive


@pytest.fixture
def studio(drive: Path, settings: Settings) -> Iterator[Studio]:
    studio = Studio(settings.model_copy(update={"outputs": drive / "outputs"}), FakeWorker(pace=0.002))
    studio.start()
    yield studio
    studio.close()


def fill(drive: Path) -> Path:
    """Take all the room there is."""
    filler = drive / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return filler
    raise AssertionError("the drive does not fill up")


def test_a_full_disk_keeps_the_picture_offers_it_and_saves_it_when_there_is_room(studio: Studio, drive: Path) -> None:
    (before,) = studio.submit([PROMPT])
    assert isinstance(before.wait(60), Finished)
    jobs = studio.submit(PROMPT.model_copy(update={"seed": 1, "steps": 100}).series(3), ANN)
    filler = fill(drive)
    until(lambda: all(isinstance(job.last, Waiting) and job.last.download for job in jobs))
    assert isinstance(jobs[0].last, Waiting) and jobs[0].last.reason.startswith("Waiting for disk space. The disk is full")
    assert studio.trouble is not None and "disk is full" in studio.trouble
    kept = studio.download(jobs[0].id, ANN)
    with Image.open(BytesIO(kept)) as picture:
        assert picture.size == (256, 256) and picture.info["stepwise"]
    with pytest.raises(NotFound):
        studio.download(jobs[0].id, BOB)
    assert not list(drive.glob("outputs/*/.*.saving"))
    # The journal cannot take more jobs either, and says so.
    with pytest.raises(StorageError, match=r"The disk is full.*Free some space"):
        for _ in range(200):
            studio.submit([PROMPT.model_copy(update={"prompt": "x" * 20_000})] * 64)
    filler.unlink()
    assert all(isinstance(job.wait(60), Finished) for job in jobs)
    assert [studio._store.recipe(job.last.picture).seed for job in jobs if isinstance(job.last, Finished)] == [1, 2, 3]
    until(lambda: studio.trouble is None)
    with Image.open(BytesIO(studio.download(jobs[0].id, ANN))) as picture:
        picture.load()


def test_a_picture_that_waits_for_room_can_be_given_up(studio: Studio, drive: Path) -> None:
    (job,) = studio.submit([PROMPT.model_copy(update={"steps": 100})])
    filler = fill(drive)
    until(lambda: isinstance(job.last, Waiting) and job.last.download)

    def given_up() -> bool:
        studio.cancel([job.id], made=True)  # in vain while it is being tried to be written
        return job.done

    studio.cancel([job.id])
    assert not job.done, "Stop ends what is being made, and this is made"
    until(given_up)
    assert isinstance(job.last, Cancelled)
    filler.unlink()
    (after,) = studio.submit([PROMPT])
    assert isinstance(after.wait(60), Finished) and len(list(drive.glob("outputs/*/*.png"))) == 1


def test_with_much_in_memory_the_engine_rests_and_those_who_wait_are_told_why(
    studio: Studio, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "HELD", 10 * 256 * 256 * 3)
    jobs = studio.submit([PROMPT.model_copy(update={"steps": 100, "seed": k}) for k in range(30)])
    filler = fill(drive)
    until(lambda: studio._keeper.full and not studio._running)
    waiting = list(studio._line)
    assert 30 - 10 - 8 <= len(waiting) <= 30 - 10
    until(lambda: all(isinstance(job.last, Waiting) and "disk is full" in job.last.reason for job in waiting))
    assert not any(job.last.download for job in waiting if isinstance(job.last, Waiting))
    filler.unlink()
    assert all(isinstance(job.wait(60), Finished) for job in jobs)


def test_a_restart_with_a_full_disk_makes_the_picture_again(drive: Path, settings: Settings) -> None:
    settings = settings.model_copy(update={"outputs": drive / "outputs"})
    first = Studio(settings, FakeWorker(pace=0.002))
    first.start()
    (job,) = first.submit([PROMPT.model_copy(update={"seed": 7, "steps": 100})])
    filler = fill(drive)
    until(lambda: isinstance(job.last, Waiting) and job.last.download)
    first.close()
    with pytest.raises(StorageError, match=r"The disk is full.*Or choose another folder"):
        Studio(settings, FakeWorker())
    filler.unlink()
    second = Studio(settings, FakeWorker(pace=0.002))
    second.start()
    last = second.job(job.id).wait(60)
    assert isinstance(last, Finished) and second._store.recipe(last.picture).seed == 7
    second.close()


def test_a_folder_that_turns_read_only_is_told_and_the_picture_saved_when_it_is_not(studio: Studio, drive: Path) -> None:
    (before,) = studio.submit([PROMPT])
    last = before.wait(60)
    assert isinstance(last, Finished)
    day = studio.pictures.file(last.picture).parent
    # The day's folder alone: a whole drive cannot be made read-only while the journal is open on it.
    subprocess.run(["mount", "--bind", str(day), str(day)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(day)], check=True)
        (job,) = studio.submit([PROMPT])
        until(lambda: isinstance(job.last, Waiting) and job.last.download)
        assert isinstance(job.last, Waiting) and job.last.reason.startswith("outputs is on a read-only drive")
        assert studio.download(job.id).startswith(b"\x89PNG")
    finally:
        subprocess.run(["umount", "-l", str(day)], check=True)
    assert isinstance(job.wait(60), Finished)


def test_a_read_only_folder_is_refused_at_the_start(drive: Path, settings: Settings) -> None:
    (drive / "outputs").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(drive)], check=True)
    with pytest.raises(StorageError, match=r"is on a read-only drive.*Or choose another folder with --outputs\."):
        Studio(settings.model_copy(update={"outputs": drive / "outputs"}), FakeWorker())
