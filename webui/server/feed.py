"""What happens to jobs as server-sent events, for one follower: live or late, on a fast link or a slow one."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from webui.errors import UserError
from webui.events import Event, Failed, Finished, Started, Step
from webui.jobs.job import Job
from webui.studio import Studio

PACE = 0.1
"""Seconds between two messages to one follower; what happened meanwhile travels together."""

MOST_FRAMES = 16
"""Frames in one message. Older ones wait until there is nothing newer to send, so that a slow link shows the newest first."""

BUSY_FRAMES = 4
"""Frames in one message to a link that is slower than the news: few, so that they are there soon."""

BUSY = 2.0
"""Seconds for which a link that was slow once counts as slow: its buffers take some messages quickly even so."""

QUIET = 15.0
"""Seconds without news after which the connection is tried, to notice that nobody listens any more."""

Happening = tuple[int, Event]
"""A job's number among those followed, and what happened to it."""


def described(job: Job) -> dict[str, Any]:
    """A job as REST shows it."""
    last = job.last
    shown = {"id": job.id, "group": job.group, "state": last.kind, "request": job.request.asked}
    if (job.request.text, job.request.negative_text) != (job.request.prompt, job.request.negative):
        shown["drawn"] = {"prompt": job.request.text, "negative": job.request.negative_text}
    if isinstance(last, Failed):
        shown["error"] = last.message
    return shown | ({"picture": last.picture, "seconds": last.seconds} if isinstance(last, Finished) else {})


async def feed(studio: Studio, jobs: Sequence[Job], start: int = 0) -> AsyncIterator[str]:
    """Messages until all jobs have ended: first `jobs`; then `events`, several together; `frames` that were held back; at last `end`.

    A feed that ends without `end` was cut off by the studio's own end: its reader asks again, and finds the jobs where they are then.
    """
    yield _message("jobs", [described(job) for job in jobs])
    news: asyncio.Queue[Happening | None] = asyncio.Queue()
    readers = [asyncio.create_task(_read(studio, number, job, start, news)) for number, job in enumerate(jobs)]
    older: deque[tuple[int, Step]] = deque()
    turns: dict[int, int] = {}
    clock, busy_until = asyncio.get_running_loop().time, 0.0
    try:
        reading = len(readers)
        while reading or older:
            asked = clock()
            # A comment comes back when the link has taken what was sent before it: what is chosen after that is the newest there is.
            yield ":\n\n"
            busy_until = clock() + BUSY if clock() - asked > PACE else busy_until
            batch = await _gather(news, wait=not older)
            if batch is None:
                yield ": still here\n\n"
                continue
            reading -= batch.count(None)
            events, room = _newest(batch, older, turns if clock() < busy_until else None)
            if events:
                yield _message("events", events)
            if older and room:
                yield _message("frames", [_shown(*older.popleft()) for _ in range(min(room, len(older)))])
            # With frames held back it is the link that sets the pace.
            await asyncio.sleep(PACE if reading and not older else 0)
        if all(job.done for job in jobs):
            yield _message("end", [])
    finally:
        for reader in readers:
            reader.cancel()


async def _read(studio: Studio, number: int, job: Job, start: int, news: asyncio.Queue[Happening | None]) -> None:
    """Put all that happens to one job into `news`, and `None` after it."""
    try:
        last = job.last
        if isinstance(last, Finished) and not job.frames:
            # From the journal: its frames are on the picture's sheet.
            frames = await asyncio.to_thread(_stored_frames, studio, last.picture)
            for i, frame in enumerate(frames, 1):
                news.put_nowait((number, Step(i=i, n=job.request.steps, preview=frame, seconds=last.seconds * i / len(frames))))
        async for event in job.follow(start):
            news.put_nowait((number, event))
    finally:
        news.put_nowait(None)


def _stored_frames(studio: Studio, picture: str) -> tuple[bytes, ...]:
    try:
        return studio.pictures.frames(picture)
    except UserError:
        # Gone, or damaged: the picture's own request says so; the rest of the job can be told.
        return ()


async def _gather(news: asyncio.Queue[Happening | None], *, wait: bool) -> list[Happening | None] | None:
    """Everything that is there, at least one thing if `wait`; `None` after a long silence."""
    batch: list[Happening | None] = []
    if wait:
        try:
            batch.append(await asyncio.wait_for(news.get(), QUIET))
        except TimeoutError:
            return None
    while not news.empty():
        batch.append(news.get_nowait())
    return batch


def _newest(
    batch: Iterable[Happening | None], older: deque[tuple[int, Step]], turns: dict[int, int] | None
) -> tuple[list[dict[str, Any]], int]:
    """The events as they are sent, with the newest frames in place and the others moved to `older`; and how many frames more would fit.

    A busy link has `turns`, which say when each job last had one: it gets the newest frames of the jobs that have waited longest.
    """
    happenings = [happening for happening in batch if happening is not None]
    framed = [at for at, (_, event) in enumerate(happenings) if isinstance(event, Step) and event.preview is not None]
    sent = framed[-MOST_FRAMES:]
    if turns is not None:
        newest = {happenings[at][0]: at for at in framed}
        first = sorted(newest, key=lambda number: turns.get(number, 0))[:BUSY_FRAMES]
        turns.update(dict.fromkeys(first, max(turns.values(), default=0) + 1))
        sent = [newest[number] for number in first]
    late = set(framed) - set(sent)
    events = []
    for at, (number, event) in enumerate(happenings):
        if isinstance(event, Started):
            # The job begins again; frames of its last attempt are no part of the picture.
            kept = [(other, step) for other, step in older if other != number]
            older.clear()
            older.extend(kept)
        if at in late and isinstance(event, Step):
            older.append((number, event))
            event = event.model_copy(update={"preview": None})
        events.append(_shown(number, event))
    return events, 0 if turns is not None and sent else MOST_FRAMES - len(sent)


def _shown(number: int, event: Event) -> dict[str, Any]:
    """An event as the page reads it; `job` is the job's number among those followed."""
    shown = event.model_dump(exclude={"preview"}) | {"job": number}
    if isinstance(event, Step) and event.preview is not None:
        shown["preview"] = base64.b64encode(event.preview).decode()
    return shown


def _message(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
