"""The event stream: everything arrives, in order, for whoever follows and whenever they come."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.errors import UserError
from webui.events import Cancelled, Event, Failed, Finished, Interrupted, Started, Step
from webui.jobs.job import Job
from webui.request import Defaults, Request
from webui.server import feed as module
from webui.server.feed import BUSY_FRAMES, MOST_FRAMES, feed
from webui.studio import Studio

Message = tuple[str, list[dict[str, Any]]]


class Sheets:
    """As much of a studio as the feed needs: the frames of finished pictures."""

    def __init__(self, frames: Callable[[], tuple[bytes, ...]] = tuple) -> None:
        self._frames = frames
        self.pictures = self

    def frames(self, name: str) -> tuple[bytes, ...]:
        return self._frames()


def studio(frames: Callable[[], tuple[bytes, ...]] = tuple) -> Studio:
    return cast(Studio, Sheets(frames))


def job(*events: Event) -> Job:
    job = Job("id", "group", "owner", Request(prompt="a", steps=4).resolve(Defaults(), "fake"), datetime.now(UTC))
    for event in events:
        job.append(event)
    return job


def steps(first: int, last: int, mark: str = "") -> list[Step]:
    return [Step(i=i, n=last, preview=f"{mark}{i}".encode(), seconds=i) for i in range(first, last + 1)]


def parsed(text: str) -> Message:
    name, data = text.strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def heard(messages: AsyncIterator[str]) -> list[Message]:
    return [parsed(text) async for text in messages if not text.startswith(":")]


def follow(jobs: list[Job], start: int = 0, of: Studio | None = None) -> list[Message]:
    """Everything that a follower hears until the stream ends."""

    async def story() -> list[Message]:
        return await asyncio.wait_for(heard(feed(of or studio(), jobs, start)), 60)

    return asyncio.run(story())


def events(messages: list[Message], number: int = 0) -> list[dict[str, Any]]:
    return [event for name, batch in messages if name == "events" for event in batch if event["job"] == number]


def frames(messages: list[Message], number: int = 0) -> dict[int, str]:
    """Step -> the frame that a page shows for it in the end."""
    shown: dict[int, str] = {}
    for name, batch in messages:
        for event in batch if name in ("events", "frames") else ():
            if event["job"] != number:
                continue
            if event["kind"] == "started":
                shown.clear()
            if event.get("preview"):
                shown[event["i"]] = base64.b64decode(event["preview"]).decode()
    return shown


def test_a_late_follower_gets_every_frame_the_newest_first() -> None:
    messages = follow([job(Started(steps=100), *steps(1, 100), Finished(picture="x", seconds=1))])
    assert [event["kind"] for event in events(messages)] == ["queued", "started", *["step"] * 100, "finished"]
    assert frames(messages) == {i: str(i) for i in range(1, 101)}
    counts = [sum(1 for event in batch if event.get("preview")) for name, batch in messages if name != "jobs"]
    assert max(counts) == MOST_FRAMES
    assert [event["i"] for event in messages[1][1] if event.get("preview")] == list(range(101 - MOST_FRAMES, 101))
    assert messages[0][0] == "jobs" and messages[-1] == ("end", [])


def test_frames_of_an_interrupted_attempt_are_not_told_as_its_successors() -> None:
    messages = follow(
        [job(Started(steps=40), *steps(1, 40, "old"), Interrupted(reason="x"), Started(steps=40), *steps(1, 20), Cancelled())]
    )
    assert frames(messages) == {i: str(i) for i in range(1, 21)}


def test_a_slow_link_gets_few_frames_the_newest_of_each_job_in_turn_and_the_others_when_all_is_over() -> None:
    async def story() -> None:
        jobs = [job(Started(steps=60)) for _ in range(BUSY_FRAMES + 2)]

        async def make() -> None:
            for step in steps(1, 60):
                await asyncio.sleep(0.02)
                for one in jobs:
                    one.append(step)
            for one in jobs:
                one.append(Cancelled())

        making = asyncio.create_task(make())
        messages: list[Message] = []
        live = []
        async for text in feed(studio(), jobs):
            if not text.startswith(":"):
                messages.append(parsed(text))
                name, batch = messages[-1]
                framed = [event for event in batch if event.get("preview")]
                if name == "events" and framed and len(messages) > 3:
                    live.append([event["job"] for event in framed])
                    last = {event["job"]: event["i"] for event in batch if event["kind"] == "step"}
                    assert all(event["i"] == last[event["job"]] for event in framed)
                assert name != "frames" or making.done(), "nothing old while there is something new"
            await asyncio.sleep(0.15)  # the link is that slow
        assert len(live) >= 3 and all(len(set(one)) == len(one) <= BUSY_FRAMES for one in live)
        assert {number for one in live for number in one} == set(range(len(jobs))), "all have their turn"
        assert [frames(messages, number) for number in range(len(jobs))] == [{i: str(i) for i in range(1, 61)}] * len(jobs)

    asyncio.run(asyncio.wait_for(story(), 60))


LOGS = st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=3), min_size=1, max_size=4)


@given(LOGS)
def test_whatever_the_attempts_the_last_ones_frames_are_shown_and_no_event_is_lost(logs: list[list[int]]) -> None:
    jobs, told = [], []
    for attempts in logs:
        log: list[Event] = []
        for number, count in enumerate(attempts):
            log += [Started(steps=count), *steps(1, count, f"{number}-")]
        jobs.append(job(*log, Failed(message="x")))
        told.append({i: f"{len(attempts) - 1}-{i}" for i in range(1, attempts[-1] + 1)})
    messages = follow(jobs)
    assert [frames(messages, number) for number in range(len(jobs))] == told
    assert [[event["kind"] for event in events(messages, number)] for number in range(len(jobs))] == [
        [event.kind for event in one.events] for one in jobs
    ]


def test_a_live_follower_hears_each_event_once() -> None:
    async def story() -> list[Message]:
        watched = job(Started(steps=30))
        hearing = asyncio.create_task(heard(feed(studio(), [watched])))
        for step in steps(1, 30):
            await asyncio.sleep(0.005)
            watched.append(step)
        watched.append(Finished(picture="x", seconds=1))
        return await asyncio.wait_for(hearing, 60)

    messages = asyncio.run(story())
    assert [event["i"] for event in events(messages) if event["kind"] == "step"] == list(range(1, 31))
    assert len(frames(messages)) == 30


def test_a_follower_from_a_number_on_hears_the_rest() -> None:
    messages = follow([job(Started(steps=4), *steps(1, 4), Finished(picture="x", seconds=1))], start=4)
    assert [event.get("i", event["kind"]) for event in events(messages)] == [3, 4, "finished"]
    assert events(follow([job(Finished(picture="x", seconds=1))], start=10**30)) == []


def test_a_job_from_the_journal_has_its_frames_from_the_sheet() -> None:
    messages = follow([job(Finished(picture="x.png", seconds=2))], of=studio(lambda: (b"1", b"2")))
    assert frames(messages) == {1: "1", 2: "2"} and events(messages)[-1]["kind"] == "finished"


def test_a_damaged_sheet_does_not_hold_up_the_stream() -> None:
    def damaged() -> tuple[bytes, ...]:
        raise UserError("The frames are damaged.")

    messages = follow([job(Finished(picture="x.png", seconds=2))], of=studio(damaged))
    assert messages[-1][0] == "end" and frames(messages) == {}


def test_a_bug_in_one_reader_does_not_hold_up_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> tuple[bytes, ...]:
        raise RuntimeError("a bug")

    assert follow([job(Finished(picture="x.png", seconds=2))], of=studio(broken))[-1][0] == "end"


def test_a_closing_studio_lets_go_without_saying_that_it_is_the_end() -> None:
    async def story() -> list[Message]:
        watched = job(Started(steps=30), *steps(1, 3))
        hearing = asyncio.create_task(heard(feed(studio(), [watched])))
        await asyncio.sleep(0.05)
        watched.release()
        return await asyncio.wait_for(hearing, 60)

    messages = asyncio.run(story())
    assert len(frames(messages)) == 3
    assert "end" not in [name for name, _ in messages], "the page would not come back after a restart"


def test_a_follower_that_leaves_leaves_nothing_behind() -> None:
    async def story() -> tuple[int, int]:
        watched = job(Started(steps=30), *steps(1, 3))
        for _ in range(20):
            hearing = asyncio.create_task(heard(feed(studio(), [watched])))
            await asyncio.sleep(0.01)
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
        await asyncio.sleep(0.05)
        return len(watched._readers), len(asyncio.all_tasks())

    assert asyncio.run(story()) == (0, 1)


def test_silence_is_broken_to_see_whether_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET", 0.01)

    async def story() -> str:
        stream = feed(studio(), [job()])
        texts = [await anext(stream) for _ in range(5)]
        await cast(Any, stream).aclose()
        return texts[-1]

    assert asyncio.run(story()) == ": still here\n\n"
