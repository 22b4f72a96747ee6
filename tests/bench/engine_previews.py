"""What live previews at every step cost: at most 5 % of the time without. Run by hand: `python -m tests.bench.engine_previews`."""

from __future__ import annotations

import statistics
from functools import partial

from tests.bench.engine_timing import engine, interleaved, ratio, request, run

ROUNDS = 9


def main() -> None:
    """Print seconds of 20 steps, and the ratio to no previews."""
    ways = {mode: partial(run, engine(mode), [request(steps=20)]) for mode in ("off", "fast", "fine")}
    times = interleaved(ways, ROUNDS)
    for mode, seconds in times.items():
        print(f"{mode}: {statistics.median(seconds):.2f} s, {ratio(seconds, times['off'])} of off")


if __name__ == "__main__":
    main()
