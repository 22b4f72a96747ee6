"""Prompt weights: A1111's grammar and compel's, in one linear pass. Knows nothing of torch, so that the page may count tokens.

Both are accepted, also in one prompt. Where they conflict:

- Round brackets alone, `(x)`, weigh 1.1, as with A1111; with compel they only hold together. With a number or signs behind them, as in
  `(x)1.3` and `(x)++`, they weigh that and no 1.1 besides, as with compel.
- A number goes with the bracket before it where no blank is between: `(x)1.3` is a weight, `(x) 1.3` is not.
- `x+` and `x-` weigh where a sign ends a word. `well-known` and `1 + 1` are text.
- Square brackets are A1111's `[x]`; its `[from:to:when]` and `[a|b]`, which change with the steps, are read as weighted text.
- A colon weight is A1111's alone, and round brackets' alone. Weights of 0 and less are 0: compel knows none below.
- A whole prompt of the form `("x", "y").and()` or `.blend(0.7, 0.3)` is compel's (`mixed.py`); `BREAK` is A1111's word for the former.

| written | weight |
|---|---|
| `(x)` | 1.1 |
| `[x]` | 1 / 1.1 |
| `(x:1.3)`, `(x)1.3` | 1.3 |
| `x++`, `(x)++` | 1.1 for each plus |
| `x--`, `(x)--` | 0.9 for each minus |

Nested weights multiply. A backslash makes the bracket after it an ordinary character. `BREAK` starts a new window of the text encoder.
What does not parse is text; nothing raises. compel's own parser takes 18 s for six nested parentheses, hence this one.
"""

from __future__ import annotations

import math
import re
from itertools import groupby
from typing import NamedTuple

from webui.engine.mixed import mixed

MOST = 5.0
"""Weights are kept between 0 and this: far beyond what an encoder makes sense of."""

NUMBER = r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
SIGNS = r"(?:\+{1,9}|-{1,9})(?![\w+-])"

# Every repetition is bounded or over a class that the next part cannot match: no backtracking, hence linear time.
LEXER = re.compile(
    rf"""
    \\(?P<escaped>[\\()\[\]])
  | (?P<open>[(\[])
  | :\ ?(?P<weight>{NUMBER})\ ?\)
  | \)(?P<after>{NUMBER}(?![\w.])|{SIGNS})?
  | (?P<square>\])
  | (?P<break>\bBREAK\b)
  | (?<=\w)(?P<signs>{SIGNS})
  | (?P<text>[^\\()\[\]:B+-]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Segment(NamedTuple):
    """A piece of text and how much it counts; 1 is ordinary."""

    text: str
    weight: float


class _Piece(NamedTuple):
    """A piece of the source: text, an opening bracket with its factor, a closing one, or a break."""

    kind: str
    text: str = ""
    factor: float = 1.0


def parse(text: str) -> tuple[tuple[Segment, ...], ...]:
    """The prompt as windows (divided by `BREAK`) of weighted segments; neighbours of equal weight are one segment."""
    windows: list[list[Segment]] = [[]]
    weights = [1.0]
    for piece in _pieces(text):
        if piece.kind == "open":
            weights.append(_finite(weights[-1] * piece.factor))
        elif piece.kind == "close":
            weights.pop()
        elif piece.kind == "break":
            windows.append([])
        else:
            windows[-1].append(Segment(piece.text, min(MOST, round(weights[-1] * piece.factor, 4))))
    return tuple(tuple(_merged(window)) for window in windows)


def parse_all(text: str) -> list[Segment]:
    """All segments of a prompt, those of all its texts where it is a mixture of several."""
    return [segment for part, _ in mixed(text).parts for window in parse(part) for segment in window]


def plain(text: str) -> str:
    """The prompt without its weights: what is tokenised."""
    return " ".join(segment.text for segment in parse_all(text))


def _pieces(text: str) -> list[_Piece]:
    """The source in pieces; each opening bracket knows its factor, which is only known at its close."""
    pieces: list[_Piece] = []
    opened: list[int] = []
    for match in LEXER.finditer(text):
        kind = match.lastgroup
        if kind == "open":
            opened.append(len(pieces))
            pieces.append(_Piece("open", match[0], 1.1 if match[0] == "(" else 1 / 1.1))
        elif kind == "break":
            pieces.append(_Piece("break"))
        elif kind == "signs" and pieces and pieces[-1].kind == "text":
            pieces[-1:] = _last_word(pieces[-1].text, _power(match["signs"]))
        elif _closes(match, pieces, opened):
            factor = _factor(match)
            if factor is not None:
                pieces[opened[-1]] = _Piece("open", "(", factor)
            opened.pop()
            pieces.append(_Piece("close"))
        else:
            # A backslash before anything but a bracket is dropped, as A1111 does.
            _add_text(pieces, match["escaped"] or match[0].removesuffix("\\"))
    return pieces


def _closes(match: re.Match[str], pieces: list[_Piece], opened: list[int]) -> bool:
    """Whether the match is a closing bracket with a fitting open one before it."""
    if not opened or match["escaped"] or (not match[0].endswith(("]", ")")) and match["after"] is None):
        return False
    return (pieces[opened[-1]].text == "[") == (match["square"] is not None)


def _factor(match: re.Match[str]) -> float | None:
    """The weight that a closing bracket carries, if any."""
    written = match["weight"] or match["after"]
    if not written:
        return None
    return _power(written) if set(written) <= {"+", "-"} else max(0.0, float(written))


def _power(signs: str) -> float:
    return (1.1 if signs[0] == "+" else 0.9) ** len(signs)


def _last_word(text: str, factor: float) -> list[_Piece]:
    """The text, with its last word weighted."""
    cut = max(text.rfind(mark) for mark in " ,\n\t") + 1
    return [_Piece("text", text[:cut]), _Piece("text", text[cut:], factor), _Piece("text")]


def _add_text(pieces: list[_Piece], text: str) -> None:
    if pieces and pieces[-1].kind == "text" and pieces[-1].factor == 1.0 and len(pieces[-1].text) < 200:
        pieces[-1] = _Piece("text", pieces[-1].text + text)
    else:
        pieces.append(_Piece("text", text))


def _finite(weight: float) -> float:
    return min(1e3, weight) if math.isfinite(weight) else 1e3


def _merged(segments: list[Segment]) -> list[Segment]:
    """Neighbours of equal weight as one; a space weighs what stands before it."""
    spaced: list[Segment] = []
    for segment in segments:
        spaced.append(Segment(segment.text, spaced[-1].weight) if spaced and not segment.text.strip() else segment)
    merged = [Segment("".join(part.text for part in same).strip(), weight) for weight, same in groupby(spaced, lambda part: part.weight)]
    return [segment for segment in merged if segment.text] or [Segment("", 1.0)]
