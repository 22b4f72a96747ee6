"""The one object that page, REST and command line use: submit, cancel, follow, jobs, models, pictures."""

from __future__ import annotations

import logging
import secrets
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from webui.engine import loras
from webui.engine.catalogue import Model, find, scan, usable
from webui.engine.families import suits
from webui.engine.tokens import TokenCounter, Tokens
from webui.errors import InvalidRequest, NotFound, StorageError, TooMany
from webui.events import ENDS, Cancelled, Event, Failed, Finished, Interrupted, Rendered, Waiting
from webui.jobs.job import Job
from webui.jobs.journal import Journal
from webui.jobs.line import Line
from webui.request import Request, Resolved
from webui.settings import Settings, builtin_models
from webui.store.store import Store
from webui.workers.worker import Down, Report, Told, Up, Worker

log = logging.getLogger(__name__)

OWNER = "owner"
"""The person in front of the machine."""

BATCH_LIMIT = 64
"""Most pictures in one submission."""

WAITING_LIMIT = 1000
"""Most jobs that may wait."""

ATTEMPTS = 3
"""A job whose engine dies under it runs again, twice at most."""

KEPT = 200
"""Finished jobs kept in memory with their previews; older ones are read back from the journal."""

STARTING = "The engine is starting."


class Status(BaseModel):
    """How the engine is."""

    model_config = ConfigDict(frozen=True)

    state: Literal["starting", "ready", "restarting", "stopped"]
    message: str
    device: str = ""


