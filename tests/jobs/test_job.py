"""The log of a job: one writer, any number of readers, early or late."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import datetime

import pytest

from webui.events import Cancelled, Event, Finished, Interrupted, Queued, Started, Step
from webui.jobs.job import Job
from webui.request import Defaults, Request

MakeJob = Callable[..., Job]


@pytest.fixture
def job() -> Job:
    return Job("id", "group", "owner", Request().resolve(Defaults(), "m"), datetime.now().astimezone())


def write(job: Job, steps: int) -> list[Event]:
    """A whole life: started, steps, finished."""
    job.append(Started(steps=steps))
    for i in range(1, steps + 1):
        job.append(Step(i=i, n=steps, preview=bytes([i]), seconds=i))
    job.append(Finished(picture="a.png", seconds=steps))
    return list(job.events)


async def read(job: Job, start: int = 0) -> list[Event]:
    return [event async for event in job.follow(start)]


def test_early_and_late_readers_see_the_same(job: Job) -> None:
    async def story() -> None:
        early = [asyncio.create_task(read(job)) for _ in range(3)]
        await asyncio.sleep(0.01)
        writer = threading.Thread(target=write, args=(job, 20))
        writer.start()
        logs = await asyncio.gather(*early)
        writer.join()
        assert logs == [list(job.events)] * 3
        assert await read(job) == logs[0]
        assert await read(job, 5) == logs[0][5:]

    asyncio.run(story())


def test_nothing_follows_the_end(job: Job) -> None:
    job.append(Cancelled())
    job.append(Finished(picture="a.png", seconds=1))
    assert [event.kind for event in job.events] == ["queued", "cancelled"] and job.done


def test_a_reader_that_leaves_is_forgotten(job: Job) -> None:
    async def story() -> None:
        task = asyncio.create_task(read(job))
        await asyncio.sleep(0.01)
        assert len(job._readers) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not job._readers

    asyncio.run(story())


def test_a_released_job_lets_its_readers_go(job: Job) -> None:
    async def story() -> None:
        task = asyncio.create_task(read(job))
        await asyncio.sleep(0.01)
        job.release()
        assert await asyncio.wait_for(task, 30) == [Queued()]

    asyncio.run(story())


def test_wait_ends_with_the_job_or_the_time(job: Job) -> None:
    assert isinstance(job.wait(0.01), Queued)
    threading.Timer(0.02, job.append, (Cancelled(),)).start()
    began = time.monotonic()
    assert isinstance(job.wait(30), Cancelled) and time.monotonic() - began < 20


def test_frames_are_those_of_the_last_attempt(job: Job) -> None:
    job.append(Started(steps=2))
    job.append(Step(i=1, n=2, preview=b"old", seconds=1))
    job.append(Interrupted(reason="killed"))
    write(job, 3)
    assert job.frames == (b"\x01", b"\x02", b"\x03")
