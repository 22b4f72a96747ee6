"""A studio that can be killed: front and engine in processes of their own, asked over HTTP.

`python -m tests.kills MODELS OUTPUTS` is the front. It serves REST without the page, so that a restart takes a second and not ten.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx
import typer
from PIL import Image

from webui.store.store import Store

ROOT = Path(__file__).parents[1]

Victim = Literal["engine", "front", "both"]

LIMIT = 180.0
"""Seconds in which all jobs must have ended."""


class Outcome(NamedTuple):
    """What is there in the end."""

    acknowledged: int
    finished: int
    pictures: int
    """On disk, each of them read to its last byte."""
    unchanged: bool
    """Whether every picture was made from the seed that was asked for, by its own word and by its job's."""
    twice: int
    """Pictures on disk that no job knows: made a second time."""
    interrupted: int
    """How often a job had to be started again."""


class Studio:
    """The processes, and the jobs that were acknowledged."""

    def __init__(self, models: Path, outputs: Path) -> None:
        self._models, self.outputs = models, outputs
        self._wanted: dict[str, int] = {}
        self._seed = 0
        self._start()

    def submit(self, count: int, **request: object) -> None:
        """Ask for pictures; what is acknowledged counts."""
        self._seed += 100
        answer = self._http.post("/jobs", json={"prompt": "a red sailboat", "seed": self._seed, "count": count, **request})
        assert answer.status_code == 202, answer.text
        self._wanted |= {job["id"]: job["request"]["seed"] for job in answer.json()["jobs"]}

    def kill(self, victim: Victim) -> None:
        """kill -9; a front that was killed is started again."""
        if victim != "front":
            for pid in self._engines():
                subprocess.run(["kill", "-9", str(pid)], check=False, capture_output=True)
        if victim != "engine":
            self._front.kill()
            self._front.wait()
            self._http.close()
            self._start()

    def settle(self) -> None:
        """Wait until every acknowledged job has ended."""
        limit = time.monotonic() + LIMIT
        while not all(self._job(id)["state"] in ("finished", "failed", "cancelled") for id in self._wanted):
            assert time.monotonic() < limit, (
                f"jobs do not end: {[job for id in self._wanted if (job := self._job(id))['state'] != 'finished']}"
            )
            time.sleep(0.1)

    def outcome(self) -> Outcome:
        """Stop in order and count."""
        jobs = {id: self._job(id) for id in self._wanted}
        self._http.close()
        self._front.send_signal(signal.SIGINT)
        self._front.wait(timeout=60)
        pictures = {str(path.relative_to(self.outputs)) for path in self.outputs.glob("*/*.png")}
        for name in pictures:
            with Image.open(self.outputs / name) as picture:
                picture.load()
        store = Store(self.outputs)
        done = {id: job for id, job in jobs.items() if job["state"] == "finished"}
        seeds = [(self._wanted[id], job["request"]["seed"], store.recipe(job["picture"]).seed) for id, job in done.items()]
        with sqlite3.connect(self.outputs / ".stepwise" / "journal.sqlite") as journal:
            known = {name for (name,) in journal.execute("select json_extract(ending, '$.picture') from jobs")}
            (attempts,) = journal.execute("select sum(max(attempts - 1, 0)) from jobs").fetchone()
        return Outcome(
            acknowledged=len(jobs),
            finished=len(done),
            pictures=len(pictures & {job["picture"] for job in done.values()}),
            unchanged=all(len(set(three)) == 1 for three in seeds),
            twice=len(pictures - known),
            interrupted=attempts,
        )

    def close(self) -> None:
        """End what still runs."""
        self._front.kill()
        self._front.wait()

    def wait_for_a_step(self) -> None:
        """Until a job is in the engine."""
        limit = time.monotonic() + LIMIT
        while not any(job["state"] in ("started", "step", "finished") for job in map(self._job, list(self._wanted)[-4:])):
            assert time.monotonic() < limit, "no job starts"
            time.sleep(0.01)

    def _job(self, id: str) -> dict[str, Any]:
        answer = self._http.get(f"/jobs/{id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def _start(self) -> None:
        command = [sys.executable, "-m", "tests.kills", str(self._models), str(self.outputs)]
        self._front = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._front.stdout is not None
        address = self._front.stdout.readline().strip()
        assert address.startswith("http"), "the front does not start"
        self._http = httpx.Client(base_url=f"{address}api", timeout=60)

    def _engines(self) -> list[int]:
        tasks = Path(f"/proc/{self._front.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def rounds(studio: Studio, victims: Sequence[Victim], chance: random.Random, **request: object) -> None:
    """Each time: ask for pictures, wait a random moment, kill, ask for more meanwhile, and wait for the end of all."""
    for victim in victims:
        studio.submit(4, **request)
        if chance.random() < 0.8:  # the others are hit while they wait, are loaded or encoded
            studio.wait_for_a_step()
        time.sleep(chance.uniform(0, 1))
        studio.kill(victim)
        studio.submit(2, **request)
        studio.settle()


def main() -> None:
    """The front process."""
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

    from webui.people import OWNER
    from webui.server.api import rest
    from webui.server.serve import listen, serve
    from webui.settings import Settings
    from webui.studio import Studio as Real
    from webui.workers.local import LocalWorker

    models, outputs = map(Path, sys.argv[1:3])
    studio = Real(Settings(models=models, outputs=outputs), LocalWorker([models], "cpu", "fast", threads=1))
    studio.start()
    app = FastAPI()
    app.mount("/api", rest(studio))

    async def owned(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "person": OWNER}, receive, send)  # in the guard's place

    serve(owned, listen(0), typer.echo, studio.release)
    studio.close()


if __name__ == "__main__":
    main()
