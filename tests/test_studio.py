"""The studio with a fake engine: what is acknowledged ends, once, with its picture."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.fake import ANN, BOB, FakeWorker
from webui.errors import InvalidRequest, ModelError, NotAllowed, NotFound, StorageError, UserError
from webui.events import Cancelled, Failed, Finished, Interrupted, Waiting
from webui.jobs.job import ATTEMPTS
from webui.jobs.keeper import HELD_WORDS
from webui.people import OWNER
from webui.request import Request
from webui.settings import Settings
from webui.store.store import Store
from webui.studio import BATCH_LIMIT, Studio

PROMPT = Request(prompt="a red sailboat", steps=4, model="fake")


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, "waited for a minute"
        time.sleep(0.005)


def test_a_request_ends_with_its_picture_and_its_recipe(studio: Studio) -> None:
    (job,) = studio.submit([PROMPT])
    last = job.wait(60)
    assert isinstance(last, Finished)
    assert [event.kind for event in job.events] == ["queued", "started", *["step"] * 4, "finished"]
    with Image.open(studio.pictures.file(last.picture)) as picture:
        assert picture.size == (256, 256)
    assert studio._store.recipe(last.picture) == job.request
    assert len(studio.pictures.frames(last.picture)) == 4


def test_a_picture_says_in_which_numbers_it_was_made(studio: Studio) -> None:
    """A large model is loaded in half the precision by itself: whoever makes the picture again must know."""
    (job,) = studio.submit([PROMPT])
    last = job.wait(60)
    assert isinstance(last, Finished)
    with Image.open(studio.pictures.file(last.picture)) as picture:
        assert json.loads(picture.info["stepwise"])["dtype"] == "float32"
    assert studio.pictures.recipe(last.picture) == job.request


def test_a_wrong_request_takes_none_of_its_group(studio: Studio, worker: FakeWorker) -> None:
    wrong: list[tuple[Request, type[UserError]]] = [
        (Request(model="none"), ModelError),
        (PROMPT.model_copy(update={"sampler": "Elephant"}), InvalidRequest),
        (PROMPT.model_copy(update={"sampler": "Euler a", "schedule": "Karras"}), InvalidRequest),
    ]
    for request, error in wrong:
        with pytest.raises(error):
            studio.submit([PROMPT, request])
    with pytest.raises(InvalidRequest):
        studio.submit([PROMPT] * (BATCH_LIMIT + 1))
    assert worker.submitted == [] and studio.latest() == []


def test_the_group_is_found_again_in_order(studio: Studio) -> None:
    jobs = studio.submit(PROMPT.model_copy(update={"seed": 5}).series(3))
    assert studio.latest() == jobs == studio.group(jobs[0].group)
    assert [job.request.seed for job in jobs] == [5, 6, 7]


def test_somebody_elses_jobs_do_not_exist(studio: Studio) -> None:
    (job,) = studio.submit([PROMPT.model_copy(update={"steps": 150})], ANN)
    for id in (job.id, "unknown"):
        with pytest.raises(NotFound, match="no such job"):
            studio.job(id, BOB)
    assert studio.group(job.group, BOB) == [] and studio.latest(BOB) == []
    studio.cancel([job.id], BOB)
    assert not job.done
    studio.cancel([job.id], ANN)
    assert isinstance(job.wait(60), Cancelled)


def test_the_owner_may_see_and_stop_all(studio: Studio) -> None:
    (job,) = studio.submit([PROMPT.model_copy(update={"steps": 150})], ANN)
    assert studio.job(job.id) == job and studio.latest() == []
    studio.cancel([job.id])
    assert isinstance(job.wait(60), Cancelled)


def test_who_may_only_look_submits_nothing(studio: Studio, worker: FakeWorker) -> None:
    with pytest.raises(NotAllowed, match="look"):
        studio.submit([PROMPT], ANN.model_copy(update={"role": "viewer"}))
    assert worker.submitted == []


def test_a_picture_is_private_until_its_person_shows_it(studio: Studio) -> None:
    (job,) = studio.submit([PROMPT], ANN)
    last = job.wait(60)
    assert isinstance(last, Finished)
    frames = last.picture.replace(".png", ".steps.jpg")
    assert (
        studio.pictures.file(last.picture, ANN) == studio.pictures.file(last.picture)
        and len(studio.pictures.frames(last.picture, ANN)) == 4
    )
    for name in (last.picture, frames, "2026-11-24/none.png"):
        with pytest.raises(NotFound, match="no such picture"):
            studio.pictures.file(name, BOB)
    with pytest.raises(NotFound):
        studio.pictures.show(last.picture, True, BOB)
    assert studio.pictures.show(last.picture, True, ANN).shown
    assert studio.pictures.file(last.picture, BOB) and studio.pictures.file(frames, BOB) and studio.job(job.id, BOB) == job
    assert studio.pictures.recipe(last.picture, BOB) == job.request
    with pytest.raises(NotAllowed):
        studio.pictures.show(last.picture, False, BOB)
    studio.pictures.show(last.picture, False)
    with pytest.raises(NotFound):
        studio.pictures.file(last.picture, BOB)


def test_a_picture_of_which_nothing_is_known_is_the_owners_to_show(studio: Studio) -> None:
    (job,) = studio.submit([PROMPT])
    last = job.wait(60)
    assert isinstance(last, Finished)
    studio.access.shown._register.write(("delete from shown", ()))
    assert studio.pictures.about(last.picture).owner == OWNER.id and not studio.pictures.about(last.picture).shown
    with pytest.raises(NotFound):
        studio.pictures.file(last.picture, ANN)
    studio.pictures.show(last.picture, True)
    assert studio.pictures.file(last.picture, ANN)


def test_the_owners_setting_is_what_new_pictures_begin_with(studio: Studio) -> None:
    with pytest.raises(NotAllowed):
        studio.access.shown.set_default(True, ANN)
    (before,) = studio.submit([PROMPT], ANN)
    studio.access.shown.set_default(True, OWNER)
    (after,) = studio.submit([PROMPT], ANN)
    assert isinstance(before.wait(60), Finished) and isinstance(after.wait(60), Finished)
    assert not studio.sees(BOB, before) and studio.sees(BOB, after)


def test_only_as_many_run_as_there_are_places(settings: Settings) -> None:
    worker = FakeWorker(pace=0.01, slots=2)
    studio = Studio(settings, worker)
    studio.start()
    jobs = studio.submit([PROMPT] * 6)
    assert len(worker.submitted) == 2
    assert all(isinstance(job.wait(60), Finished) for job in jobs) and len(worker.submitted) == 6
    studio.close()


def test_a_waiting_job_is_cancelled_at_once(settings: Settings) -> None:
    studio = Studio(settings, FakeWorker(ready=False))
    studio.start()
    (job,) = studio.submit([PROMPT])
    studio.cancel([job.id, "unknown"])
    assert isinstance(job.last, Cancelled)
    studio.close()


def test_a_prompt_sent_while_the_engine_starts_runs_when_it_is_up(settings: Settings) -> None:
    worker = FakeWorker(ready=False)
    studio = Studio(settings, worker)
    studio.start()
    (job,) = studio.submit([PROMPT])
    assert studio.status().state == "starting"
    assert isinstance(job.last, Waiting) and "starting" in job.last.reason
    worker.come_up()
    assert isinstance(job.wait(60), Finished) and studio.status().state == "ready"
    studio.close()


def test_with_an_engine_that_never_starts_jobs_wait_for_the_next_studio_and_say_why(settings: Settings) -> None:
    sentence = "There is no cuda here. Use --device cpu or auto."
    worker = FakeWorker(ready=False)
    studio = Studio(settings, worker)
    studio.start()
    (before,) = studio.submit([PROMPT])
    worker.go_down(sentence, final=True)
    (after,) = studio.submit([PROMPT])
    assert (studio.status().state, studio.status().message) == ("stopped", sentence)
    assert [job.last for job in (before, after)] == [Waiting(reason=sentence)] * 2
    studio.close()
    mended = Studio(settings, FakeWorker())
    mended.start()
    assert all(isinstance(mended.job(job.id).wait(60), Finished) for job in (before, after))
    mended.close()


def test_a_job_survives_the_death_of_the_engine(settings: Settings) -> None:
    worker = FakeWorker(pace=0.05)
    studio = Studio(settings, worker)
    studio.start()
    jobs = studio.submit([PROMPT] * 2)
    until(lambda: len(jobs[0].frames) >= 1)
    worker.go_down()
    assert studio.status().state == "restarting" and "killed" in studio.status().message
    assert all(isinstance(job.last, Interrupted) for job in jobs)
    worker.come_up()
    assert all(isinstance(job.wait(60), Finished) for job in jobs)
    studio.close()


def test_what_the_engine_holds_is_known_until_it_dies(settings: Settings) -> None:
    worker = FakeWorker()
    studio = Studio(settings, worker)
    studio.start()
    assert studio.residents.loaded == {}
    worker.hold({"fake": "float32: it needs about 1.0 GB, and 9.0 GB were free."})
    assert studio.residents.loaded == {"fake": "float32: it needs about 1.0 GB, and 9.0 GB were free."}
    worker.go_down()
    assert studio.residents.loaded == {}
    studio.close()


def test_a_job_that_kills_the_engine_fails_after_three_attempts(studio: Studio, worker: FakeWorker) -> None:
    (poison,) = studio.submit([Request(prompt="die", steps=3, model="fake")])
    for attempt in range(ATTEMPTS):
        until(lambda seen=attempt: len([event for event in poison.events if event.kind == "started"]) > seen)  # type: ignore[misc]
        until(lambda: studio.status().state == "restarting")
        worker.come_up()
    last = poison.wait(60)
    assert isinstance(last, Failed) and "three times" in last.message
    (fine,) = studio.submit([PROMPT])
    assert isinstance(fine.wait(60), Finished)


def test_a_restart_goes_on_with_what_was_waiting_and_keeps_what_is_done(settings: Settings) -> None:
    first = Studio(settings, FakeWorker(pace=0.01, slots=1))
    first.start()
    done, unfinished = first.submit([PROMPT, PROMPT.model_copy(update={"steps": 150})])
    assert isinstance(done.wait(60), Finished)
    until(lambda: len(unfinished.frames) >= 1)
    first.close()

    second = Studio(settings, FakeWorker(pace=0))
    second.start()
    again = second.job(unfinished.id)
    assert isinstance(again.wait(60), Finished) and again.request == unfinished.request
    assert second.job(done.id).last == done.last
    assert [job.id for job in second.latest()] == [done.id, unfinished.id]
    second.close()


@pytest.mark.parametrize("end", ["the engine dies", "the studio ends"])
def test_who_was_asked_to_stop_is_not_begun_again(settings: Settings, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """A step that takes a minute hears of Stop at its end; the engine, or the studio, may be gone before."""
    studio = Studio(settings, worker := FakeWorker(pace=0.01))
    monkeypatch.setattr(worker, "cancel", lambda job: None)
    studio.start()
    stopped, other = studio.submit([PROMPT.model_copy(update={"steps": 150, "seed": k}) for k in range(2)])
    until(lambda: bool(stopped.frames and other.frames))
    studio.cancel([stopped.id])
    assert not stopped.done
    if end == "the engine dies":
        worker.go_down()
        assert isinstance(stopped.last, Cancelled) and isinstance(other.last, Interrupted)
        worker.come_up()
        assert isinstance(other.wait(60), Finished)
        studio.close()
        return
    studio.close()
    again = Studio(settings, worker := FakeWorker(pace=0))
    again.start()
    assert isinstance(again.job(other.id).wait(60), Finished)
    assert isinstance(again.job(stopped.id).last, Cancelled) and len(worker.submitted) == 1
    again.close()


def crash(studio: Studio) -> None:
    """End without putting anything away; the file locks of a killed process go, too."""
    studio._worker.close()
    studio._keeper.close()
    studio._journal.close()


def test_a_job_that_ended_three_studios_is_not_run_a_fourth_time(settings: Settings) -> None:
    for _ in range(ATTEMPTS):
        studio = Studio(settings, FakeWorker(pace=10))
        studio.start()
        if not studio.latest():
            studio.submit([PROMPT])
        crash(studio)
    last = Studio(settings, worker := FakeWorker())
    last.start()
    assert isinstance(last.latest()[0].last, Failed) and worker.submitted == []
    last.close()


def test_a_studio_that_is_closed_in_order_takes_no_attempt_from_its_jobs(settings: Settings) -> None:
    for _ in range(ATTEMPTS + 1):
        studio = Studio(settings, FakeWorker(pace=10))
        studio.start()
        if not studio.latest():
            studio.submit([PROMPT])
        studio.close()
    last = Studio(settings, FakeWorker())
    last.start()
    assert isinstance(last.latest()[0].wait(60), Finished)
    last.close()


def test_a_picture_saved_just_before_a_crash_is_not_made_twice(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Studio(settings, FakeWorker())
    monkeypatch.setattr(first._keeper, "_finish", lambda job, ending: job.append(ending))
    first.start()
    saved, other = first.submit([PROMPT, PROMPT.model_copy(update={"seed": 1})])
    picture = saved.wait(60), other.wait(60)
    crash(first)
    second = Studio(settings, worker := FakeWorker())
    second.start()
    assert (second.job(saved.id).last, second.job(other.id).last) == picture
    assert worker.submitted == [] and len(list(settings.outputs.glob("*/*.png"))) == 2
    second.close()


def test_a_poisonous_job_does_not_take_its_neighbours_with_it(settings: Settings) -> None:
    studio = Studio(settings, worker := FakeWorker(pace=0.01))
    studio.start()
    neighbours = studio.submit([PROMPT.model_copy(update={"steps": 100, "seed": k}) for k in range(3)])
    (poison,) = studio.submit([Request(prompt="die", steps=3, model="fake")], ANN)
    while not poison.done:
        until(lambda: poison.done or studio.status().state == "restarting")
        worker.come_up()
    assert isinstance(poison.last, Failed)
    assert all(isinstance(job.wait(60), Finished) for job in neighbours)
    studio.close()


def test_a_full_disk_delays_the_picture_and_loses_nothing(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    save, full = Store.save, [True]

    def saving(*arguments: object, **more: object) -> str:
        if full:
            full.pop()
            raise StorageError("The disk is full. Free some space.")
        return save(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "save", saving)
    (job,) = studio.submit([PROMPT])
    assert isinstance(job.wait(60), Finished)
    assert [event.reason for event in job.events if isinstance(event, Waiting)] == [f"The disk is full. Free some space. {HELD_WORDS}"]


def test_a_picture_outside_the_outputs_does_not_exist(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    for name in ("../secret.png", "/etc/passwd", ".stepwise/journal.sqlite", "", "2026-11-24/none.png"):
        with pytest.raises(NotFound):
            studio.pictures.file(name)


def test_old_jobs_leave_memory_and_are_found_in_the_journal(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.jobs.recent.KEPT", 2)
    jobs = [studio.submit([PROMPT])[0] for _ in range(5)]
    for job in jobs:
        assert isinstance(job.wait(60), Finished)
    studio.submit([PROMPT])
    assert len(list(studio._recent)) <= 3
    assert studio.job(jobs[0].id).last == jobs[0].last


def test_heavy_jobs_leave_memory_sooner(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = studio.submit([PROMPT])
    assert isinstance(first.wait(60), Finished) and first.weight == sum(map(len, first.frames)) > 0
    monkeypatch.setattr("webui.jobs.recent.KEPT_BYTES", 2 * first.weight)
    jobs = [first]
    for _ in range(4):
        jobs += studio.submit([PROMPT])
        assert isinstance(jobs[-1].wait(60), Finished)
    assert list(studio._recent)[-1] == jobs[-1] and len(list(studio._recent)) == 3
    assert studio.job(first.id).last == first.last
