"""The queue as it will go: whose turn comes when, by playing the line forward at the measured rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from webui.events import Waiting
from webui.jobs.job import Job
from webui.jobs.line import Line, Room
from webui.jobs.rates import Costs, Kind, Rates, about

FRESH = 2.0
"""Seconds for which a forecast is good enough."""


class Turn(NamedTuple):
    """A job's place in the queue; seconds are from now, `None` where too little has been measured to say them honestly."""

    job: Job
    position: int
    """1 is the next to start; 0 is running."""
    starts: float | None
    ends: float | None


class Seen(BaseModel):
    """A turn as a person sees it: what they may not know of another's picture is left out."""

    model_config = ConfigDict(frozen=True)

    position: int
    state: Literal["running", "waiting"]
    who: str
    mine: bool
    steps: int
    steps_done: int
    starts: float | None
    ends: float | None
    wait: str | None
    """How long until it starts, in words."""
    id: str | None = None
    prompt: str | None = None
    model: str | None = None


def forecast(line: Line, running: Mapping[Job, int], room: Room, rates: Rates, now: float) -> list[Turn]:
    """All jobs, running ones first and then in the order in which they will start.

    Every running job gets one step per round, and a round takes the sum of its steps' shares. `running` says how many steps of each are
    done.
    """
    line, room = line.copy(), Room(max(1, room.places), max(1, room.models))
    first = dict(running)
    while (job := line.take(first, room, now)) is not None:
        first[job] = 0
    together = max(1, len(first))  # more than there are places, while people's first pictures run beyond them
    known: dict[Kind, Costs | None] = {}

    def costs(job: Job) -> Costs | None:
        kind = Kind.of(job.request)
        if kind not in known:
            known[kind] = rates.costs(job.request, together)
        return known[kind]

    def cost(job: Job) -> float | None:
        """Of one step."""
        of = costs(job)
        return of and of.step

    def rounds(job: Job, done: int) -> float:
        """Rounds to the picture; decoding counts as steps."""
        of, steps = costs(job), job.request.steps
        return of.picture(steps, done) / of.step if of and of.step else steps - done + 1

    left = {job: rounds(job, done) for job, done in first.items()}
    starts: dict[Job, float | None] = dict.fromkeys(left, 0.0)
    ends: dict[Job, float | None] = {}
    clock, honest = 0.0, True
    while left:
        honest = honest and all(cost(job) is not None for job in left)
        passed = min(left.values())
        clock += passed * sum(cost(job) or 1.0 for job in left)
        for job in [job for job, rest in left.items() if rest <= passed]:
            ends[job] = clock if honest else None
            del left[job]
        left = {job: rest - passed for job, rest in left.items()}
        while (job := line.take(left, room, now + clock)) is not None:
            starts[job], left[job] = clock if honest else None, rounds(job, 0)
    waiting = [job for job in starts if job not in running]
    positions = dict.fromkeys(running, 0) | {job: number for number, job in enumerate(waiting, 1)}
    return [Turn(job, position, starts[job], ends[job]) for job, position in positions.items()]


def wait_of(turn: Turn) -> str:
    """When a waiting job's turn comes, as a sentence."""
    return "Waiting for its turn." if turn.starts is None else f"Its turn comes in {about(turn.starts)}."


def seen(turns: Iterable[Turn], viewer: str, sees: Callable[[Job], bool]) -> list[Seen]:
    """The queue for one person. Everybody sees who waits where and for how long; prompts only of jobs that `sees` allows."""
    return [_entry(turn, viewer, sees(turn.job)) for turn in turns]


def _entry(turn: Turn, viewer: str, open: bool) -> Seen:
    job, runs = turn.job, turn.position == 0
    entry = Seen(
        position=turn.position,
        state="running" if runs else "waiting",
        who=job.owner,
        mine=job.owner == viewer,
        steps=job.request.steps,
        steps_done=job.steps_done if runs else 0,
        starts=turn.starts,
        ends=turn.ends,
        wait=None if runs or turn.starts is None else about(turn.starts),
    )
    return entry.model_copy(update={"id": job.id, "prompt": job.request.prompt, "model": job.request.model}) if open else entry


class Outlook:
    """The forecast that everybody asks for; made anew when the queue has changed or `FRESH` seconds have passed.

    Not safe between threads, as the line.
    """

    def __init__(self, line: Line, rates: Rates) -> None:
        self._line, self._rates = line, rates
        self._turns, self._of, self._at = list[Turn](), (-1, frozenset[Job]()), 0.0
        self._told, self._told_at = dict[str, str](), -FRESH
        self._stopped: str | None = None

    def turns(self, running: Collection[Job], room: Room) -> list[Turn]:
        """All jobs in the order in which they start."""
        now, of = time.monotonic(), (self._line.changes, frozenset(running))
        if of != self._of or now - self._at >= FRESH:
            self._turns = forecast(self._line, {job: job.steps_done for job in running}, room, self._rates, now)
            self._of, self._at = of, now
        return self._turns

    def tell(self, running: Collection[Job], room: Room, stopped: str | None) -> None:
        """Write into the log of each waiting job when its turn comes, where that has changed; every `FRESH` seconds.

        `stopped` is why nobody's turn comes at all for now; that is told at once, and so is its end.
        """
        now = time.monotonic()
        if not room.places or not len(self._line) or (stopped == self._stopped and now - self._told_at < FRESH):
            return
        told = {turn.job: stopped or wait_of(turn) for turn in self.turns(running, room) if turn.position}
        for job, words in told.items():
            if self._told.get(job.id) != words:
                job.append(Waiting(reason=words))
        self._told, self._told_at, self._stopped = {job.id: words for job, words in told.items()}, now, stopped
