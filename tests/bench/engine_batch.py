"""Eight pictures at once against eight one after another: at most 0.85. Run by hand: `python -m tests.bench.engine_batch`."""

from __future__ import annotations

from tests.bench.engine_timing import engine, interleaved, ratio, request, run

ROUNDS = 5
STEPS = 20


def main() -> None:
    """Print seconds and the ratio, for eight seeds of one prompt and for eight strangers."""
    ready = engine()
    colours = ("red", "blue", "green", "yellow", "black", "white", "pink", "purple")
    cases = {
        "one prompt": [request(steps=STEPS, seed=k) for k in range(8)],
        "strangers": [request(steps=STEPS, seed=k, prompt=f"a {colour} house {ROUNDS}") for k, colour in enumerate(colours)],
    }
    for name, eight in cases.items():
        ways = {"at once": lambda eight=eight: run(ready, eight), "one by one": lambda eight=eight: [run(ready, [one]) for one in eight]}
        times = interleaved(ways, ROUNDS)
        seconds = ", ".join(f"{way} {taken}" for way, taken in times.items())
        print(f"{name}: {seconds}, ratio {ratio(times['at once'], times['one by one'])}")


if __name__ == "__main__":
    main()
