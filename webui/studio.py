"""The one object that page, REST and command line use: submit, cancel, follow, jobs, models, pictures."""

from __future__ import annotations

import logging
import secrets
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from webui.access.access import Access
from webui.comparisons.comparisons import Comparisons
from webui.engine import vaes
from webui.engine.catalogue import Model, usable
from webui.engine.judge import judge
from webui.engine.loras import fitting
from webui.engine.stock import Stock
from webui.engine.tokens import TokenCounter, Tokens
from webui.errors import InvalidRequest, NotAllowed, NotFound, StorageError, TooMany
from webui.events import ENDS, Cancelled, Event, Failed, Finished, Interrupted, Rendered, Waiting
from webui.jobs.forecast import Outlook, Seen, seen
from webui.jobs.job import ATTEMPTS, Job
from webui.jobs.journal import ComparisonEntry, Journal
from webui.jobs.keeper import Keeper
from webui.jobs.line import Line, Room
from webui.jobs.rates import Rates
from webui.jobs.recent import Recent
from webui.people import ONLY_LOOKS, OWNER, Person
from webui.pictures import Pictures
from webui.prompts.words import Words
from webui.request import Request, Resolved
from webui.residents import About, Residents
from webui.settings import Settings, builtin_models
from webui.store.store import Store, encoded
from webui.usual import Usual
from webui.workers.worker import Down, Report, Told, Up, Worker

log = logging.getLogger(__name__)

BATCH_LIMIT = 64
"""Most pictures in one submission."""

