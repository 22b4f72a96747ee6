"""A job: one request and the append-only log of what happened to it. One writer, any number of readers, early or late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import datetime

from webui.events import ENDS, Event, Queued, Started, Step
from webui.request import Resolved

ATTEMPTS = 3
"""A job whose engine dies under it runs again, twice at most."""


class Job:
    """A request on its way to a picture. Threads may append and read at the same time."""

    def __init__(self, id: str, group: str, owner: str, request: Resolved, created: datetime, *, attempts: int = 0) -> None:
        self.id = id
        self.group = group
        """Jobs that were submitted together share it."""
        self.owner = owner
        self.request = request
        self.created = created
        self.attempts = attempts
        """How often the job has entered an engine."""
        self.weight = 0
        """Bytes of previews in the log."""
        self._events: list[Event] = [Queued()]
        self._changed = threading.Condition()
        self._readers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._released = False

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything that has happened so far, oldest first."""
        with self._changed:
            return tuple(self._events)

    @property
    def last(self) -> Event:
        """What happened most recently."""
        return self._events[-1]

    @property
    def done(self) -> bool:
        """Whether the log has ended."""
        return isinstance(self.last, ENDS)

    @property
    def frames(self) -> tuple[bytes, ...]:
        """The previews of the current attempt, one JPEG per step so far."""
        events = self.events
        start = max((at for at, event in enumerate(events) if isinstance(event, Started)), default=0)
        return tuple(event.preview for event in events[start:] if isinstance(event, Step) and event.preview is not None)

    @property
    def steps_done(self) -> int:
        """Steps of the current attempt so far."""
        for event in reversed(self.events):
            if isinstance(event, Step | Started):
                return event.i if isinstance(event, Step) else 0
        return 0

    def append(self, event: Event) -> None:
        """Write one event and wake every reader. Nothing is written after the end."""
        with self._changed:
            if self.done:
                return
            self._events.append(event)
            self.weight += len(event.preview or b"") if isinstance(event, Step) else 0
            self._changed.notify_all()
        self._wake()

    def release(self) -> None:
        """Let every follower go: the studio is closing, and the job goes on in another life."""
        self._released = True
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            readers = tuple(self._readers)
        for loop, woken in readers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

    def wait(self, timeout: float | None = None) -> Event:
        """Block until the log has ended or `timeout` seconds have passed; the last event so far."""
        with self._changed:
            self._changed.wait_for(lambda: self.done, timeout)
            return self.last

    async def follow(self, start: int = 0) -> AsyncIterator[Event]:
        """Every event from number `start` on, as it happens; ends after the job's last, or when the job is released."""
        reader = (asyncio.get_running_loop(), asyncio.Event())
        with self._changed:
            self._readers.add(reader)
        try:
            at = start
            while True:
                reader[1].clear()
                with self._changed:
                    news, ended = self._events[at:], self.done
                for event in news:
                    yield event
                at += len(news)
                if ended or self._released:
                    return
                await reader[1].wait()
        finally:
            with self._changed:
                self._readers.discard(reader)
