"""The comparisons of a studio, each a group of its jobs. All state is in the journal; a file beside the pictures says the same."""

from __future__ import annotations

import logging
import secrets
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from webui.comparison import Axis, Cell, Comparison
from webui.comparisons.estimate import seconds as seconds_of
from webui.comparisons.measures import Distance
from webui.engine import samplers
from webui.engine.catalogue import Model, find
from webui.engine.judge import judge
from webui.engine.stock import Stock
from webui.errors import InvalidRequest, ModelError, NotAllowed, NotFound, StorageError, UserError
from webui.events import Cancelled, Event, Failed, Finished
from webui.jobs.job import Job
from webui.jobs.journal import ComparisonEntry, Journal
from webui.jobs.rates import Rates, about
from webui.people import ONLY_LOOKS, OWNER, Person
from webui.prompts.words import Words
from webui.request import Defaults, Request, Resolved
from webui.settings import Settings
from webui.store.record import Record, RecordedCell
from webui.store.store import Store
from webui.usual import Usual

log = logging.getLogger(__name__)

MANY_CELLS = 16
LONG = 60.0
MANY_STEPS = 500
"""More cells, more seconds, or, as long as the seconds are not known, more steps than these, and the page asks before it begins."""

SETTLING = 5.0
"""Seconds between a job's end in the journal and in its log, at the very most."""

SLOTS = 8
"""Assumed of an engine that is not up yet."""

NO_COMPARISON = "There is no such comparison."
GONE = "The picture of this cell is gone."


class Home(Protocol):
    """What a studio gives its comparisons."""

    settings: Settings
    rates: Rates
    stock: Stock
    words: Words
    usual: Usual

    @property
    def slots(self) -> int:
        """Jobs that advance at once."""

    def take(self, jobs: Sequence[Job], entry: ComparisonEntry | None = None) -> None:
        """Journal jobs and put those that have not ended in line."""

    def group(self, id: str, by: Person) -> list[Job]:
        """The jobs of a group that somebody may see."""

    def sees(self, by: Person, job: Job) -> bool:
        """Whether somebody may see a job."""

    def cancel(self, ids: Iterable[str], by: Person) -> None:
        """End jobs."""


class Compared(NamedTuple):
    """A comparison and the jobs of its cells, row by row."""

    entry: ComparisonEntry
    jobs: tuple[Job, ...]

    @property
    def comparison(self) -> Comparison:
        """What is compared."""
        return self.entry.comparison

    @property
    def cells(self) -> list[tuple[Cell, Job]]:
        """Each cell with its job."""
        return list(zip(self.comparison.cells(), self.jobs, strict=True))

    @property
    def finished(self) -> bool:
        """Whether every cell has ended, one way or the other."""
        return all(job.done for job in self.jobs)


class Estimate(NamedTuple):
    """What a comparison would cost. `seconds` is `None` as long as nothing like it has been measured on this machine."""

    cells: int
    steps: int
    seconds: float | None
    large: bool
    """Whether to ask before it begins."""
    sentence: str


