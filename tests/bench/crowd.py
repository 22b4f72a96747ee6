"""Many people at one studio: `python -m tests.bench.crowd [SCENE...]`, each over HTTP, following live events, with the built-in model.

- `memory`: 16 guests queue 5 pictures each. All 80 arrive, none twice; how much memory the front process took at most.
- `first`: how long a guest with one picture waits for its first frame, on an idle studio and while another person has 50 pictures waiting.

The front is a process of its own with the whole page in it. Who asks is told by a header that only this bench's app reads.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from webui.people import OWNER, Person
from webui.server.serve import hosts, listen, serve
from webui.settings import Settings
from webui.studio import Studio, model_folders
from webui.workers.local import LocalWorker

ROOT = Path(__file__).parents[2]
PROMPT = {"prompt": "a red sailboat on a calm sea at sunset"}
WAITING = 50
PROBES = 40

OWNERS = "owner"


def known(app: ASGIApp) -> ASGIApp:
    """What is behind the guard, which then takes everybody for who their header says they are: sixteen sign-ins are another test's."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        who = next((value.decode() for name, value in scope.get("headers", ()) if name == b"who"), OWNERS)
        person = OWNER if who == OWNERS else Person(id=who, name=who, colour="teal", role="maker")
        await app({**scope, "person": person}, receive, send)

    return asked


def front(outputs: Path) -> None:
    """The front process: prints its port, serves until it is interrupted."""
    from webui.panels.page import build, look
    from webui.server.app import create

    listener = listen(0)
    port = listener.getsockname()[1]
    settings = Settings(outputs=outputs, models=outputs / "none")
    studio = Studio(settings, LocalWorker(model_folders(settings), "cpu", "fast", preload="storybook"))
    studio.start()
    app = create(studio, build, look(), hosts(port))
    app.app = known(app.app)
    serve(app, listener, lambda url: print(port, flush=True), studio.release)
    studio.close()


class Guest:
    """Somebody at the studio."""

    def __init__(self, port: int, name: str) -> None:
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"who": name}, timeout=600)
        self.jobs: list[dict[str, Any]] = []

    async def ask(self, count: int, **more: object) -> tuple[str, float]:
        """The group of new jobs, and when they were asked for."""
        began = time.monotonic()
        answer = await self.http.post("/api/jobs", json=PROMPT | more | {"count": count})
        assert answer.status_code == 202, answer.text
        self.jobs = answer.json()["jobs"]
        return answer.json()["group"], began

    async def follow(self, group: str) -> AsyncIterator[dict[str, Any]]:
        """What happens to the group, live, until its end."""
        async with self.http.stream("GET", f"/api/groups/{group}/events") as stream:
            name = ""
            async for line in stream.aiter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: ") and name == "events":
                    for event in json.loads(line.removeprefix("data: ")):
                        yield event

    async def finished(self, group: str) -> list[dict[str, Any]]:
        """The events that end the group's jobs, and are pictures."""
        return [event async for event in self.follow(group) if event["kind"] == "finished"]

    async def first_frame(self, **more: object) -> float:
        """Seconds from the press on Generate to the first frame; then the picture is given up, and its end waited for."""
        group, began = await self.ask(1, **more)
        seen = 0.0
        async for event in self.follow(group):
            if not seen and event["kind"] == "step" and "preview" in event:
                seen = time.monotonic() - began
                assert base64.b64decode(event["preview"]).startswith(b"\xff\xd8")
                await self.http.delete(f"/api/groups/{group}")
        assert seen
        return seen


