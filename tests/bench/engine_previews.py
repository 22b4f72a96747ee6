"""What live previews at every step cost: at most 5 % of the time without. Run by hand: `python -m tests.bench.engine_previews`."""

from __future__ import annotations

from functools import partial

from tests.bench.engine_timing import engine, interleaved, ratio, request, run

ROUNDS = 9


def main() -> None:
    """Print seconds of 20 steps, and the ratio to no previews."""
    ways = {mode: partial(run, engine(mode), [request(steps=20)]) for mode in ("off", "fast", "fine")}
    times = interleaved(ways, ROUNDS)
    for mode, taken in times.items():
        print(f"{mode}: {taken}, ratio to off {ratio(taken, times['off'])}")


if __name__ == "__main__":
    main()
