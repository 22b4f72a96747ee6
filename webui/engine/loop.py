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

import contextlib
import copy
import inspect
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, NamedTuple

import greenlet
import torch
from torch import Tensor

from webui.engine.memory import exhausted, release
from webui.engine.placement import decode
from webui.errors import ModelError

PATIENCE = 0.1
"""Seconds of tasks in a round without forwards; a task that is begun is finished."""

SECOND = ("encoder_hidden_states_llama3",)
"""Arguments whose rows are their second dimension."""

TIMES = ("timestep", "timesteps", "guidance")
"""Arguments that are one number for all rows, or one per row; sent per row, so that jobs at different steps share a forward."""


class Cancelled(BaseException):
    """Thrown into a job. Not an `Exception`: pipelines and libraries must not swallow it."""


class Setting(NamedTuple):
    """How a module must be set before a call, such as with which LoRAs in its layers."""

    key: Any = None
    apply: Callable[[], None] = lambda: None
    alone: bool = False
    """Whether a call goes to the module as it is, and never together with another."""


AS_IT_IS = Setting()


class Call:
    """One denoiser call of one job: its arguments by name, told apart into per-row and shared ones."""

    def __init__(self, module: Any, arguments: Mapping[str, Any], setting: Setting = AS_IT_IS) -> None:
        self.module = module
        self.setting = setting
        self.rows = len(next(iter(arguments.values())))
        self.rowed: dict[tuple[str, ...], Any] = {}
        self.shared: dict[tuple[str, ...], Any] = {}
        for name, value in _flat(arguments):
            if name[-1] in SECOND:
                value = value.transpose(0, 1)
            if name[-1] in TIMES and not setting.alone:
                value = torch.as_tensor(value, dtype=torch.float32).reshape(-1).expand(self.rows)
            per_row = (isinstance(value, list) or (torch.is_tensor(value) and value.ndim > 0)) and len(value) == self.rows
            (self.rowed if per_row else self.shared)[name] = value
        self.key = id(self) if setting.alone else (id(module), setting.key, _shapes(self.rowed), _contents(self.shared))
        """Calls of one key can share a forward."""


class Task(NamedTuple):
    """Something heavy that is not a denoiser call."""

    do: Callable[[], Any]
    key: Any = None
    """Tasks of one key have one result: it is made once for all jobs that wait for it."""


class Job:
    """A body that runs in its own greenlet until it asks for something, and what it waits for."""

    def __init__(self, id: str, body: Callable[[], None], cancelled: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        self.id, self.body, self.cancelled, self.failed = id, body, cancelled, failed
        self.greenlet = greenlet.greenlet(body)
        self.asks: Call | Task | None = None


class StandIn:
    """Takes the denoiser's place on a job's copy of the pipeline. A plain object: pipelines look for devices at modules only."""

    def __init__(self, module: Any, ask: Callable[[Call], Tensor], setting: Setting = AS_IT_IS) -> None:
        self._module = module
        self._ask = ask
        self._setting = setting
        self._signature = inspect.signature(type(module).forward)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def cache_context(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Pipelines enter it around each call; caches hold one state per module and cannot be shared by jobs."""
        return contextlib.nullcontext()

    def _reset_stateful_cache(self) -> None:
        """Called at the end of one job's pipeline: must not reach the module that the others use."""

    def __call__(self, *args: Any, return_dict: bool = True, **kwargs: Any) -> Any:
        arguments = self._signature.bind(None, *args, **kwargs).arguments
        arguments.pop("self")
        out = self._ask(Call(self._module, arguments, self._setting))
        return SimpleNamespace(sample=out) if return_dict else (out,)


class Decoder:
    """Takes the autoencoder's place on a job's copy of the pipeline: decoding is a task, which must not hold up the others' steps."""

    def __init__(self, vae: Any, ask: Callable[[Task], Any]) -> None:
        self._vae = vae
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vae, name)

    def decode(self, latents: Tensor, return_dict: bool = True, **kwargs: Any) -> Any:
        """As the autoencoder's own.

        Raises:
            ModelError: latents or picture hold numbers that are none.
        """
        out = self._ask(Task(partial(self._decode, latents)))
        return SimpleNamespace(sample=out) if return_dict else (out,)

    def _decode(self, latents: Tensor) -> Tensor:
        out = decode(self._vae, latents)
        if not torch.isfinite(latents).all() or not torch.isfinite(out).all():
            raise ModelError("The model produced invalid numbers instead of a picture. Try another sampler or a lower guidance.")
        return out


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
            outs = _forward(calls)
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


def _forward(calls: list[Call]) -> Sequence[Any]:
    """One forward for calls of one key; each call's rows of the output, as a tensor or, from denoisers that answer with one, a list."""
    arguments = dict(calls[0].shared)
    for name in calls[0].rowed:
        parts = [call.rowed[name] for call in calls]
        arguments[name] = (
            parts[0] if len(parts) == 1 else torch.cat(parts) if torch.is_tensor(parts[0]) else [x for part in parts for x in part]
        )
    for name in arguments:
        if name[-1] in SECOND:
            arguments[name] = arguments[name].transpose(0, 1)
    calls[0].setting.apply()
    out = calls[0].module(**_nested(arguments), return_dict=False)[0]
    if torch.is_tensor(out):
        return torch.split(out, [call.rows for call in calls])
    ends = list(accumulate(call.rows for call in calls))
    return [out[end - call.rows : end] for call, end in zip(calls, ends, strict=True)]


def _flat(arguments: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Nested arguments by path; `None` is dropped."""
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*above, name))
        elif value is not None:
            yield (*above, name), value


def _nested(arguments: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for path, value in arguments.items():
        inside = whole
        for name in path[:-1]:
            inside = inside.setdefault(name, {})
        inside[path[-1]] = value
    return whole


def _shapes(arguments: Mapping[tuple[str, ...], Any]) -> tuple[Any, ...]:
    """What must be equal of per-row arguments: names, shapes but for the rows, and dtypes."""
    return tuple(
        (name, (tuple(value.shape[1:]), value.dtype) if torch.is_tensor(value) else _alike(value))
        for name, value in sorted(arguments.items())
    )


def _alike(rows: list[Any]) -> Any:
    """What must be equal of lists: the pictures' shapes; texts may differ in length; anything but tensors, such as sizes, is all one."""
    if all(torch.is_tensor(row) for row in rows):
        return tuple(sorted({tuple(row.shape) for row in rows if row.ndim > 2}))
    return tuple(sorted({repr(row) for row in rows}))


def _contents(arguments: Mapping[tuple[str, ...], Any]) -> tuple[Any, ...]:
    """What must be equal of shared arguments: everything. Tensors by value, or two sizes of equal token count would be mixed."""
    return tuple(
        (name, (tuple(value.shape), value.dtype, _bytes(value)) if torch.is_tensor(value) else repr(value))
        for name, value in sorted(arguments.items())
    )


def _bytes(value: Tensor) -> bytes:
    """A tensor's numbers, of any type: numpy knows no bfloat16."""
    return value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
