"""A running studio for as long as a command lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from webui.engine.catalogue import find, scan
from webui.settings import Settings
from webui.studio import Studio, model_folders
from webui.workers.local import LocalWorker


@contextmanager
def running(settings: Settings, *, lasting: bool = True, preload: bool = False) -> Iterator[Studio]:
    """A running studio with an engine in a child process."""
    default = find(scan(model_folders(settings)), None).name if preload else None
    worker = LocalWorker(model_folders(settings), settings.device, settings.previews, threads=settings.threads, preload=default)
    studio = Studio(settings, worker, lasting=lasting)
    studio.start()
    try:
        yield studio
    finally:
        studio.close()