WAITING_LIMIT = 1000
"""Most jobs that may wait."""

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
        self.settings, self._lasting = settings, lasting
        self.rates = Rates()
        """How long steps and pictures take here, as measured."""
        self._worker = worker
        self._store = Store(settings.outputs)
        self._store.check()
        self._journal = Journal(settings.outputs / ".stepwise" / "journal.sqlite" if lasting else None)
        self.access = Access(settings.outputs / ".stepwise" / "people.sqlite" if lasting else None)
        self.words = words_of(settings)
        """Wildcards and styles."""
        self.pictures = Pictures(self._store, self.access.shown)
        """Finished ones: files, frames, recipes, and who sees them."""
        self.stock = Stock(model_folders(settings), ledger_of(settings) if lasting else None)
        """What lies in the models' folders."""
        self.usual = usual_of(settings)
        """The model that makes a picture when none is asked for."""
        self.residents = Residents(worker, lambda: {job.request.model for job in list(self._running.values())})
        """The models in memory."""
        self._counter = TokenCounter()
        self._lock = threading.RLock()
        self._line = Line()
        self._running: dict[str, Job] = {}
        self._stopping: set[str] = set()
        """Of those that run: who was asked to stop. If the engine dies before it does, or the studio ends, they are not begun again."""
        self._recent = Recent()
        self._room = Room(0, 1)
        self._outlook = Outlook(self._line, self.rates)
        self._status = Status(state="starting", message=STARTING)
        self._keeper = Keeper(self._save, self._finish, self._dispatch)
        self.comparisons = Comparisons(self, self._journal, self._store)

    # --- life ---

    def start(self) -> None:
        """Start the engine and go on with what was unfinished when the studio last stopped."""
        with self._lock:
            self.comparisons.recover()
            for job in self._journal.unfinished():
                self._recent.add(job)
                found = self._store.find(job.id, job.request, job.created) if job.attempts else None
                if found is not None:
                    # The studio was killed between saving the picture and saying so.
                    self._end(job, Finished(picture=found[0], seconds=found[1]))
                elif job.attempts >= ATTEMPTS:
                    message = "The studio stopped three times while this picture was being made. Change its settings before trying again."
                    self._end(job, Failed(message=message))
                else:
                    self._line.add(job)
        self._worker.start(self._hear)

    def close(self) -> None:
        """Stop. Unfinished jobs stay in the journal and go on at the next start."""
        self._worker.close()
        self._keeper.close()
        self.stock.close()
        with self._lock:
            for job in self._running.values():
                if job.id in self._stopping:
                    self._end(job, Cancelled())
                    continue
                # They did nothing wrong: an attempt that the studio itself ended does not count.
                job.attempts -= 1
                self._started(job)
            self.comparisons.close()
            self._journal.close()
        self.access.close()

    def release(self) -> None:
        """Let every follower of every job go, so that the server can end."""
        with self._lock:
            for job in self._recent:
                job.release()

    def status(self) -> Status:
        """How the engine is, in a word and in a sentence."""
        return self._status

    @property
    def slots(self) -> int:
        """Jobs that advance at once; 0 while the engine is not up."""
        return self._room.places

    # --- jobs ---

    def submit(self, requests: Sequence[Request], by: Person = OWNER) -> list[Job]:
        """Validate all requests, journal them as one group, and put them in line.

        Raises:
            NotAllowed: this person may only look.
            InvalidRequest, ModelError: one of them cannot be run; none was taken.
            TooMany: the line is full, or the owner of these jobs has too many waiting.
            StorageError: the journal cannot be written.
        """
        if not by.makes:
            raise NotAllowed(ONLY_LOOKS)
        if not 1 <= len(requests) <= BATCH_LIMIT:
            raise InvalidRequest(f"Between 1 and {BATCH_LIMIT} pictures at once, please.", "count")
        group, now, there = secrets.token_hex(8), datetime.now().astimezone(), self.stock.models()
        jobs = [Job(uuid.uuid4().hex, group, by.id, resolve(request, there, self.words, self.usual), now) for request in requests]
        self.take(jobs)
        return jobs

    def take(self, jobs: Sequence[Job], entry: ComparisonEntry | None = None) -> None:
        """Journal jobs, with the comparison that they are the cells of, and put those in line that have not ended already.

        Raises:
            TooMany: the line is full; none was taken.
            StorageError: the journal cannot be written; none was taken.
        """
        with self._lock:
            if len(self._line) + len(jobs) > WAITING_LIMIT:
                raise TooMany(f"{len(self._line)} pictures are waiting already. Let some finish first.")
            owner, new = jobs[0].owner, sum(not job.done for job in jobs)
            waiting, limit = len(self._line.of(owner)), self.settings.waiting_per_guest
            if owner != OWNER.id and waiting + new > limit:  # the person in front of the machine has no limit of their own
                raise TooMany(f"A guest may have {limit} pictures waiting, and you have {waiting}. Let some finish, or stop some.")
            self.access.shown.queued([job.id for job in jobs], owner)
            self._journal.add(jobs, entry)
            for job in jobs:
                self._recent.add(job)
                if job.done:
                    continue
                self._line.add(job)
                if self._status.state != "ready":
                    job.append(Waiting(reason=self._status.message))
            self._dispatch()

    def cancel(self, ids: Iterable[str], by: Person = OWNER, *, made: bool = False) -> None:
        """End jobs of one's own, or, as the owner, anybody's: waiting ones at once, running ones at their next step. Others are ignored.

        A picture that is made and only waits for the disk stays, unless those too are to go: `made`.
        """
        with self._lock:
            for id in ids:
                job = self._recent.get(id)
                if job is None or not may_act(by, job) or job.done:
                    continue
                if id in self._running and self._status.state == "ready":
                    self._stopping.add(id)
                    self._worker.cancel(id)
                elif id not in self._running and (self._line.remove(job) or (made and self._keeper.drop(job))):
                    self._end(job, Cancelled())
            self._dispatch()

    def job(self, id: str, by: Person = OWNER) -> Job:
        """One job, live if it is recent.

        Raises:
            NotFound: there is none of that id, or it is another person's and private.
        """
        job = self._recent.get(id) or self._journal.job(id)
        if job is None or not self.sees(by, job):
            raise NotFound("There is no such job.")
        return job

    def group(self, id: str, by: Person = OWNER) -> list[Job]:
        """The jobs that were submitted together as `id`, in their order; empty if there are none that this person may see."""
        return [self._recent.live(job) for job in self._journal.group(id) if self.sees(by, job)]

    def latest(self, by: Person = OWNER) -> list[Job]:
        """The group that this person submitted last; empty if there is none."""
        group = self._journal.latest(by.id)
        return self.group(group, by) if group else []

    def sees(self, by: Person, job: Job) -> bool:
        """Whether somebody may see a job: their own, one that is shown to the team, or, as the owner, any."""
        return self.access.shown.sees(by, job.id, job.owner)

    def move(self, id: str, before: str | None, by: Person = OWNER) -> None:
        """Put a waiting job of one's own before another of one's own, or, with `None`, behind all of them. It stays so after a restart.

        Raises:
            NotFound: one of them is not one's own, or waits no longer.
            StorageError: the journal cannot be written; nothing was moved.
        """
        with self._lock:
            own = {job.id: job for job in self._line.of(by.id)}
            job, other = own.get(id), own.get(before) if before is not None else None
            if job is None or (before is not None and other is None):
                raise NotFound("There is no such job waiting.")
            order = [one for one in own.values() if one is not job]
            order.insert(len(order) if other is None else order.index(other), job)
            if job is not other:
                self._journal.moved(order)
                self._line.move(job, other)

    def queue(self, by: Person = OWNER) -> list[Seen]:
        """What runs and what waits, of everybody, in the order in which it starts. Prompts that this person may not see are left out."""
        with self._lock:
            turns = self._outlook.turns(self._running.values(), self._room)
        entries = seen(turns, by.id, lambda job: self.sees(by, job))
        return [entry.model_copy(update={"who": self.access.guests.called(entry.who)}) for entry in entries]

    @property
    def trouble(self) -> str | None:
        """Why pictures cannot be saved at the moment, and what to do about it; `None` while all is well."""
        return self._keeper.trouble

    # --- models ---

    def models(self) -> dict[str, Model]:
        """What can be used, by name."""
        return usable(self.stock.models())

    def default_model(self) -> Model:
        """The model that makes a picture when none is asked for.

        Raises:
            ModelError: there is none at all.
        """
        return self.usual.find(self.stock.models(), None)

    def loras(self, model: str | None) -> dict[str, Model]:
        """The LoRAs that a model takes, by the names that a prompt calls them."""
        there = self.stock.models()
        return fitting(there, self.usual.find(there, model).family)

    def vaes(self, model: str | None) -> dict[str, Model]:
        """The VAEs that fit a model, by name."""
        there = self.stock.models()
        return vaes.fitting(there, self.usual.find(there, model))

    def tokens(self, request: Request) -> Tokens:
        """How many tokens the prompt has for its model, and where its text encoders' windows end.

        Raises:
            InvalidRequest, ModelError: it cannot be told; the sentence says why.
        """
        sample = self.words.sample(request)
        there = self.stock.models()
        counted = self._counter.count(self.usual.find(there, request.model), sample.text, there)
        return counted._replace(sample=sample.chance, problem=sample.problem)

    def download(self, id: str, by: Person = OWNER) -> bytes:
        """A job's picture as a PNG, from memory if the disk does not take it at the moment.

        Raises:
            NotFound: there is no such job, or it has no picture yet.
        """
        job = self.job(id, by)
        if (kept := self._keeper.held(id)) is not None:
            return encoded(kept.rgb, kept.width, kept.height, job.request, kept.seconds, datetime.now().astimezone(), kept.how)
        if isinstance(job.last, Finished):
            return self._store.path(job.last.picture).read_bytes()
        raise NotFound("This job has no picture yet.")

    # --- what the worker says ---

    def _hear(self, report: Report) -> None:
        if isinstance(report, About):
            self.residents.hear(report)
        with self._lock:
            if isinstance(report, Up):
                self._room = Room(report.slots, report.models)
                self._status = Status(state="ready", message=f"Ready on {report.place}.", device=report.device)
                self._dispatch()
            elif isinstance(report, Down):
                self._lost(report)
            elif isinstance(report, Told) and report.job in self._running:
                self.rates.hear(report.job, self._running[report.job].request, report.event, len(self._running))
                self._happened(self._running[report.job], report)
                self._foretell()

    def _happened(self, job: Job, told: Told) -> None:
        event = told.event
        if isinstance(event, (Rendered, *ENDS)):
            self._stopping.discard(job.id)
        if isinstance(event, Rendered):
            # The engine's place is free; writing to disk must not hold up the others' events.
            del self._running[job.id]
            self._keeper.keep(job, event)
        elif isinstance(event, ENDS):
            del self._running[job.id]
            self._end(job, event)
        else:
            job.append(event)
            return
        self._dispatch()

    def _lost(self, down: Down) -> None:
        message = down.reason if down.final else f"The engine stopped: {down.reason}. It is being started again."
        self._status = Status(state="stopped" if down.final else "restarting", message=message)
        if down.final and self._lasting:
            log.error("%s", message)  # a command says it itself
        jobs, self._running, self._room = list(self._running.values()), {}, Room(0, 1)
        self._line.cold()
        for job in reversed(jobs):
            if job.id in self._stopping:
                self._stopping.discard(job.id)
                self._end(job, Cancelled())
            elif job.attempts >= ATTEMPTS:
                self._end(job, Failed(message=f"The engine stopped three times while making this picture; the last time, {down.reason}."))
            else:
                job.append(Interrupted(reason=message if down.final else f"{message.removesuffix('.')}, and this picture with it."))
                self._line.add(job, first=True)
        if down.final:
            # They stay in the journal, and are made when the studio is started with another device, say.
            for job in self._line:
                job.append(Waiting(reason=message))

    def _dispatch(self) -> None:
        with self._lock:
            # With a full disk the engine stops before memory is full too.
            while self._room.places and not self._keeper.full:
                job = self._line.take(self._running.values(), self._room, time.monotonic())
                if job is None:
                    break
                job.attempts += 1
                self._started(job)
                self._running[job.id] = job
                self.rates.enter(job.id)
                self._worker.submit(job.id, job.request)
            self._foretell()

    def _foretell(self) -> None:
        self._outlook.tell(self._running.values(), self._room, self._keeper.trouble if self._keeper.full else None)

    def _started(self, job: Job) -> None:
        try:
            self._journal.started(job)
        except StorageError as error:
            # Without its count the job may get one attempt too many; that is better than none.
            log.warning("job %s: %s", job.id, error.message)

    def _save(self, job: Job, picture: Rendered) -> str:
        now = datetime.now().astimezone()
        size = picture.width, picture.height
        return self._store.save(job.request, picture.rgb, *size, job.frames, picture.seconds, now, job.id, picture.how)

    def _finish(self, job: Job, event: Event) -> None:
        """Journal first, then the log: whoever reads "finished" can rely on it."""
        if isinstance(event, Finished):
            self.access.shown.finished(job.id, job.owner, event.picture)
        self._journal.ended(job, event)
        job.append(event)
        self.comparisons.ended(job)

    def _end(self, job: Job, event: Event) -> None:
        """A job's end, also where the disk does not take it at the moment."""
        try:
            self._finish(job, event)
        except StorageError as error:
            log.warning("job %s: %s", job.id, error.message)
            job.append(event)
            self._keeper.end(job, event)


