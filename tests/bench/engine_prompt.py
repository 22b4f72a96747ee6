"""10,000 parentheses in a prompt: answered in 50 ms. Run by hand: `python -m tests.bench.engine_prompt`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

from webui.engine.catalogue import find
from webui.engine.prompt import parse
from webui.engine.shelf import scan
from webui.engine.tokens import TokenCounter
from webui.settings import builtin_models

PROMPTS = {
    "unclosed": "(" * 10_000,
    "nested": "(" * 5_000 + "a" + ")" * 5_000,
    "pairs": "(a)" * 5_000,
    "weights": "((a:1.1)" * 2_500,
    "mixed": "[(" * 5_000,
    "escaped": "\\(" * 10_000,
    "ordinary": "a (red:1.3) sailboat on a calm++ sea at sunset, [blurry]",
}


def milliseconds(call: Callable[[], object]) -> float:
    """Median of 15 calls."""
    times = []
    for _ in range(15):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def main() -> None:
    """Print how long each takes to parse, which the engine does, and to count, which the page asks for while somebody types."""
    model, counter = find(scan([builtin_models()]), None), TokenCounter()
    for name, text in PROMPTS.items():
        parsing, counting = milliseconds(partial(parse, text)), milliseconds(partial(counter.count, model, text))
        print(f"{name}: {len(text)} characters, parsed in {parsing:.2f} ms, counted in {counting:.2f} ms")


if __name__ == "__main__":
    main()
