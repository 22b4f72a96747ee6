"""20 steps of the built-in model at its native size, alone: at most 5 s on 2 cores. Run by hand: `python -m tests.bench.engine_native`."""

from __future__ import annotations

import statistics
import time

from tests.bench.engine_timing import THREADS, engine, request, run

ROUNDS = 9


def main() -> None:
    """Print wall and CPU seconds."""
    ready, one = engine(), request(steps=20)
    walls, works = [], []
    for _ in range(ROUNDS):
        wall, work = time.perf_counter(), time.process_time()
        run(ready, [one])
        walls.append(time.perf_counter() - wall)
        works.append(time.process_time() - work)
    print(
        f"{one.width}x{one.height}, 20 steps, {one.sampler}, {THREADS} threads: "
        f"{statistics.median(walls):.2f} s (best {min(walls):.2f}), {statistics.median(works):.2f} s of CPU"
    )


if __name__ == "__main__":
    main()
