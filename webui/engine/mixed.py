"""compel's `("a red cat", "a blue dog").and()` and `.blend(0.7, 0.3)`, where they are the whole prompt. Knows nothing of torch."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

STRING = r'"(?:[^"\\]|\\.)*+"|\'(?:[^\'\\]|\\.)*+\''
WHOLE = re.compile(
    rf"\s*\(\s*(?P<texts>(?:{STRING})(?:\s*,\s*(?:{STRING}))*+)\s*\)\s*\.(?P<kind>and|blend)\((?P<weights>[^()]*)\)\s*", re.DOTALL
)
NUMBER = re.compile(r"\s*[+-]?(?:\d{1,9}(?:\.\d{0,18})?|\.\d{1,18})\s*")

PARTS = 16
"""Most texts; more are text."""

STRONGEST = 10.0


class Mixed(NamedTuple):
    """Texts and their weights. With `and` their windows follow each other; with `blend` their conditionings are added up."""

    kind: Literal["and", "blend"]
    parts: tuple[tuple[str, float], ...]


def mixed(text: str) -> Mixed:
    """The texts in a prompt: itself alone, as a rule. The weights of a blend add up to 1, unless it says `no_normalize`."""
    alone = Mixed("and", ((text, 1.0),))
    found = WHOLE.fullmatch(text)
    if found is None:
        return alone
    texts = [re.sub(r"\\([\"'])", r"\1", match[0][1:-1]) for match in re.finditer(STRING, found["texts"], re.DOTALL)]
    written = [piece for piece in found["weights"].split(",") if piece.strip()]
    raw = found["kind"] == "blend" and bool(written) and written[-1].strip() == "no_normalize"
    weights = [float(piece) for piece in written[: len(written) - raw] if NUMBER.fullmatch(piece)]
    if len(texts) > PARTS or len(weights) != len(written) - raw or any(abs(weight) > STRONGEST for weight in weights):
        return alone
    weights = weights or [1.0] * len(texts)
    if len(weights) != len(texts):
        return alone
    if found["kind"] == "and":
        return Mixed("and", tuple(zip(texts, (max(0.0, weight) for weight in weights), strict=True)))
    total = 1.0 if raw else sum(weights)
    if abs(total) < 0.1:
        return alone
    return Mixed("blend", tuple((text, weight / total) for text, weight in zip(texts, weights, strict=True)))
