"""20 steps of the built-in model at its native size, alone: at most 5 s on 2 cores. Run by hand: `python -m tests.bench.engine_native`."""

from __future__ import annotations

from tests.bench.engine_timing import THREADS, engine, interleaved, request, run

ROUNDS = 9


def main() -> None:
    """Print wall and CPU seconds."""
    ready, one = engine(), request(steps=20)
    taken = interleaved({"alone": lambda: run(ready, [one])}, ROUNDS)["alone"]
    print(f"{one.width}x{one.height}, 20 steps, {one.sampler}, {THREADS} threads: {taken}, best {min(taken.wall):.2f} s")


if __name__ == "__main__":
    main()
