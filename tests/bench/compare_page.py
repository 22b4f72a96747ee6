"""Eight live cells in a real browser: `python -m tests.bench.compare_page`.

For each pace: how much of a core the front process takes, how late the newest frame is on the screen, and how many frames were shown.
The last scene goes through a link of 500 kB/s with little room in it. Frames are 20 kB each, made beforehand: what is measured is the
front and the page.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import os
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

CELLS, EDGE = 8, 160
LINK = 500_000
"""Bytes per second of the slow link."""

LOOK = """([frames, pace]) => new Promise((done) => {
    const ages = [], shown = new Map();
    const look = () => {
        const jobs = stepwise.comparison.jobs();
        jobs.forEach((job, number) => {
            const picture = document.querySelector(`#compare-cell-${number} .frame img`);
            const i = picture && picture.complete ? job.frames.lastIndexOf(picture.src) + 1 : 0;
            if (job.kind !== 'step' || !i || shown.get(number) === i) return;
            shown.set(number, i);
            ages.push(Date.now() - 1000 * (job.seconds - (job.i - i) * pace));
        });
        if (jobs.every((job) => job.i >= frames || job.kind === 'cancelled')) done(ages); else requestAnimationFrame(look);
    };
    look();
})"""
"""How old each frame is, in milliseconds, when it is first seen; steps are `pace` seconds apart."""


def frames(count: int) -> list[bytes]:
    """JPEGs of noise, about 20 kB each."""
    made = []
    for _ in range(count):
        stream = io.BytesIO()
        Image.frombytes("RGB", (EDGE, EDGE), os.urandom(EDGE * EDGE * 3)).save(stream, "JPEG", quality=70)
        made.append(stream.getvalue())
    return made


def front(pipe: Connection, folder: str, ports: tuple[int, int], pace: float) -> None:
    """The front process: a whole studio and its page over an engine that only shows frames it has."""
    from tests.fake import FakeWorker, write_model
    from webui.events import Cancelled, Started, Step
    from webui.panels.page import build, look
    from webui.server.app import create
    from webui.server.serve import Server, configured, hosts, listen
    from webui.settings import Settings
    from webui.studio import Studio

    pictures = frames(16)

    class Player(FakeWorker):
        """Shows a frame of every job each `pace` seconds, together."""

        def _run(self, job: str, request: Any, cancelled: threading.Event) -> None:
            self._say(job, Started(steps=request.steps))
            begun = time.monotonic()
            for i in range(1, request.steps + 1):
                if cancelled.wait(max(0.0, begun + i * self.pace - time.monotonic())):
                    return
                self._say(job, Step(i=i, n=request.steps, preview=pictures[i % 16], seconds=time.time()))
            self._say(job, Cancelled())

    write_model(Path(folder) / "models" / "fake")
    studio = Studio(Settings(models=Path(folder) / "models", outputs=Path(folder) / "outputs"), Player(pace))
    studio.start()
    app = create(studio, build, look(), (*hosts(ports[0]), *hosts(ports[1])))
    server = Server(configured(app), studio.release)
    threading.Thread(target=server.run, kwargs={"sockets": [listen(ports[0])]}, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    pipe.send("up")
    pipe.recv()
    server.should_exit = True
    studio.close()


def slow_link(port: int, to: int, rate: int) -> None:
    """Pass connections on, towards the browser at `rate` bytes per second all together, with a few kilobytes of room."""
    room = asyncio.Lock()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        line.connect(("127.0.0.1", to))
        inner, outer = await asyncio.open_connection(sock=line, limit=16384)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, slow: bool) -> None:
            while part := await source.read(8192):
                if slow:
                    async with room:
                        await asyncio.sleep(len(part) / rate)
                sink.write(part)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, outer, False), pump(inner, writer, True), return_exceptions=True)

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", port, limit=16384)
        await server.serve_forever()

    asyncio.run(run())


def busy(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free() -> int:
    """A port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def scene(name: str, open_page: Callable[[str], Page], pace: float, steps: int, slow: bool = False) -> None:
    """One row."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = spawn.Pipe()
        ports = (free(), free())
        process = spawn.Process(target=front, args=(theirs, folder, ports, pace), daemon=True)
        process.start()
        ours.recv()
        if slow:
            threading.Thread(target=slow_link, args=(ports[1], ports[0], LINK), daemon=True).start()
        page = open_page(f"http://127.0.0.1:{ports[slow]}/#compare")
        page.wait_for_selector("#compare-sheet .hint")
        assert process.pid is not None
        time.sleep(1)
        used, began = busy(process.pid), time.monotonic()
        time.sleep(3)
        idle = (busy(process.pid) - used) / (time.monotonic() - began)
        axes = [{"field": "steps", "values": [steps]}, {"field": "seed", "values": list(range(CELLS))}]
        used, began = busy(process.pid), time.monotonic()
        page.evaluate(
            "body => stepwise.ask('/api/comparisons', 'POST', body).then(answer => stepwise.compare.open(answer.value.id))",
            {"request": {"prompt": "a"}, "axes": axes},
        )
        page.wait_for_selector("#compare-cell-7 img")
        ages = sorted(page.evaluate(LOOK, [steps, pace]))
        took = time.monotonic() - began
        print(
            f"{name}: {100 * (busy(process.pid) - used) / took:.0f} % of a core in the front ({100 * idle:.0f} % idle), newest frame "
            f"{statistics.median(ages):.0f} ms late (p95 {ages[int(len(ages) * 0.95)]:.0f}, worst {ages[-1]:.0f}), "
            f"{len(ages)} of {CELLS * steps} frames shown, {took:.1f} s",
            flush=True,
        )
        page.close()
        ours.send("end")
        process.join(10)


def main() -> None:
    """Print a row per scene."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})

        def open_page(address: str) -> Page:
            page = context.new_page()
            page.goto(address)
            return page

        scene("8 cells, 10 frames/s in total", open_page, CELLS / 10, 15)
        scene("8 cells, 10 frames/s each", open_page, 0.1, 120)
        scene("the same on a link of 500 kB/s", open_page, 0.1, 120, slow=True)
        browser.close()


if __name__ == "__main__":
    main()
