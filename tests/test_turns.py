"""Several people at one studio: turns, limits, the queue that everybody sees, one's own jobs moved and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.fake import ANN, BOB, FakeWorker, write_model
from tests.test_studio import PROMPT, until
from webui.errors import NotFound, TooMany
from webui.events import Cancelled, Finished, Waiting
from webui.people import OWNER
from webui.settings import Settings
from webui.studio import Studio

LONG = PROMPT.model_copy(update={"steps": 150})


@pytest.fixture
def slow(settings: Settings) -> Iterator[Studio]:
    """Two places, and pictures that take for ever."""
    studio = Studio(settings, FakeWorker(pace=5, slots=2))
    studio.start()
    yield studio
    studio.close()


def test_a_guest_starts_while_the_owner_has_fifty_waiting(slow: Studio) -> None:
    slow.submit([LONG] * 52)
    (job,) = slow.submit([LONG], ANN)
    assert any(not entry.mine and entry.state == "running" for entry in slow.queue())
    until(lambda: job.last.kind == "started")


def test_a_guest_has_a_limit_and_the_owner_has_none(slow: Studio) -> None:
    slow.submit([LONG] * 30)
    slow.submit([LONG] * 20, ANN)
    with pytest.raises(TooMany, match=r"A guest may have 20 pictures waiting, and you have 19\."):
        slow.submit([LONG] * 2, ANN)
    slow.submit([LONG], ANN)
    slow.submit([LONG], BOB)


def test_the_owner_sets_the_limit(settings: Settings) -> None:
    studio = Studio(settings.model_copy(update={"waiting_per_guest": 2}), FakeWorker(pace=5, slots=1))
    studio.start()
    with pytest.raises(TooMany, match="may have 2 pictures"):
        studio.submit([LONG] * 3, ANN)
    assert studio.latest(ANN) == []
    studio.close()


def test_everybody_sees_the_queue_without_anothers_prompt(slow: Studio) -> None:
    mine = slow.submit([LONG.model_copy(update={"prompt": "my secret"})] * 4)
    slow.submit([LONG.model_copy(update={"prompt": "ann's secret"})] * 2, ANN)
    for who, prompts in ((OWNER, {"my secret", "ann's secret"}), (ANN, {"ann's secret"}), (BOB, set())):
        entries = slow.queue(who)
        assert [entry.state for entry in entries] == ["running"] * 3 + ["waiting"] * 3
        assert [entry.position for entry in entries] == [0, 0, 0, 1, 2, 3]
        assert {entry.prompt for entry in entries} - {None} == prompts
        assert all(secret in prompts or secret not in str(entries) for secret in ("my secret", "ann's secret"))
        assert all((entry.mine or who.owns) == (entry.id is not None) for entry in entries)
    assert {entry.id for entry in slow.queue() if entry.mine} == {job.id for job in mine}


def test_one_moves_ones_own_waiting_jobs_and_nobody_elses(slow: Studio) -> None:
    jobs = slow.submit([LONG] * 5)
    (anns,) = slow.submit([LONG], ANN)
    waiting = [job.id for job in jobs[2:]]
    slow.move(waiting[2], waiting[0])
    assert [job.id for job in slow._line.of(OWNER.id)] == [waiting[2], waiting[0], waiting[1]]
    for id, before, who in ((anns.id, None, OWNER), (waiting[0], None, ANN), (jobs[0].id, None, OWNER), (waiting[0], anns.id, OWNER)):
        with pytest.raises(NotFound, match="no such job waiting"):
            slow.move(id, before, who)
    assert [entry.id for entry in slow.queue() if entry.mine and entry.position] == [waiting[2], waiting[0], waiting[1]]


def test_the_new_order_outlasts_a_restart(settings: Settings) -> None:
    first = Studio(settings, FakeWorker(ready=False))
    first.start()
    a, b, c = first.submit([PROMPT.model_copy(update={"seed": seed}) for seed in (1, 2, 3)])
    (other,) = first.submit([PROMPT.model_copy(update={"seed": 9})], ANN)
    first.move(c.id, a.id)
    first.move(a.id, None)
    first.close()
    second = Studio(settings, worker := FakeWorker(slots=1))
    second.start()
    for job in (a, b, c, other):
        assert isinstance(second.job(job.id).wait(60), Finished)
    assert [request.seed for request in worker.submitted if request.seed != 9] == [3, 2, 1]
    assert [job.request.seed for job in second.group(a.group)] == [1, 2, 3], "the group itself stays as it was asked for"
    second.close()


def test_one_deletes_ones_own_waiting_jobs(slow: Studio) -> None:
    jobs = slow.submit([LONG] * 5)
    slow.cancel([jobs[4].id], ANN)
    assert not jobs[4].done
    slow.cancel([jobs[4].id])
    assert isinstance(jobs[4].last, Cancelled) and jobs[4].id not in [entry.id for entry in slow.queue()]


def test_a_deleted_job_does_not_come_back_after_a_restart(settings: Settings) -> None:
    first = Studio(settings, FakeWorker(ready=False))
    first.start()
    keep, delete = first.submit([PROMPT] * 2)
    first.cancel([delete.id])
    first.close()
    second = Studio(settings, worker := FakeWorker())
    second.start()
    assert isinstance(second.job(keep.id).wait(60), Finished) and len(worker.submitted) == 1
    assert isinstance(second.job(delete.id).last, Cancelled)
    second.close()


def test_a_waiting_job_says_when_its_turn_comes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.jobs.forecast.FRESH", 0.05)
    studio = Studio(settings, FakeWorker(pace=0.02, slots=1))
    studio.start()
    jobs = studio.submit([PROMPT.model_copy(update={"steps": 100})] * 8)
    last = jobs[-1]
    until(lambda: isinstance(last.last, Waiting) and "about" in last.last.reason)
    assert isinstance(last.last, Waiting) and last.last.reason == "Its turn comes in about 10 seconds."
    assert {entry.wait for entry in studio.queue() if entry.position == 7} == {"about 10 seconds"}
    studio.close()


def test_two_people_with_two_models_and_memory_for_one(settings: Settings) -> None:
    write_model(settings.models / "other")
    studio = Studio(settings, worker := FakeWorker(pace=0.002, slots=4, models=1))
    studio.start()
    jobs = studio.submit([PROMPT] * 20, ANN) + studio.submit([PROMPT.model_copy(update={"model": "other"})] * 20, BOB)
    assert all(isinstance(job.wait(60), Finished) for job in jobs)
    models = [request.model for request in worker.submitted]
    assert sum(one != two for one, two in pairwise(models)) == 1
    studio.close()


def test_a_second_tab_finds_every_frame_so_far(settings: Settings) -> None:
    studio = Studio(settings, FakeWorker(pace=0.02))
    studio.start()
    (job,) = studio.submit([PROMPT.model_copy(update={"steps": 100})], ANN)
    until(lambda: job.steps_done >= 5)
    again = studio.job(job.id, ANN)
    assert len(again.frames) >= 5 and [event.i for event in again.events if event.kind == "step"][:5] == [1, 2, 3, 4, 5]
    studio.close()