class Comparisons:
    """Safe between threads."""

    def __init__(self, home: Home, journal: Journal, store: Store) -> None:
        self._home = home
        self._journal = journal
        self.store = store
        self._extending = threading.Lock()
        # What is written after a job's end must not hold up the others' events.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self.distances: dict[tuple[str, str], Distance] = {}
        """Measured already, by the names of both pictures: pictures never change under their names."""
        home.rates.recall(journal.rates(home.settings.device))

    def begin(self, comparison: Comparison, by: Person) -> Compared:
        """Journal a comparison and put its cells in line. A cell that cannot be run has failed from the start; the others are made.

        Raises:
            NotAllowed: this person may only look.
            InvalidRequest, ModelError: a value that does not exist, or not one cell can be run.
            TooMany: the line is full.
            StorageError: the journal cannot be written.
        """
        if not by.makes:
            raise NotAllowed(ONLY_LOOKS)
        fixed = settled(comparison, self._home.stock.models(), self._home.usual)
        entry = ComparisonEntry(secrets.token_hex(8), by.id, datetime.now().astimezone(), fixed)
        self._home.take(made(entry, fixed.requests(), self._home.stock.models(), self._home.words), entry)
        return self._compared(entry)

    def extend(self, id: str, values: Sequence[Any], by: Person) -> Compared:
        """Add columns. What is there already is not run again.

        Raises:
            NotFound, NotAllowed: there is no such comparison, or it is another person's.
            InvalidRequest, ModelError, TooMany, StorageError: as in `begin`; nothing was added.
        """
        with self._extending:
            entry = self._own(id, by).entry
            longer, before = entry.comparison.extended(values), len(entry.comparison.columns)
            columns = longer.axes[0]
            # Of what was there before, a model may have left: its pictures are made.
            named(Axis(field=columns.field, values=columns.values[before:]), self._home.stock.models())
            new = [one for cell, one in zip(longer.cells(), longer.requests(), strict=True) if cell.column >= before]
            entry = entry._replace(comparison=longer)
            self._home.take(made(entry, new, self._home.stock.models(), self._home.words), entry)
        return self._compared(entry)

    def again(self, id: str, by: Person) -> Compared:
        """A new comparison of the same settings.

        Raises:
            NotFound: there is no such comparison that this person may see.
            NotAllowed, InvalidRequest, ModelError, TooMany, StorageError: as in `begin`.
        """
        return self.begin(self.get(id, by).comparison, by)

    def stop(self, id: str, by: Person) -> Compared:
        """End the cells that are not finished; the others stay.

        Raises:
            NotFound, NotAllowed: there is no such comparison, or it is another person's.
        """
        compared = self._own(id, by)
        self._home.cancel([job.id for job in compared.jobs], by)
        return compared

    def get(self, id: str, by: Person) -> Compared:
        """One comparison with its jobs, live or late.

        Raises:
            NotFound: there is no such comparison, or some of its pictures are another person's and private.
        """
        entry = self._journal.comparison(id)
        if entry is None:
            raise NotFound(NO_COMPARISON)
        compared = self._compared(entry)
        if not all(self._home.sees(by, job) for job in compared.jobs):
            raise NotFound(NO_COMPARISON)
        return compared

    def of(self, by: Person) -> list[tuple[ComparisonEntry, bool]]:
        """This person's comparisons, newest first, and whether each is finished."""
        return self._journal.comparisons(by.id)

    def estimate(self, comparison: Comparison, by: Person) -> Estimate:
        """What it would cost; nothing is run.

        Raises:
            NotAllowed, InvalidRequest, ModelError: as in `begin`.
        """
        if not by.makes:
            raise NotAllowed(ONLY_LOOKS)
        jobs = cells_of(comparison, self._home.stock.models(), self._home.words, self._home.usual)
        requests = [job.request for job in jobs if not job.done]
        steps = sum(request.steps for request in requests)
        seconds = seconds_of(self._home.rates, requests, self._home.slots or SLOTS)
        large = len(jobs) > MANY_CELLS or (steps > MANY_STEPS if seconds is None else seconds > LONG)
        return Estimate(len(jobs), steps, seconds, large, _cost(len(jobs), len(jobs) - len(requests), steps, seconds))

    def ended(self, job: Job) -> None:
        """After a job's last event: keep what it taught about the machine, and write the file once every cell has ended."""
        self._writer.submit(self._note, job)

    def close(self) -> None:
        """Write what is left to write."""
        self._writer.shutdown(wait=True)

    def recover(self) -> None:
        """At the start: take up comparisons that only the folder of pictures knows, as the owner's, and write files that are missing."""
        files = set(self.store.records())
        for entry, finished in self._journal.comparisons():
            if self._file(entry) in files:
                files.discard(self._file(entry))
            elif finished:
                self._rewrite(entry)
        for name in sorted(files):
            record = self.store.record(name)
            if record is not None and self._journal.comparison(record.id) is None:
                entry = ComparisonEntry(record.id, OWNER.id, record.created, record.comparison)
                try:
                    self._journal.add(self._found(entry, record), entry)
                except UserError as error:
                    log.warning("%s is left aside: %s", name, error)

    def _rewrite(self, entry: ComparisonEntry) -> None:
        try:
            self._record(self._compared(entry))
        except UserError as error:
            log.warning("comparison %s is left aside: %s", entry.id, error)

    def _note(self, job: Job) -> None:
        try:
            job.wait(SETTLING)  # its end may be on its way into the log
            self._journal.keep_rates(self._home.settings.device, self._home.rates.known(job.request.model))
            entry = self._journal.comparison(job.group)
            compared = self._compared(entry) if entry else None
            if compared is not None and compared.finished:
                self._record(compared)
        except Exception as error:
            log.error("what follows the end of job %s failed", job.id, exc_info=error)

    def _own(self, id: str, by: Person) -> Compared:
        compared = self.get(id, by)
        if not by.owns and by.id != compared.entry.owner:
            raise NotAllowed("This comparison is another person's. Run it again to have one of your own.")
        return compared

    def _compared(self, entry: ComparisonEntry) -> Compared:
        """A cell's job is the one that has its values: no two cells have the same."""
        fields = [axis.field for axis in entry.comparison.axes]
        jobs = {tuple(getattr(job.request, field) for field in fields): job for job in self._home.group(entry.id, OWNER)}
        try:
            return Compared(entry, tuple(jobs[tuple(cell.values.values())] for cell in entry.comparison.cells()))
        except KeyError:
            raise NotFound("Some cells of this comparison are lost. Begin it anew.") from None

    def _file(self, entry: ComparisonEntry) -> str:
        return self.store.record_name(entry.id, entry.comparison.title, entry.created)

    def _record(self, compared: Compared) -> None:
        """Write the file of a finished comparison of which there is a picture."""
        entry, record = compared.entry, recorded(compared)
        if all(self._recipe(cell) is None for cell in record.cells):
            return
        try:
            self.store.write_record(self._file(entry), record)
        except StorageError as error:
            # The pictures and the journal have all of it; the next start tries again.
            log.warning("comparison %s is not written beside its pictures: %s", entry.id, error)

    def _found(self, entry: ComparisonEntry, record: Record) -> list[Job]:
        """The jobs of a comparison from its file. A cell whose picture is gone, or is another's, has failed."""
        pictures = {tuple(cell.values.items()): cell for cell in record.cells}
        jobs = []
        for cell, request in zip(entry.comparison.cells(), entry.comparison.requests(), strict=True):
            known = pictures.get(tuple(cell.values.items()), RecordedCell(values=cell.values))
            resolved = self._recipe(known)
            if resolved is None or any(getattr(resolved, field) != value for field, value in cell.values.items()):
                model = self._home.stock.models().get(request.model or "")
                resolved = request.resolve(model.defaults if model else Defaults(), request.model or "")
                end: Event = Failed(message=known.error or GONE)
            else:
                end = Finished(picture=known.picture or "", seconds=known.seconds or 0.0)
            job = Job(uuid.uuid4().hex, entry.id, entry.owner, resolved, entry.created)
            job.append(end)
            jobs.append(job)
        return jobs

    def _recipe(self, cell: RecordedCell) -> Resolved | None:
        try:
            return self.store.recipe(cell.picture) if cell.picture else None
        except UserError:
            return None


