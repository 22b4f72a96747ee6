"""How long pictures take, from what was measured here: seconds of the engine per step, and per picture for what is not a step."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import NamedTuple

from webui.events import ENDS, Event, Rendered, Started, Step, Waiting
from webui.request import Resolved

SAMPLES = 256
"""Measurements kept of each kind; their median stands for all, so that one hiccup (another model being loaded) changes nothing. Enough for
several rounds of as many jobs as any engine runs together: all steps of a round in which pictures are decoded are dear."""

ENOUGH = 3
"""Measurements of a kind from which on it is believed."""


class Kind(NamedTuple):
    """What makes a step cheap or dear."""

    model: str
    width: int
    height: int
    guided: bool
    """With guidance the denoiser computes two rows per step, not one."""
    sampler: str
    """Some call the denoiser twice per step."""

    @classmethod
    def of(cls, request: Resolved) -> Kind:
        """The kind of a request's steps."""
        return cls(request.model, request.width, request.height, request.guidance > 1, request.sampler)

    @property
    def pixels(self) -> int:
        """Pixels that one step computes."""
        return self.width * self.height * (2 if self.guided else 1)


class Costs(NamedTuple):
    """Seconds of the engine that a kind of picture takes."""

    encoding: float
    """Before the first step."""
    step: float
    rest: float
    """After the last step."""

    def picture(self, steps: int, done: int = 0) -> float:
        """What is left of a picture of so many steps."""
        return (0.0 if done else self.encoding) + self.step * (steps - done) + self.rest


class Rates:
    """Listens to every job and remembers how long its steps took. Safe between threads.

    Jobs that run together share the engine, one step each per round. So a step's share is the time since the job's last step, divided by
    how many jobs were running: the shares of a round's steps add up to the round, and sums of shares are seconds on the clock. What comes
    before the first step and after the last one is shared in the same way.

    Two things are no measure of that. A picture's first step is taken ahead of the round, so that there is a frame soon: its time is no
    share of anything (a picture of one step has no other). And after a few steps in some company nothing is known of that company yet: one
    heavy round is as many measurements as it has jobs. So companies are told apart only by their doublings.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered: dict[str, float] = {}
        self._at: dict[str, float] = {}
        self._before: dict[Kind, deque[float]] = defaultdict(lambda: deque(maxlen=SAMPLES))
        self._steps: dict[tuple[Kind, int], deque[float]] = defaultdict(lambda: deque(maxlen=SAMPLES))
        self._rest: dict[Kind, deque[float]] = defaultdict(lambda: deque(maxlen=SAMPLES))

    def enter(self, job: str) -> None:
        """A job is handed to the engine."""
        with self._lock:
            self._entered[job] = time.monotonic()

    def hear(self, job: str, request: Resolved, event: Event, together: int) -> None:
        """Something happened to a job while `together` jobs were running, itself included."""
        kind, together = Kind.of(request), max(1, together)
        with self._lock:
            if isinstance(event, Started):
                self._at[job] = 0.0
                if job in self._entered:
                    self._before[kind].append((time.monotonic() - self._entered.pop(job)) / together)
            elif isinstance(event, Step | Rendered) and job in self._at:
                share = max(0.0, event.seconds - self._at[job]) / together
                self._at[job] = event.seconds
                if isinstance(event, Rendered):
                    self._rest[kind].append(share)
                elif event.i > 1 or event.n == 1:
                    self._steps[kind, _company(together)].append(share)
            elif isinstance(event, Waiting):
                self._entered.clear()  # a model is being loaded, which holds everybody up: how long pictures take is not seen by it
            if isinstance(event, (Rendered, *ENDS)):
                self._at.pop(job, None)
                self._entered.pop(job, None)

    def step(self, request: Resolved, together: int = 1) -> float | None:
        """Seconds of the engine for one step of this request while `together` jobs run; `None` until its model has been measured.

        Sizes that were never measured are taken from the nearest one that was, in proportion to their pixels.
        """
        kind = Kind.of(request)
        with self._lock:
            known = {key: samples for key, samples in self._steps.items() if key[0].model == kind.model and len(samples) >= ENOUGH}
            if not known:
                return None
            nearest = min(known, key=lambda key: _distance(kind, together, *key))
            return statistics.median(known[nearest]) * kind.pixels / nearest[0].pixels

    def costs(self, request: Resolved, together: int = 1) -> Costs | None:
        """What pictures of this request's kind take while `together` jobs run; `None` until its model has been measured.

        The seconds of several pictures add up to the time on the clock that all of them take, side by side or one after another.
        """
        step, kind = self.step(request, together), Kind.of(request)
        return None if step is None else Costs(self._share(self._before, kind), step, self._share(self._rest, kind))

    def known(self, model: str) -> dict[tuple[Kind, int], float]:
        """What is known of a model: seconds per kind and jobs together (at most 1, 2, 4, ...); for 0, from the last step to the picture."""
        with self._lock:
            steps = {key: samples for key, samples in self._steps.items() if key[0].model == model and len(samples) >= ENOUGH}
            rest = {(kind, 0): samples for kind, samples in self._rest.items() if kind.model == model and samples}
            return {key: statistics.median(samples) for key, samples in (steps | rest).items()}

    def recall(self, known: Mapping[tuple[Kind, int], float]) -> None:
        """Take up what was known in another life, until enough is measured in this one."""
        with self._lock:
            for (kind, together), seconds in known.items():
                samples = self._steps[kind, _company(together)] if together else self._rest[kind]
                samples.extend([seconds] * ENOUGH)

    def _share(self, of: dict[Kind, deque[float]], kind: Kind) -> float:
        """Seconds before the first step, or after the last one; 0 where that was not measured."""
        with self._lock:
            known = {other: samples for other, samples in of.items() if other.model == kind.model and samples}
            if not known:
                return 0.0
            nearest = min(known, key=lambda other: abs(other.width * other.height - kind.width * kind.height))
            return statistics.median(known[nearest]) * kind.width * kind.height / (nearest.width * nearest.height)


def _company(together: int) -> int:
    """The power of two that so many jobs do not exceed."""
    return 1 << (together - 1).bit_length()


def _distance(kind: Kind, together: int, other: Kind, others_together: int) -> tuple[bool, float, float]:
    """How unlike two kinds of steps are: by sampler first, then by pixels, then by how many ran together."""
    return kind.sampler != other.sampler, _ratio(kind.pixels, other.pixels), _ratio(_company(together), others_together)


def _ratio(one: int, other: int) -> float:
    return max(one, other) / min(one, other)


def about(seconds: float) -> str:
    """A time as a person would say it: an estimate is never told more exactly than it is known."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 10) * 10} seconds"
    if seconds < 90 * 60:
        minutes = max(2, round(seconds / 60))
        return f"about {minutes} minutes"
    return f"about {max(2, round(seconds / 3600))} hours"
