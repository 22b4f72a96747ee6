"""The engine in a child process of this machine, supervised: if it dies it is started again, with back-off."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel

from webui.request import Resolved
from webui.settings import Previews, Wishes
from webui.workers.worker import REPORT, Cancel, Down, Load, Report, Submit, Unload, Up, Weigh

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
"""Half the seconds between an engine's death and its next start; they double each time."""

LONGEST_PAUSE = 30.0
"""Seconds between two starts of an engine that keeps dying."""

STARTS = 3
"""An engine that died so many times before it was ever ready is given up."""

CALM = 60.0
"""An engine that has run this many seconds is healthy: the next back-off starts anew."""

ENGINE_ENVIRONMENT = {
    # A busy neighbour (a browser) makes a step 13 times slower if OpenMP's threads spin while they wait for each other.
    "OMP_WAIT_POLICY": "PASSIVE",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "YES",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


class Setup(BaseModel):
    """What the child needs to know; its first line of input."""

    models: tuple[Path, ...]
    device: str
    previews: Previews
    wishes: Wishes = Wishes()
    preload: str | None = None
    """A model to load before anybody asks, so that the first picture need not wait for it."""


class LocalWorker:
    """A `Worker` in one child process per device."""

    def __init__(
        self,
        models: Sequence[Path],
        device: str,
        previews: Previews,
        *,
        threads: int | None = None,
        wishes: Wishes | None = None,
        preload: str | None = None,
    ) -> None:
        wishes = wishes or Wishes()
        self._setup = Setup(models=tuple(models), device=device, previews=previews, wishes=wishes, preload=preload)
        self._threads = threads or min(4, physical_cores())
        self._child: subprocess.Popen[bytes] | None = None
        self._writing = threading.Lock()
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None
        self._up = False
        """Whether an engine was ready once."""

    def start(self, tell: Callable[[Report], None]) -> None:
        self._child = self._spawn()
        self._watcher = threading.Thread(target=self._watch, args=(tell,), name="engine-watcher", daemon=True)
        self._watcher.start()

    def submit(self, job: str, request: Resolved) -> None:
        self._send(Submit(job=job, request=request))

    def cancel(self, job: str) -> None:
        self._send(Cancel(job=job))

    def load(self, model: str) -> None:
        self._send(Load(model=model))

    def unload(self, model: str) -> None:
        self._send(Unload(model=model))

    def weigh(self, models: Sequence[str]) -> None:
        self._send(Weigh(models=tuple(models)))

    def close(self) -> None:
        self._closing.set()
        if self._child is not None:
            # Nothing is lost by a kill: the child writes no files, and unfinished jobs are in the journal.
            self._child.kill()
        if self._watcher is not None:
            self._watcher.join(timeout=2)

    @property
    def pid(self) -> int | None:
        """Process number of the engine, for those who measure it."""
        return self._child.pid if self._child else None

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = os.environ | ENGINE_ENVIRONMENT | {"OMP_NUM_THREADS": str(self._threads)}
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "webui.workers.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._write(child, self._setup)
        return child

    def _send(self, message: BaseModel) -> None:
        if self._child is not None:
            self._write(self._child, message)

    def _write(self, child: subprocess.Popen[bytes], message: BaseModel) -> None:
        assert child.stdin is not None
        with self._writing:
            try:
                child.stdin.write(message.model_dump_json().encode() + b"\n")
                child.stdin.flush()
            except OSError:
                log.debug("the engine is gone; its watcher will say so")

    def _watch(self, tell: Callable[[Report], None]) -> None:
        pause, starts = FIRST_PAUSE, 0
        while self._child is not None:
            began = time.monotonic()
            down = self._listen(self._child, tell)
            if self._closing.is_set():
                return
            starts += 1
            if starts >= STARTS and not self._up and not down.final:
                last = f"the last time, {down.reason}. The log has the details."
                down = Down(reason=f"The engine stopped {starts} times before it was ready; {last}", final=True)
            if down.final:
                tell(down)
                return
            log.warning("the engine stopped: %s", down.reason)
            tell(down)
            pause = FIRST_PAUSE if time.monotonic() - began > CALM else min(2 * pause, LONGEST_PAUSE)
            if self._closing.wait(pause):
                return
            self._child = self._spawn()

    def _listen(self, child: subprocess.Popen[bytes], tell: Callable[[Report], None]) -> Down:
        """Pass the child's reports on until it ends; why it ended, in its own words if it said so."""
        assert child.stdout is not None and child.stdin is not None
        down: Down | None = None
        for line in child.stdout:
            if not line.endswith(b"\n"):
                break  # cut off in the middle of a report
            report = REPORT.validate_json(line)
            if isinstance(report, Down):
                down = report
                continue
            tell(report)
            if isinstance(report, Up):
                self._up = True
                log.info("the engine is ready on %s", report.place)
        status = child.wait()
        child.stdout.close()
        return down or Down(reason=_words(status))


def _words(status: int) -> str:
    """Exit status of the engine's process in words that a person can use."""
    if status == -signal.SIGKILL:
        return "it was killed, most likely because the machine ran out of memory"
    if status < 0:
        return f"it crashed ({signal.Signals(-status).name})"
    return f"it ended with status {status}"


def physical_cores() -> int:
    """Physical cores that this process may use; hyper-threads share one core's arithmetic and only disturb each other."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    siblings = {_siblings(core) for core in allowed}
    return max(1, len(siblings))


def _siblings(core: int) -> str:
    file = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    return file.read_text().strip() if file.is_file() else str(core)