def may_act(by: Person, job: Job) -> bool:
    """Whether somebody may stop, delete or move a job: one's own, or, as the owner, anybody's."""
    return by.owns or by.id == job.owner


def resolve(request: Request, models: Mapping[str, Model], words: Words, usual: Usual) -> Resolved:
    """The request with nothing left to guess, its wildcards drawn, checked against its model.

    Raises:
        InvalidRequest, ModelError: it cannot be run.
        StorageError: it asks for styles, and their file cannot be used.
    """
    model = usual.find(models, request.model)
    return judge(words.drawn(request.resolve(model.defaults, model.name)), model, models)


def ledger_of(settings: Settings) -> Path:
    """Where is kept what was read of the models' files."""
    return settings.outputs / ".stepwise" / "models.sqlite"


def usual_of(settings: Settings) -> Usual:
    """Which model makes a picture when none is asked for."""
    return Usual(settings.outputs / ".stepwise" / "default-model.json")


def words_of(settings: Settings) -> Words:
    """The wildcards and styles beside the person's folder of models."""
    return Words(settings.models.absolute().parent)


def model_folders(settings: Settings) -> tuple[Path, ...]:
    """Where models are looked for: the person's own folder, then what ships with the studio."""
    return tuple(dict.fromkeys((settings.models.resolve(), builtin_models().resolve())))
