"""Twenty comparisons in a row, each with all that can be taken away: memory does not grow. `python -m tests.bench.compare_memory`.

It also says how good the estimate was, and when the first frame of each cell came.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from webui.comparison import Axis, Comparison
from webui.comparisons import takeaway
from webui.comparisons.comparisons import Compared
from webui.comparisons.curves import curves
from webui.events import Finished, Step
from webui.people import OWNER
from webui.request import Request
from webui.settings import Settings, builtin_models
from webui.studio import Studio
from webui.workers.local import LocalWorker

PROMPT = "a red sailboat on a calm sea at sunset"
ROUNDS = 20
COUNTS = (2, 4, 8, 12)


def resident(pid: int | str) -> float:
    """Megabytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def one(studio: Studio, seed: int) -> tuple[float | None, float, float]:
    """Seconds expected, seconds taken, and seconds to the first frame of the last cell that showed one."""
    comparison = Comparison(request=Request(prompt=PROMPT, seed=seed), axes=(Axis(field="steps", values=COUNTS),))
    expected, began = studio.comparisons.estimate(comparison, OWNER).seconds, time.monotonic()
    compared = studio.comparisons.begin(comparison, OWNER)
    while not all(any(isinstance(event, Step) for event in job.events) for job in compared.jobs):
        time.sleep(0.002)
    shown = time.monotonic() - began
    assert all(isinstance(job.wait(120), Finished) for job in compared.jobs)
    taken = time.monotonic() - began
    take_away(studio, compared)
    return expected, taken, shown


def take_away(studio: Studio, compared: Compared) -> None:
    """Everything that is drawn on request."""
    store = studio.comparisons.store
    curves(compared, studio.picture)
    takeaway.sheet(compared, store)
    takeaway.difference_map(compared, 0, 3, store)
    takeaway.six_frames(compared, 3, store)
    takeaway.animation(compared, None, "webp", store)
    takeaway.animation(compared, 3, "gif", store)


def main() -> None:
    """Print a row per comparison."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(models=builtin_models(), outputs=Path(folder), device="cpu")
        worker = LocalWorker([settings.models], "cpu", "fast")
        studio = Studio(settings, worker)
        studio.start()
        try:
            for number in range(1, ROUNDS + 1):
                expected, taken, shown = one(studio, number)
                memory = f"front {resident('self'):.0f} MB, engine {resident(worker.pid or 'self'):.0f} MB"
                guess = f"{expected:.2f} s" if expected else "unknown"
                print(f"{number}: {memory}; took {taken:.2f} s, expected {guess}; every cell shown after {shown:.2f} s", flush=True)
        finally:
            studio.close()


if __name__ == "__main__":
    main()
