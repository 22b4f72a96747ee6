"""The event stream under load: `python tests/bench/server_feed.py`. Eight jobs show ten frames of 20 kB a second each.

1. How late a frame is, and how much of a core the server takes, for 1, 8 and 32 followers (2.1 MB/s each).
2. How late the newest frame is on a link of 500 kB/s, and how many frames such a follower has in the end.
3. How long a late follower needs for the 1200 frames of 8 jobs with 150 steps.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from webui.events import Cancelled, Started, Step
from webui.jobs.job import Job
from webui.request import Defaults, Request
from webui.server.feed import feed
from webui.server.serve import Server, configured, listen

JOBS, RATE, SIZE = 8, 10, 20_000


def jobs(steps: int) -> list[Job]:
    """Started jobs without frames."""
    request = Request(prompt="a", steps=steps).resolve(Defaults(), "m")
    made = [Job(str(k), "group", "owner", request, datetime.now(UTC)) for k in range(JOBS)]
    for job in made:
        job.append(Started(steps=steps))
    return made


def play(watched: list[Job], steps: int, pause: float) -> None:
    """Make the frames; `seconds` says when, by the machine's clock that all processes share."""
    for i in range(1, steps + 1):
        for job in watched:
            job.append(Step(i=i, n=steps, preview=os.urandom(SIZE), seconds=time.monotonic()))
        time.sleep(pause)
    for job in watched:
        job.append(Cancelled())


async def follow(port: int, rate: float | None) -> tuple[list[float], int]:
    """How old the newest frame of each message is when it arrives, and how many frames arrive; `rate` in bytes per second."""
    line = socket.socket()
    if rate:
        # A slow link has no megabytes of room either.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    line.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=line, limit=65536 if rate else 2**21)
    writer.write(b"GET /events HTTP/1.0\r\n\r\n")
    ages, frames, rest = [], 0, b""
    with closing(writer):
        while part := await reader.read(16384 if rate else 2**21):
            if rate:
                await asyncio.sleep(len(part) / rate)
            *whole, rest = (rest + part).split(b"\n\n")
            for message in whole:
                name, _, data = message.rpartition(b"event: ")[2].partition(b"\ndata: ")
                found = [event["seconds"] for event in json.loads(data) if "preview" in event] if name in (b"events", b"frames") else []
                frames += len(found)
                if found and name == b"events":
                    ages.append(time.monotonic() - max(found))
    return ages, frames


def crowd(port: int, followers: int, rate: float | None) -> list[tuple[list[float], int]]:
    """All followers, in a process of their own."""

    async def all_of_them() -> list[tuple[list[float], int]]:
        return await asyncio.gather(*(follow(port, rate) for _ in range(followers)))

    return asyncio.run(all_of_them())


def scene(pool: ProcessPoolExecutor, name: str, followers: int, rate: float | None = None, steps: int = 60, late: bool = False) -> None:
    """One row."""
    watched = jobs(steps)
    app = FastAPI()
    app.get("/events")(lambda: StreamingResponse(feed(None, watched), media_type="text/event-stream"))  # type: ignore[arg-type]
    listener = listen(0)
    server = Server(configured(app), lambda: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    if late:
        play(watched, steps, 0)
    else:
        threading.Thread(target=play, args=(watched, steps, 1 / RATE), daemon=True).start()
    began, used = time.monotonic(), time.process_time()
    heard = pool.submit(crowd, listener.getsockname()[1], followers, rate).result()
    took = time.monotonic() - began
    ages = sorted(age * 1000 for one, _ in heard for age in one)
    busy = 100 * (time.process_time() - used) / took
    print(
        f"{name}: newest frame {statistics.median(ages):.0f} ms old (p95 {ages[int(len(ages) * 0.95)]:.0f}), at least "
        f"{min(frames for _, frames in heard)} of {JOBS * steps} frames, {took:.1f} s, {busy:.0f} % of a core",
        flush=True,
    )
    server.should_exit = True
    thread.join()
    listener.close()


def main() -> None:
    """Print a row per scene."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(time.monotonic).result()
        for followers in (1, 8, 32):
            scene(pool, f"{followers} followers", followers)
        scene(pool, "a link of 500 kB/s", 1, rate=500_000)
        scene(pool, "a late follower of 8 x 150 steps", 1, steps=150, late=True)


if __name__ == "__main__":
    main()
