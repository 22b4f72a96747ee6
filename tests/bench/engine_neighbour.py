"""How much a busy neighbour slows a step: at most 2.5 times. Run by hand: `python -m tests.bench.engine_neighbour`."""

from __future__ import annotations

import statistics
import subprocess
import sys

from tests.bench.engine_timing import THREADS, engine, interleaved, ratio, request, run

ROUNDS = 9
STEPS = 5


def main() -> None:
    """Print seconds of 5 steps with one CPU-bound process beside the engine and without."""
    ready = engine("fast")

    def quiet() -> None:
        run(ready, [request(steps=STEPS)])

    def beside() -> None:
        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            quiet()
        finally:
            neighbour.kill()
            neighbour.wait()

    times = interleaved({"alone": quiet, "with a neighbour": beside}, ROUNDS)
    for name, taken in times.items():
        print(f"{name}: {statistics.median(taken.wall) / STEPS * 1e3:.0f} ms per step")
    print(f"{THREADS} threads, ratio {ratio(times['with a neighbour'], times['alone'])}")


if __name__ == "__main__":
    main()
