"""kill -9 of everything at random moments: `python tests/bench/kill.py [ROUNDS]`. No truncated PNG ever; every acknowledged job ends.

Starts the studio, submits pictures over REST, kills the engine, the front or both, starts it again, and looks at what is there.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[2]
PORT = 17990


def start(outputs: Path) -> subprocess.Popen[str]:
    """The studio, once it has printed its address."""
    command = [sys.executable, "-m", "webui", "--no-browser", "--port", str(PORT), "--outputs", str(outputs)]
    studio = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert studio.stdout is not None and studio.stdout.readline().startswith("http")
    return studio


def ask(path: str, body: dict[str, Any] | None = None) -> Any:
    """REST."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def engine(front: int) -> list[int]:
    """The engine's process."""
    children = Path(f"/proc/{front}/task/{front}/children")
    return [int(pid) for task in children.parents[1].iterdir() for pid in (task / "children").read_text().split()]


def main() -> None:
    """Each round: submit, wait a random moment, kill, start again if need be, wait for the end of every job."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    chance = random.Random(0)
    wanted: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs"
        studio = start(outputs)
        for number in range(rounds):
            made = ask("/api/jobs", {"prompt": "a red sailboat", "steps": 6, "seed": 100 * number, "count": 3})
            wanted |= {job["id"]: job["request"]["seed"] for job in made["jobs"]}
            time.sleep(chance.uniform(0.2, 4))
            victim = ("engine", "front", "both")[number % 3]
            engines = engine(studio.pid)
            if victim != "front":
                for pid in engines:
                    os.kill(pid, signal.SIGKILL)
            if victim != "engine":
                studio.kill()
                studio.wait()
                studio = start(outputs)
            limit = time.monotonic() + 300
            while any(ask(f"/api/jobs/{id}")["state"] not in ("finished", "failed") for id in wanted):
                assert time.monotonic() < limit, "a job does not end"
                time.sleep(0.3)
            print(f"round {number + 1}: killed {victim}; all {len(wanted)} jobs have ended", flush=True)
        ends = [ask(f"/api/jobs/{id}") for id in wanted]
        studio.send_signal(signal.SIGINT)
        studio.wait()
        pictures = list(outputs.glob("*/*.png"))
        for picture in pictures:
            with Image.open(picture) as image:
                image.load()
        finished = [end for end in ends if end["state"] == "finished"]
        unchanged = all(end["request"]["seed"] == wanted[end["id"]] for end in ends)
        print(f"{len(finished)} of {len(wanted)} finished; {len(pictures)} pictures, none truncated; seeds unchanged: {unchanged}")


if __name__ == "__main__":
    main()
