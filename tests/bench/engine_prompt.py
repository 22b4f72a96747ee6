"""10,000 parentheses in a prompt: answered in 50 ms. Run by hand: `python -m tests.bench.engine_prompt`."""

from __future__ import annotations

import statistics
import time

from webui.engine.prompt import parse, plain

PROMPTS = {
    "unclosed": "(" * 10_000,
    "nested": "(" * 5_000 + "a" + ")" * 5_000,
    "pairs": "(a)" * 5_000,
    "weights": "((a:1.1)" * 2_500,
    "mixed": "[(" * 5_000,
    "escaped": "\\(" * 10_000,
    "ordinary": "a (red:1.3) sailboat on a calm++ sea at sunset, [blurry]",
}


def main() -> None:
    """Print the median of 15 parses of each, and of the plain text that is tokenised."""
    for name, text in PROMPTS.items():
        times = []
        for _ in range(15):
            start = time.perf_counter()
            parse(text)
            plain(text)
            times.append(time.perf_counter() - start)
        print(f"{name}: {len(text)} characters, {statistics.median(times) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