async def everybody(port: int, people: int = 16, each: int = 5) -> None:
    """All arrive, none twice, none lost."""
    guests = [Guest(port, f"guest-{k}") for k in range(people)]

    errors: list[float] = []

    async def foresee(guest: Guest) -> dict[str, float]:
        """What the queue says after ten seconds about the ends of the guest's pictures, by seed."""
        await asyncio.sleep(10)
        now, jobs = time.monotonic(), (await guest.http.get("/api/queue")).json()["jobs"]
        return {job["id"]: now + job["ends"] for job in jobs if job["mine"] and job["ends"] is not None}

    async def one(k: int, guest: Guest) -> tuple[list[str], float, float]:
        group, began = await guest.ask(each, seed=1000 * k)
        ends, first, foreseen = [], None, asyncio.create_task(foresee(guest))
        ended: dict[int, float] = {}
        async for event in guest.follow(group):
            first = first or (time.monotonic() - began if event["kind"] == "step" else None)
            if event["kind"] == "finished":
                ends.append(event["picture"])
                ended[event["job"]] = time.monotonic()
        ids = [job["id"] for job in guest.jobs]
        asked = began + 10
        for id, end in (await foreseen).items():
            errors.append((end - ended[ids.index(id)]) / max(1, ended[ids.index(id)] - asked))
        for picture in ends:
            answer = await guest.http.get(f"/pictures/{picture}")
            assert answer.status_code == 200 and answer.content.endswith(b"IEND\xaeB`\x82")
        return ends, first or 0, time.monotonic() - began

    began = time.monotonic()
    told = await asyncio.gather(*(one(k, guest) for k, guest in enumerate(guests)))
    took = time.monotonic() - began
    pictures = [picture for ends, _, _ in told for picture in ends]
    firsts, lasts = sorted(first for _, first, _ in told), sorted(last for _, _, last in told)
    print(
        f"{people} guests, {each} pictures each: {len(pictures)} of {people * each} arrived, "
        f"{len(set(pictures))} different, in {took:.1f} s; "
        f"first frame after {statistics.median(firsts):.1f} s (last guest {firsts[-1]:.1f}), all of one's pictures after {lasts[0]:.1f} to "
        f"{lasts[-1]:.1f} s; the end as foreseen after 10 s against the real one, of {len(errors)}: median "
        f"{100 * statistics.median(errors):+.0f} %, nine of ten within {100 * sorted(map(abs, errors))[int(len(errors) * 0.9)]:.0f} %",
        flush=True,
    )


async def first(port: int) -> None:
    """One guest on an idle studio, then beside somebody who has 50 pictures waiting all the time."""
    guest, busy, chance = Guest(port, "guest"), Guest(port, OWNERS), random.Random(0)
    await guest.first_frame()
    idle = sorted([await guest.first_frame() for _ in range(PROBES)])
    lasting = asyncio.create_task(_keep_busy(busy))
    await asyncio.sleep(3)
    loaded = []
    for _ in range(PROBES):
        await asyncio.sleep(chance.uniform(0, 0.5))
        loaded.append(await guest.first_frame())
    lasting.cancel()
    loaded.sort()
    print(
        f"first frame, idle: median {_at(idle, 0.5):.3f} s, p95 {_at(idle, 0.95):.3f}; beside {WAITING} waiting: median "
        f"{_at(loaded, 0.5):.3f}, p95 {_at(loaded, 0.95):.3f}, {_at(loaded, 0.95) / _at(idle, 0.5):.2f} times the idle median, "
        f"{_at(loaded, 0.95) / _at(idle, 0.95):.2f} times the idle p95",
        flush=True,
    )


async def _keep_busy(busy: Guest) -> None:
    """Fifty waiting, always: new pictures are asked for whenever some are done, and each group is followed as a page does."""
    followers = set()
    while True:
        jobs = (await busy.http.get("/api/queue")).json()["jobs"]
        missing = WAITING - len([job for job in jobs if job["mine"] and job["state"] == "waiting"])
        if missing > 0:
            group, _ = await busy.ask(missing)
            followers.add(asyncio.create_task(busy.finished(group)))
        await asyncio.sleep(0.5)


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _memory(pid: int, field: str) -> int:
    """Megabytes of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) // 1024


SCENES = {"memory": everybody, "first": first}


def main() -> None:
    """Print a line per scene."""
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or SCENES:
            outputs = Path(folder) / name
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.crowd", "front", str(outputs)], stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
            assert process.stdout is not None
            port = int(process.stdout.readline())
            while httpx.get(f"http://127.0.0.1:{port}/api/status").json()["state"] != "ready":
                time.sleep(0.1)
            time.sleep(2)
            before = _memory(process.pid, "VmRSS")
            asyncio.run(SCENES[name](port))
            print(f"front process: {before} MB before, {_memory(process.pid, 'VmHWM')} MB at most; load average {os.getloadavg()[0]:.1f}")
            process.terminate()
            process.wait()


if __name__ == "__main__":
    front(Path(sys.argv[2])) if sys.argv[1:2] == ["front"] else main()
