"""The step loop: drives all running jobs in one thread and runs their denoiser calls together.

Each job is an ordinary pipeline call in a greenlet, on a shallow copy of the pipeline whose denoiser is a stand-in. The stand-in hands its
inputs to the loop and switches back to it; the loop gathers the calls that wait, groups those that can share a forward, runs each group
once, and gives every job its slice. Everything heavy that is not the denoiser (text encoding, decoding) is a `Task`. Tasks have as long in
a round as its forwards took, or `PATIENCE` where nobody steps: eight new prompts are encoded within two rounds or so, and those who step
wait for them no longer than for each other.

Whoever has nothing to see yet comes first: new jobs are taken in between two forwards, not only between two rounds, and one task of theirs
and their first calls go ahead of what the round has left. It is one call per job, so nobody is held up for long.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import greenlet
import torch

from webui.engine.calls import AS_IT_IS, Call, Setting, forward
from webui.engine.memory import exhausted, release
from webui.engine.stand_ins import Decoder, StandIn, Task

PATIENCE = 0.1
"""Seconds of tasks in a round without forwards; a task that is begun is finished."""


class Cancelled(BaseException):
    """Thrown into a job. Not an `Exception`: pipelines and libraries must not swallow it."""


class Job:
    """A body that runs in its own greenlet until it asks for something, and what it waits for."""

    def __init__(self, id: str, body: Callable[[], None], cancelled: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        self.id, self.body, self.cancelled, self.failed = id, body, cancelled, failed
        self.greenlet = greenlet.greenlet(body)
        self.asks: Call | Task | None = None


class Loop:
    """Jobs by id. `rows` bounds one forward; every job gets one step per round, whatever the others do.

    `relieve` makes a denoiser take less memory when it has run out under a single job; whether it could.
    """

    def __init__(self, rows: int, relieve: Callable[[Any], bool] = lambda denoiser: False) -> None:
        self._rows, self._relieve = rows, relieve
        self._new: deque[Job] = deque()
        self._jobs: dict[str, Job] = {}
        self._fresh: dict[str, Job] = {}
        self._stepped = self._tasked = 0.0
        self._hub: Any = None

    def add(self, job: Job) -> None:
        """Take a job in at the next round."""
        self._new.append(job)

    def ask(self, what: Call | Task | None) -> Any:
        """From inside a job: hand over, and come back with the result; `None` comes back in the next round."""
        return self._hub.switch(what)

    def copy_of(self, pipe: Any, scheduler: Any, setting: Setting = AS_IT_IS) -> Any:
        """A pipeline that shares the weights but has its own scheduler, and asks this loop instead of its denoiser and its decoder."""
        own = copy.copy(pipe)
        part = "unet" if hasattr(pipe, "unet") else "transformer"
        # Through __dict__: a plain assignment would write the stand-in into the copy's configuration.
        stand_ins = {part: StandIn(getattr(pipe, part), self.ask, setting), "vae": Decoder(pipe.vae, self.ask)}
        own.__dict__.update({**stand_ins, "scheduler": scheduler, "_all_hooks": []})
        return own

    def step(self, listen: Callable[[], None] = lambda: None) -> bool:
        """One round: every waiting denoiser call once, in shared forwards, and at least one task. Whether anything is left to do.

        `listen` is called in between; it may add and cancel jobs.
        """
        self._hub = greenlet.getcurrent()
        self._stepped = self._tasked = 0.0
        # Grad mode is thread state, and the pipelines' own no_grad blocks interleave: this one must be outside of all.
        with torch.no_grad():
            for job in [job for job in self._jobs.values() if job.asks is None]:
                self._enter(job, job.greenlet.switch)
            welcomed = self._welcome()
            waiting = [job for job in self._jobs.values() if job.id not in welcomed]
            for group in list(_groups((job for job in waiting if isinstance(job.asks, Call)), self._rows)):
                self._run([job for job in group if job.id in self._jobs])  # `listen` may have cancelled some
                self._hear(listen)
            while jobs := [job for job in self._jobs.values() if isinstance(job.asks, Task)]:
                if self._tasked and self._tasked >= (self._stepped or PATIENCE):
                    break
                self._do(jobs)
                self._hear(listen)
        return bool(self._jobs or self._new)

    def _hear(self, listen: Callable[[], None]) -> None:
        listen()
        if self._new:
            self._welcome()

    def _welcome(self) -> set[str]:
        """Take new jobs in and bring those that have had no call to it, as far as one task does; which ones that were."""
        while self._new:
            job = self._new.popleft()
            self._jobs[job.id] = self._fresh[job.id] = job
            self._enter(job, job.greenlet.switch)
        welcomed = set(self._fresh)
        if tasks := [job for job in self._fresh.values() if isinstance(job.asks, Task)]:
            self._do(tasks)
        called = [job for job in self._fresh.values() if isinstance(job.asks, Call)]
        for job in called:
            del self._fresh[job.id]
        for group in _groups(called, self._rows):
            self._run(group)
        return welcomed

    def cancel(self, id: str) -> None:
        """End a job, between rounds only."""
        for new in [job for job in self._new if job.id == id]:
            self._new.remove(new)
            new.cancelled()
        if id in self._jobs:
            self._hub = greenlet.getcurrent()
            with torch.no_grad():
                self._enter(self._jobs[id], self._jobs[id].greenlet.throw, Cancelled())

    def _run(self, jobs: list[Job]) -> None:
        """One forward, and each job on to its next request; nothing if all of them were cancelled."""
        began = time.perf_counter()
        if jobs:
            self._call(jobs)
        self._stepped += time.perf_counter() - began

    def _call(self, jobs: list[Job]) -> None:
        calls = [job.asks for job in jobs if isinstance(job.asks, Call)]
        try:
            outs = forward(calls)
        except Exception as error:  # noqa: BLE001 - whatever the model raises belongs to the job that caused it
            short = exhausted(error)
            if len(jobs) == 1 and not short:
                self._enter(jobs[0], jobs[0].greenlet.throw, error)
                return
            failure = error.with_traceback(None)
        else:
            for job, out in zip(jobs, outs, strict=True):
                self._enter(job, job.greenlet.switch, out)
            return
        # Outside of the handler, whose error holds on to what the forward had taken. Nothing was consumed: the same calls again.
        if len(jobs) == 1:
            release()
            if self._relieve(calls[0].module):
                self._call(jobs)
            else:
                self._enter(jobs[0], jobs[0].greenlet.throw, failure)
            return
        if short:
            release()
            self._rows = max(1, sum(call.rows for call in calls) // 2)  # from now on
            again = [jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]]
        else:
            again = [[job] for job in jobs]  # one bad job must not fail the others
        for some in again:
            self._call(some)

    def _do(self, jobs: list[Job]) -> None:
        """The task of the job that came first, for all jobs that wait for its result."""
        began = time.perf_counter()
        task = jobs[0].asks
        assert isinstance(task, Task)
        same = [job for job in jobs if job is jobs[0] or (task.key is not None and isinstance(job.asks, Task) and job.asks.key == task.key)]
        try:
            result = task.do()
        except Exception as error:  # noqa: BLE001 - as above
            for job in same:
                self._enter(job, job.greenlet.throw, error)
        else:
            for job in same:
                self._enter(job, job.greenlet.switch, result)
        self._tasked += time.perf_counter() - began

    def _enter(self, job: Job, how: Callable[..., Any], *arguments: Any) -> None:
        """Switch or throw into the job; comes back at its next request or at its end."""
        try:
            job.asks = how(*arguments)
        except Cancelled:
            job.cancelled()
        except Exception as error:  # noqa: BLE001 - an error in one job ends that job alone
            job.failed(error)
        if job.greenlet.dead:
            job.asks = None
            self._jobs.pop(job.id, None)
            self._fresh.pop(job.id, None)


def _groups(jobs: Iterable[Job], rows: int) -> Iterator[list[Job]]:
    """Jobs whose calls can share a forward, at most `rows` rows together."""
    by_key: dict[Any, list[Job]] = {}
    for job in jobs:
        assert isinstance(job.asks, Call)
        by_key.setdefault(job.asks.key, []).append(job)
    for same in by_key.values():
        group: list[Job] = []
        taken = 0
        for job in same:
            assert isinstance(job.asks, Call)
            if group and taken + job.asks.rows > rows:
                yield group
                group, taken = [], 0
            group.append(job)
            taken += job.asks.rows
        yield group