class Studio:
    """Jobs go in, pictures come out. Safe between threads.

    Raises:
        StorageError: `outputs/` cannot be used, or another studio uses it.
    """

    def __init__(self, settings: Settings, worker: Worker, *, lasting: bool = True) -> None:
        """`lasting=False` keeps the journal in memory: for a command that ends with its pictures."""
        self.settings = settings
        self._worker = worker
        self._store = Store(settings.outputs)
        self._store.check()
        self._journal = Journal(settings.outputs / ".stepwise" / "journal.sqlite" if lasting else None)
        self._models = scan(model_folders(settings))
        self._counter = TokenCounter()
        self._lock = threading.RLock()
        self._line = Line()
        self._running: dict[str, Job] = {}
        self._recent: OrderedDict[str, Job] = OrderedDict()
        self._slots = 0
        self._status = Status(state="starting", message=STARTING)
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._closing = threading.Event()

    # --- life ---

    def start(self) -> None:
        """Start the engine and go on with what was unfinished when the studio last stopped."""
        with self._lock:
            for job in self._journal.unfinished():
                self._recent[job.id] = job
                if job.attempts >= ATTEMPTS:
                    message = "The studio stopped three times while this picture was being made. Change its settings before trying again."
                    self._end(job, Failed(message=message))
                else:
                    self._line.add(job)
        self._worker.start(self._hear)

    def close(self) -> None:
        """Stop. Unfinished jobs stay in the journal and go on at the next start."""
        self._closing.set()
        self._worker.close()
        self._saver.shutdown(wait=True)
        self._journal.close()

    def release(self) -> None:
        """Let every follower of every job go, so that the server can end."""
        with self._lock:
            for job in self._recent.values():
                job.release()

    def status(self) -> Status:
        """How the engine is, in a word and in a sentence."""
        return self._status

    # --- jobs ---

    def submit(self, requests: Sequence[Request], owner: str = OWNER) -> list[Job]:
        """Validate all requests, journal them as one group, and put them in line.

        Raises:
            InvalidRequest, ModelError: one of them cannot be run; none was taken.
            TooMany: the line is full.
            StorageError: the journal cannot be written.
        """
        if not 1 <= len(requests) <= BATCH_LIMIT:
            raise InvalidRequest(f"Between 1 and {BATCH_LIMIT} pictures at once, please.", "count")
        group, now = secrets.token_hex(8), datetime.now().astimezone()
        jobs = [Job(uuid.uuid4().hex, group, owner, resolve(request, self._models), now) for request in requests]
        with self._lock:
            if len(self._line) + len(jobs) > WAITING_LIMIT:
                raise TooMany(f"{len(self._line)} pictures are waiting already. Let some finish first.")
            self._journal.add(jobs)
            for job in jobs:
                self._remember(job)
                self._line.add(job)
                if self._status.state != "ready":
                    job.append(Waiting(reason=self._status.message))
            self._dispatch()
        return jobs

    def cancel(self, ids: Iterable[str], owner: str = OWNER) -> None:
        """End the owner's jobs: waiting ones at once, running ones at their next step. Unknown ones are ignored."""
        with self._lock:
            for id in ids:
                job = self._recent.get(id)
                if job is None or job.owner != owner or job.done:
                    continue
                if id in self._running and self._status.state == "ready":
                    self._worker.cancel(id)
                elif id not in self._running:
                    self._line.remove(job)
                    self._end(job, Cancelled())

    def job(self, id: str, owner: str = OWNER) -> Job:
        """One job, live if it is recent.

        Raises:
            NotFound: there is none of that id, or it is somebody else's.
        """
        job = self._recent.get(id) or self._journal.job(id)
        if job is None or job.owner != owner:
            raise NotFound("There is no such job.")
        return job

    def group(self, id: str, owner: str = OWNER) -> list[Job]:
        """The jobs that were submitted together as `id`, in their order; empty if there are none of this owner's."""
        return [self._recent.get(job.id, job) for job in self._journal.group(id) if job.owner == owner]

    def latest(self, owner: str = OWNER) -> list[Job]:
        """The group that the owner submitted last; empty if there is none."""
        group = self._journal.latest(owner)
        return self.group(group, owner) if group else []

    # --- models and pictures ---

    def models(self) -> dict[str, Model]:
        """What can be used, by name."""
        return usable(self._models)

    def default_model(self) -> Model:
        """The model that makes a picture when none is asked for.

        Raises:
            ModelError: there is none at all.
        """
        return find(self._models, None)

    def tokens(self, model: str | None, prompt: str) -> Tokens:
        """How many tokens the prompt has for this model, and where its text encoder's window ends."""
        return self._counter.count(find(self._models, model), prompt)

    def picture(self, name: str, owner: str = OWNER) -> Path:
        """The file of a picture.

        Raises:
            NotFound: there is none of that name below `outputs/`.
        """
        return self._store.path(name)

    def frames(self, name: str, owner: str = OWNER) -> tuple[bytes, ...]:
        """The step frames of a picture as JPEGs, first step first; empty if it has none."""
        return self._store.frames(name)

    # --- what the worker says ---

    def _hear(self, report: Report) -> None:
        with self._lock:
            if isinstance(report, Up):
                self._slots = report.slots
                self._status = Status(state="ready", message=f"Ready on {report.device}.", device=report.device)
                self._dispatch()
            elif isinstance(report, Down):
                self._lost(report)
            elif report.job in self._running:
                self._happened(self._running[report.job], report)

    def _happened(self, job: Job, told: Told) -> None:
        event = told.event
        if isinstance(event, Rendered):
            # The engine's place is free; writing to disk must not hold up the others' events.
            del self._running[job.id]
            self._saver.submit(self._save, job, event)
        elif isinstance(event, ENDS):
            del self._running[job.id]
            self._end(job, event)
        else:
            job.append(event)
            return
        self._dispatch()

    def _lost(self, down: Down) -> None:
        state: Literal["stopped", "restarting"] = "stopped" if down.final else "restarting"
        again = "" if down.final else " It is being started again."
        self._status = Status(state=state, message=f"The engine stopped: {down.reason}.{again}")
        jobs, self._running, self._slots = list(self._running.values()), {}, 0
        for job in reversed(jobs):
            if job.attempts >= ATTEMPTS:
                self._end(job, Failed(message=f"The engine stopped three times while making this picture; the last time, {down.reason}."))
            else:
                job.append(Interrupted(reason=f"The engine stopped: {down.reason}. It is being started again, and this picture with it."))
                self._line.add(job, first=True)

    def _dispatch(self) -> None:
        while len(self._running) < self._slots and (job := self._line.take()):
            job.attempts += 1
            self._journal.started(job)
            self._running[job.id] = job
            self._worker.submit(job.id, job.request)

    def _save(self, job: Job, picture: Rendered) -> None:
        try:
            self._keep(job, picture)
        except Exception as error:
            log.error("job %s: its picture could not be saved", job.id, exc_info=error)
            job.append(Failed(message=f"The picture could not be saved. The log has the details under {job.id[:8]}."))

    def _keep(self, job: Job, picture: Rendered) -> None:
        """Save the picture, now or as soon as there is room for it."""
        told = False
        while True:
            try:
                name = self._store.save(
                    job.request, picture.rgb, picture.width, picture.height, job.frames, picture.seconds, datetime.now().astimezone()
                )
                break
            except StorageError as error:
                # The picture stays in memory until there is room for it.
                if not told:
                    job.append(Waiting(reason=f"{error.message} The picture is kept and saved as soon as there is room."))
                    told = True
                if self._closing.wait(3):
                    return
        self._end(job, Finished(picture=name, seconds=picture.seconds))

    def _end(self, job: Job, event: Event) -> None:
        """Journal first, then the log: whoever reads "finished" can rely on it."""
        self._journal.ended(job, event)
        job.append(event)

    def _remember(self, job: Job) -> None:
        self._recent[job.id] = job
        done = [id for id, other in self._recent.items() if other.done]
        for id in done[: max(0, len(done) - KEPT)]:
            del self._recent[id]


def resolve(request: Request, models: Mapping[str, Model]) -> Resolved:
    """The request with nothing left to guess, checked against its model.

    Raises:
        InvalidRequest, ModelError: it cannot be run.
    """
    model = find(models, request.model)
    resolved = request.resolve(model.defaults, model.name)
    suits(resolved, model.family)
    loras.check(resolved, models, model.family)
    return resolved


def model_folders(settings: Settings) -> tuple[Path, ...]:
    """Where models are looked for: the person's own folder, then what ships with the studio."""
    return tuple(dict.fromkeys((settings.models.resolve(), builtin_models().resolve())))