def cells_of(comparison: Comparison, models: Mapping[str, Model], words: Words, usual: Usual) -> list[Job]:
    """The jobs that a comparison would be, row by row; nothing is begun.

    Raises:
        InvalidRequest, ModelError: a value that does not exist, or not one cell can be run.
    """
    fixed = settled(comparison, models, usual)
    return made(ComparisonEntry("", "", datetime.now().astimezone(), fixed), fixed.requests(), models, words)


def settled(comparison: Comparison, models: Mapping[str, Model], usual: Usual) -> Comparison:
    """With nothing left open that cells would have to agree on: a model's defaults may change before a column is added."""
    for axis in comparison.axes:
        named(axis, models)
    if comparison.varies("model"):
        return comparison.seeded()
    model = usual.find(models, comparison.request.model)
    return comparison.of(Request.parse(comparison.request.resolve(model.defaults, model.name).asked))


def named(axis: Axis, models: Mapping[str, Model]) -> None:
    """Refuse a sampler, a schedule or a model that does not exist: that is a slip, and no result to wait for."""
    for value in axis.values:
        if axis.field == "model":
            find(models, str(value))
        elif axis.field == "sampler":
            samplers.named(str(value), samplers.AUTOMATIC)
        elif axis.field == "schedule":
            samplers.named(next(iter(samplers.SAMPLERS)), str(value))


def made(entry: ComparisonEntry, requests: Sequence[Request], models: Mapping[str, Model], words: Words) -> list[Job]:
    """The jobs of new cells; one that cannot be run has failed.

    Raises:
        InvalidRequest, ModelError, StorageError: not one can be run.
    """
    now, jobs, refused = datetime.now().astimezone(), [], None
    for request in requests:
        resolved, end = request.resolve(Defaults(), request.model or ""), None
        try:
            model = find(models, request.model)
            resolved = request.resolve(model.defaults, model.name)
            resolved = words.drawn(resolved)
            resolved = judge(resolved, model, models)
        except (InvalidRequest, ModelError, StorageError) as error:
            refused, end = refused or error, Failed(message=error.message)
        job = Job(uuid.uuid4().hex, entry.id, entry.owner, resolved, now)
        if end is not None:
            job.append(end)
        jobs.append(job)
    if refused is not None and all(job.done for job in jobs):
        raise refused
    return jobs


def recorded(compared: Compared) -> Record:
    """A comparison as it is written beside its pictures, and into its contact sheet."""
    entry = compared.entry
    cells = tuple(_recorded(cell, job.last) for cell, job in compared.cells)
    return Record(id=entry.id, created=entry.created, comparison=entry.comparison, cells=cells)


def _recorded(cell: Cell, last: Event) -> RecordedCell:
    if isinstance(last, Finished):
        return RecordedCell(values=cell.values, picture=last.picture, seconds=last.seconds)
    return RecordedCell(values=cell.values, error=error_of(last))


def error_of(last: Event) -> str | None:
    """Why a cell has no picture, as a sentence; `None` if it has one, or may still get one."""
    return last.message if isinstance(last, Failed) else "Stopped." if isinstance(last, Cancelled) else None


def _cost(cells: int, refused: int, steps: int, seconds: float | None) -> str:
    some = f"{cells} cell{'s' * (cells != 1)}, {steps} step{'s' * (steps != 1)} in all"
    cannot = f" {refused} of them cannot be run with these settings." if refused else ""
    if seconds is None:
        return f"{some}. How long that takes is known once a picture has been made here with this model.{cannot}"
    return f"{some}, {about(seconds)} on this machine.{cannot}"
