"""A running studio for as long as a command lasts, and a bar for what it does."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from webui.engine.shelf import Shelf
from webui.errors import EngineFailed
from webui.events import Step, Waiting
from webui.jobs.job import Job
from webui.jobs.keeper import HELD_WORDS
from webui.settings import Settings
from webui.studio import Studio, model_folders, usual_of
from webui.workers.local import LocalWorker

HELD_HERE = "Pictures are kept in memory and saved as soon as there is room; Ctrl+C gives them up."
"""What is said here in place of the page's words, which offer a download."""

UNFINISHED = "Not finished."
"""What is said of a picture that Ctrl+C came before."""


@contextmanager
def running(settings: Settings, *, lasting: bool = True, preload: bool = False) -> Iterator[Studio]:
    """A running studio with an engine in a child process. For a command, which does not last, the engine is up by then.

    Raises:
        EngineFailed: it never will be.
    """
    default = usual_of(settings).find(Shelf(model_folders(settings)), None).name if preload else None
    folders, wishes = model_folders(settings), settings.wishes
    worker = LocalWorker(folders, settings.device, settings.previews, threads=settings.threads, wishes=wishes, preload=default)
    studio = Studio(settings, worker, lasting=lasting)
    studio.start()
    try:
        while not lasting and studio.status().state != "ready":
            if studio.status().state == "stopped":
                raise EngineFailed(studio.status().message)
            time.sleep(0.05)
        yield studio
    finally:
        studio.close()


def show_progress(jobs: Sequence[Job]) -> None:
    """A bar over all steps of all jobs, on a terminal only; returns when every job has ended.

    That the disk refuses pictures is said on standard error: nothing ends before somebody makes room.
    """
    total, said = sum(job.request.steps for job in jobs), set[str]()
    with tqdm(total=total, unit="step", disable=not sys.stderr.isatty(), leave=False, file=sys.stderr) as bar:
        while not all(job.done for job in jobs):
            next(job for job in jobs if not job.done).wait(0.1)
            bar.update(sum(_steps_done(job) for job in jobs) - bar.n)
            for reason in _refusals(jobs):
                if reason not in said:
                    said.add(reason)
                    bar.write(reason.replace(HELD_WORDS, HELD_HERE), file=sys.stderr)


def _steps_done(job: Job) -> int:
    steps = [event.i for event in job.events if isinstance(event, Step)]
    return steps[-1] if steps else 0


def _refusals(jobs: Sequence[Job]) -> list[str]:
    """Why pictures that are made cannot be saved. What is ordinary, such as a model that is being loaded, is not among it."""
    return [event.reason for job in jobs for event in job.events if isinstance(event, Waiting) and event.download]
