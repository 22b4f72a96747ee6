"""The waiting line: who is next.

The rules, in the order in which they count:

1. *A last attempt is made alone.* A job under which the engine has died twice starts when nothing else runs, and nothing starts beside it:
   so a picture that kills the engine takes no other's last attempt with it.
2. *People, not jobs.* A place that becomes free goes to the person who has fewest pictures running; among equals, to whoever's last turn is
   longest ago; within one person's jobs, first come, first served.
3. *Nobody is kept out.* Somebody who has nothing running does not wait for a free place: beyond the places there are as many again for
   people's first pictures. Whoever took all places gets the next one when as many of their pictures have ended as run beyond.
4. *Models are not swapped back and forth.* While the engine's memory is full of models, pictures of a model that is there go ahead of one
   whose model would have to be loaded in place of another: at most for `PATIENCE` seconds. Then that picture is next, and if the models of
   running pictures fill the memory, no new one of the model that fewest of them use is started until it fits.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Collection, Iterator
from typing import NamedTuple

from webui.jobs.job import ATTEMPTS, Job

PATIENCE = 20.0
"""Seconds for which a turn is put off so that models need not be swapped: several times what loading one takes."""


class Room(NamedTuple):
    """What the engine has room for."""

    places: int
    """Jobs that advance at once."""
    models: int
    """Models in memory at once."""


class Line:
    """Jobs that wait for a place in the engine. Not safe between threads: the studio holds its lock around it."""

    def __init__(self) -> None:
        self._people: OrderedDict[str, deque[Job]] = OrderedDict()
        self._suspects: deque[Job] = deque()
        self._alone: Job | None = None
        self._warm: OrderedDict[str, None] = OrderedDict()
        self._put_off: dict[str, float] = {}
        self.changes = 0
        """Rises with every change, so that whoever looked before knows whether to look again."""

    def __len__(self) -> int:
        return len(self._suspects) + sum(len(jobs) for jobs in self._people.values())

    def __iter__(self) -> Iterator[Job]:
        yield from self._suspects
        for jobs in self._people.values():
            yield from jobs

    def copy(self) -> Line:
        """Another line in the same state, to see what will come."""
        other = Line()
        other._people = OrderedDict((who, jobs.copy()) for who, jobs in self._people.items())
        other._suspects, other._alone = self._suspects.copy(), self._alone
        other._warm, other._put_off = self._warm.copy(), self._put_off.copy()
        return other

    def of(self, owner: str) -> list[Job]:
        """One person's waiting jobs, in the order in which they take their turns."""
        return [job for job in self._suspects if job.owner == owner] + list(self._people.get(owner, ()))

    def add(self, job: Job, *, first: bool = False) -> None:
        """Put a job at the end of its owner's jobs, or, if it was interrupted, at their front."""
        self.changes += 1
        if job.attempts >= ATTEMPTS - 1:
            self._suspects.append(job)
            return
        jobs = self._people.setdefault(job.owner, deque())
        if first:
            jobs.appendleft(job)
        else:
            jobs.append(job)

    def remove(self, job: Job) -> bool:
        """Take a job out; whether it was there."""
        self.changes += 1
        if job in self._suspects:
            self._suspects.remove(job)
            return True
        jobs = self._people.get(job.owner, deque())
        if job not in jobs:
            return False
        jobs.remove(job)
        if not jobs:
            del self._people[job.owner]
        self._put_off.pop(job.id, None)
        return True

    def move(self, job: Job, before: Job | None) -> bool:
        """Put a job before another one of the same owner, or behind all of them; whether both were there."""
        jobs = self._people.get(job.owner, deque())
        if job not in jobs or (before is not None and before not in jobs):
            return False
        self.changes += 1
        if job is not before:
            jobs.remove(job)
            jobs.insert(len(jobs) if before is None else jobs.index(before), job)
        return True

    def cold(self) -> None:
        """The engine starts anew: no model is in its memory."""
        self._warm.clear()

    def take(self, running: Collection[Job], room: Room, now: float) -> Job | None:
        """The next job, or `None` while nobody may start. `now` is the time in seconds of any steady clock."""
        if self._alone in running:
            return None
        if self._suspects:
            if running:
                return None
            self._alone = job = self._suspects[0]
            self.remove(job)
        else:
            found = self._next(running, room, now)
            if found is None:
                return None
            job = found
            self.remove(job)
            if job.owner in self._people:
                self._people.move_to_end(job.owner)
        self._warm[job.request.model] = None
        self._warm.move_to_end(job.request.model)
        while len(self._warm) > room.models:
            self._warm.popitem(last=False)
        return job

    def _next(self, running: Collection[Job], room: Room, now: float) -> Job | None:
        people = self._turns(running, room)
        if not people:
            return None
        used = Counter(job.request.model for job in running)

        def fits(model: str) -> bool:
            return model in used or len(used) < room.models

        def at_hand(model: str) -> bool:
            return fits(model) and (model in self._warm or len(self._warm) < room.models)

        strangers = [job for who in people if not at_hand((job := self._people[who][0]).request.model)]
        overdue = next((job for job in strangers if now - self._put_off.get(job.id, now) >= PATIENCE), None)
        if overdue is not None and fits(overdue.request.model):
            return overdue
        staying = set(used) if overdue is None else {model for model, _ in used.most_common(room.models - 1)}
        for who in people:
            for job in self._people[who]:
                if at_hand(job.request.model) and (overdue is None or job.request.model in staying):
                    self._wait(strangers, now)
                    return job
        chosen = next((job for job in strangers if fits(job.request.model)), None) if overdue is None else None
        self._wait((job for job in strangers if job is not chosen), now)
        return chosen

    def _turns(self, running: Collection[Job], room: Room) -> list[str]:
        """People who may start a picture now, whoever's turn it is first."""
        places = Counter(job.owner for job in running)
        if len(running) < room.places:
            return sorted(self._people, key=lambda who: places[who])
        if len(running) < 2 * room.places:
            return [who for who in self._people if not places[who]]
        return []

    def _wait(self, put_off: Iterator[Job] | list[Job], now: float) -> None:
        for job in put_off:
            self._put_off.setdefault(job.id, now)
