"""How fast this machine is, learned from its steps: seconds of a round of the step loop, by what runs and how many rows of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from webui.engine.samplers import SAMPLERS
from webui.events import Event, Rendered, Started, Step
from webui.jobs.job import Job
from webui.request import Resolved

NEWEST = 0.2
"""Weight of a new measurement beside all before it."""

STALL = 2.0
"""A measurement counts as at most this much slower or faster than the ones before: a machine that slept is no slow machine."""

AFTER = 0
"""In the place of rows: seconds from a picture's last step to its pixels."""


class Rates:
    """What has been measured. Safe between threads."""

    def __init__(self, known: Mapping[tuple[str, int], float]) -> None:
        self._known = dict(known)
        self._changed: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def hear(self, device: str, job: Job, event: Event, running: Iterable[Job]) -> None:
        """Learn from what is about to be written into a job's log, beside the other jobs in the engine."""
        before, key = job.last, _key(device, job.request)
        if not isinstance(before, Step):
            return
        if isinstance(event, Rendered):
            self._learn((key, AFTER), event.seconds - before.seconds)
        elif isinstance(event, Step):
            beside = [other for other in running if isinstance(other.last, Started | Step)]
            # Others of another kind take rounds of their own in between; what a round of ours takes cannot be told then.
            if all(_key(device, other.request) == key for other in beside):
                calls = (event.i - before.i) * SAMPLERS[job.request.sampler].calls
                self._learn((key, sum(_rows(other.request) for other in beside)), (event.seconds - before.seconds) / calls)

    def changed(self) -> dict[tuple[str, int], float]:
        """What is new since this was last asked."""
        with self._lock:
            new = {key: self._known[key] for key in self._changed}
            self._changed.clear()
        return new

    def seconds(self, device: str, requests: Sequence[Resolved], slots: int) -> float | None:
        """How long these take together, alone on the machine; `None` if nothing like one of them has been measured.

        The rounds are played through: `slots` requests are in the engine at once, each takes part in one round per denoiser call, and the
        next one enters when one is done.
        """
        with self._lock:
            known = dict(self._known)
        kinds = {_key(device, request): _curve(known, _key(device, request)) for request in requests}
        if not all(kinds.values()):
            return None
        waiting = deque((_key(device, one), _rows(one), one.steps * SAMPLERS[one.sampler].calls) for one in requests)
        active: list[tuple[str, int, int]] = []
        total = sum(known.get((_key(device, request), AFTER), 0.0) for request in requests)
        while active or waiting:
            while waiting and len(active) < max(1, slots):
                active.append(waiting.popleft())
            rounds = min(left for _, _, left in active)
            rows = {kind: sum(some for other, some, _ in active if other == kind) for kind in kinds}
            total += rounds * sum(_round(kinds[kind], count) for kind, count in rows.items() if count)
            active = [(kind, some, left - rounds) for kind, some, left in active if left > rounds]
        return total

    def _learn(self, key: tuple[str, int], seconds: float) -> None:
        if seconds <= 0:
            return
        with self._lock:
            old = self._known.get(key)
            if old is not None:
                seconds = old + NEWEST * (min(max(seconds, old / STALL), old * STALL) - old)
            self._known[key] = seconds
            self._changed.add(key)


def _key(device: str, request: Resolved) -> str:
    return f"{device} {request.width}x{request.height} {request.model}"


def _rows(request: Resolved) -> int:
    """Rows of the request's denoiser call: with guidance there is one without the prompt."""
    return 2 if request.guidance > 1 else 1


def _curve(known: Mapping[tuple[str, int], float], kind: str) -> list[tuple[int, float]]:
    return sorted((rows, seconds) for (key, rows), seconds in known.items() if key == kind and rows != AFTER)


def _round(curve: Sequence[tuple[int, float]], rows: int) -> float:
    """Seconds of a round of so many rows: between two that were measured on the line between them, outside of them in proportion."""
    for (few, quick), (many, slow) in pairwise(curve):
        if few <= rows <= many:
            return quick + (slow - quick) * (rows - few) / (many - few)
    nearest, seconds = curve[0] if rows < curve[0][0] else curve[-1]
    return seconds * rows / nearest
