"""A running studio for as long as a command lasts, and a bar for what it does."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from webui.engine.shelf import Shelf
from webui.events import Step
from webui.jobs.job import Job
from webui.settings import Settings
from webui.studio import Studio, model_folders, usual_of
from webui.workers.local import LocalWorker


@contextmanager
def running(settings: Settings, *, lasting: bool = True, preload: bool = False) -> Iterator[Studio]:
    """A running studio with an engine in a child process."""
    default = usual_of(settings).find(Shelf(model_folders(settings)), None).name if preload else None
    folders, wishes = model_folders(settings), settings.wishes
    worker = LocalWorker(folders, settings.device, settings.previews, threads=settings.threads, wishes=wishes, preload=default)
    studio = Studio(settings, worker, lasting=lasting)
    studio.start()
    try:
        yield studio
    finally:
        studio.close()


def show_progress(jobs: Sequence[Job]) -> None:
    """A bar over all steps of all jobs, on a terminal only; returns when every job has ended."""
    total = sum(job.request.steps for job in jobs)
    with tqdm(total=total, unit="step", disable=not sys.stderr.isatty(), leave=False, file=sys.stderr) as bar:
        while not all(job.done for job in jobs):
            next(job for job in jobs if not job.done).wait(0.1)
            bar.update(sum(_steps_done(job) for job in jobs) - bar.n)


def _steps_done(job: Job) -> int:
    steps = [event.i for event in job.events if isinstance(event, Step)]
    return steps[-1] if steps else 0
