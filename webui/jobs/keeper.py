"""What the engine made, on its way to the disk: one after another, in memory as long as the disk refuses."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from webui.errors import DiskFull, StorageError
from webui.events import ENDS, Event, Failed, Finished, Rendered, Waiting
from webui.jobs.job import Job

log = logging.getLogger(__name__)

RETRY = 3.0
"""Seconds between two tries to write what the disk refused."""

HELD = 256 * 2**20
"""Bytes of pictures in memory from which on no new ones are begun."""

HELD_WORDS = "The picture is kept in memory and saved as soon as there is room; it can be downloaded meanwhile."


@dataclass(eq=False)
class Kept:
    """A job whose picture, or whose end alone, is not on the disk yet."""

    job: Job
    picture: Rendered | None
    ending: Event | None


class Keeper:
    """Writes pictures, then the journal's word that they are finished. Safe between threads; a thread of its own does the writing."""

    def __init__(self, save: Callable[[Job, Rendered], str], finish: Callable[[Job, Event], None], freed: Callable[[], None]) -> None:
        """`save` writes a picture and returns its name; `finish` writes a job's end, on the disk and then into its log. Both raise
        `StorageError`. `freed` hears of room."""
        self._save, self._finish, self._freed = save, finish, freed
        self._kept: list[Kept] = []
        self._writing: Kept | None = None
        self._trouble: str | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="keeper", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written at the moment, and what to do about it; `None` while all is well."""
        return self._trouble

    @property
    def full(self) -> bool:
        """Whether so much is held that the engine should not make more."""
        with self._changed:
            return self._trouble is not None and sum(len(kept.picture.rgb) for kept in self._kept if kept.picture) >= HELD

    def keep(self, job: Job, picture: Rendered) -> None:
        """Write a picture, now or as soon as there is room; then the job says `Finished`."""
        self._put(Kept(job, picture, None))
        if (trouble := self._trouble) is not None:
            job.append(Waiting(reason=f"{trouble} {HELD_WORDS}", download=True))

    def end(self, job: Job, ending: Event) -> None:
        """Write a job's end, which its log already says, as soon as there is room."""
        self._put(Kept(job, None, ending))

    def held(self, id: str) -> Rendered | None:
        """The picture of a job as long as it is not on the disk."""
        with self._changed:
            return next((kept.picture for kept in self._kept if kept.job.id == id), None)

    def drop(self, job: Job) -> bool:
        """Give up a picture that is not on the disk; whether it still could be."""
        with self._changed:
            kept = next((kept for kept in self._kept if kept.job is job), None)
            if kept is None or kept is self._writing or kept.ending is not None:
                return False
            self._kept.remove(kept)
            if not self._kept:
                self._trouble = None
            return True

    def close(self) -> None:
        """Write what can be written, and end. What the disk refuses is made again at the studio's next start, from the same seed."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _put(self, kept: Kept) -> None:
        with self._changed:
            self._kept.append(kept)
            self._changed.notify_all()

    def _work(self) -> None:
        while (kept := self._next()) is not None:
            try:
                self._write(kept)
            except StorageError as error:
                self._refused(error)
                continue
            except Exception as error:
                log.error("job %s: its picture could not be saved", kept.job.id, exc_info=error)
                self._give_up(kept.job)
            self._done(kept)

    def _next(self) -> Kept | None:
        """What has waited longest; `None` when it is time to end."""
        with self._changed:
            if self._trouble is not None and not self._closing:
                self._changed.wait_for(lambda: self._closing, RETRY)
            self._changed.wait_for(lambda: self._closing or self._kept)
            if self._closing and (not self._kept or self._trouble is not None):
                return None
            self._writing = self._kept[0] if self._kept else None
            return self._writing

    def _write(self, kept: Kept) -> None:
        if kept.ending is None:
            assert kept.picture is not None
            # From here on only the journal can refuse: the picture is not saved a second time.
            kept.ending = Finished(picture=self._save(kept.job, kept.picture), seconds=kept.picture.seconds)
        self._finish(kept.job, kept.ending)

    def _give_up(self, job: Job) -> None:
        """The job has failed for good: without the journal's word it would be made again at the next start."""
        lost = Failed(message=f"The picture could not be saved. The log has the details under {job.id[:8]}.")
        ending = job.last if job.done else lost
        try:
            self._finish(job, ending)
        except Exception as error:
            log.error("job %s: nor could its end", job.id, exc_info=error)
            job.append(ending)

    def _refused(self, error: StorageError) -> None:
        reason = f"Waiting for disk space. {error.message}" if isinstance(error, DiskFull) else error.message
        with self._changed:
            told, self._trouble, self._writing = self._trouble, reason, None
            jobs = [kept.job for kept in self._kept if kept.picture is not None and not isinstance(kept.job.last, ENDS)]
        if told != reason:
            for job in jobs:
                job.append(Waiting(reason=f"{reason} {HELD_WORDS}", download=True))

    def _done(self, kept: Kept) -> None:
        with self._changed:
            self._kept.remove(kept)
            self._writing = None
            freed, self._trouble = self._trouble is not None, None
        if freed:
            self._freed()
