"""Choices `{red|blue}` and wildcards `__colour__` in a prompt, drawn from the picture's seed. Pure; linear in what it reads.

| written | drawn |
|---|---|
| `{red|blue|}` | one of them, or nothing |
| `{3::red|blue}` | red three times as often |
| `{2$$red|blue|green}` | two different ones, with ", " between them |
| `{1-2$$ and $$red|blue|green}` | one or two, with " and " between them |
| `__colours/warm__` | a line of the file `wildcards/colours/warm.txt` |
| `{2$$__colour__}` | two different lines |

They nest. A backslash makes `{`, `}`, `|`, `_` and `#` ordinary characters. Braces without a `|` in them are text, as JSON has them, and so
are braces that nothing closes.
"""

from __future__ import annotations

import random
import re
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from webui.errors import InvalidRequest
from webui.request import PROMPT_LENGTH

DEPTH = 50
"""Braces within braces."""

FILES = 20
"""Wildcards within wildcards."""

DRAWS = 1000
"""Most draws for one prompt."""

READ = 10 * PROMPT_LENGTH
"""Most characters that are looked at for one prompt."""

LEXER = re.compile(
    r"\\(?P<plain>[{}|_#])|(?P<pair>\\.)|__(?P<name>[^\W_](?:[\w/ .\-]{0,98}?[^\W_])?)__|(?P<brace>[{}|])|(?P<text>[^\\{}|_]+|.)", re.DOTALL
)
WEIGHT = re.compile(r"\s{0,9}(\d{1,9}(?:\.\d{0,9})?)::")
COUNT = re.compile(r"\s{0,9}(?P<low>\d{1,4})?(?P<to>-)?(?P<high>\d{1,4})?\$\$(?:(?P<between>[^$]{0,99})\$\$)?")

COMMENT = re.compile(r"(?:^|(?<=[ \t]))#(?:[# \t][^\n]*)?$|^[ \t]*#[^\n]*$", re.MULTILINE)


class Deck(NamedTuple):
    """What a wildcard is drawn from: lines, and the sums of their weights up to each."""

    lines: tuple[str, ...]
    sums: tuple[float, ...]


class _Wildcard(NamedTuple):
    name: str


class _Choice(NamedTuple):
    options: tuple[_Text, ...]


_Text = tuple["str | _Wildcard | _Choice", ...]


def deck(lines: Iterable[str]) -> Deck:
    """The lines with their weights, as in `3::red`; 1 is usual. If all weigh nothing, all weigh the same."""
    return _stacked([(line[match.end() :], float(match[1])) if (match := WEIGHT.match(line)) else (line, 1.0) for line in lines])


def _stacked(cards: Sequence[tuple[str, float]]) -> Deck:
    sums = tuple(accumulate(weight for _, weight in cards))
    even = not sums or sums[-1] <= 0
    return Deck(tuple(line for line, _ in cards), tuple(map(float, range(1, len(cards) + 1))) if even else sums)


def without_comments(text: str) -> str:
    """The text without lines that begin with `#`, and without what follows a `#` that stands alone between blanks.

    stable-diffusion-webui cuts at every `#`; here `#ff8800`, `C#` and `#1` are words.
    """
    if "#" not in text:
        return text
    lines = [(line, COMMENT.sub("", line)) for line in text.split("\n")]
    return "\n".join(left.rstrip() if left != line else line for line, left in lines if left.strip() or left == line)


def draws(text: str) -> bool:
    """Whether anything in the text is drawn."""
    return any(not isinstance(part, str) for part in _parsed(text))


def draw(text: str, seed: int, field: str, decks: Callable[[str], Deck]) -> str:
    """The text with one thing in the place of each choice and wildcard: the same for the same seed, on any machine.

    Args:
        field: of the request; prompt and negative prompt of one seed are drawn apart.
        decks: what a wildcard's name stands for; raises InvalidRequest where there is none.

    Raises:
        InvalidRequest: nested too deeply, a wildcard that leads back to itself, or too much of it.
    """
    return _Hand(seed, field, decks).drawn(text)


class _Hand:
    """One prompt's draws."""

    def __init__(self, seed: int, field: str, decks: Callable[[str], Deck]) -> None:
        # Of all that `random` offers, only `random()` of a seeded generator is promised to stay as it is.
        self._chance = random.Random(f"{field} {seed}").random
        self._decks = decks
        self._left = DRAWS
        self._unread = READ

    def drawn(self, text: str, within: tuple[str, ...] = ()) -> str:
        self._unread -= len(text)
        if self._unread < 0:
            raise InvalidRequest("The wildcards of this prompt are too long together. Use shorter ones.")
        return self._text(_parsed(text), within)

    def _text(self, parts: _Text, within: tuple[str, ...]) -> str:
        pieces, length = [], 0
        for part in parts:
            piece = part if isinstance(part, str) else self._one(part, within)
            length += len(piece)
            if length > PROMPT_LENGTH:
                raise InvalidRequest(f"What is drawn for this prompt is longer than {PROMPT_LENGTH} characters. Use fewer wildcards.")
            pieces.append(piece)
        return "".join(pieces)

    def _one(self, part: _Wildcard | _Choice, within: tuple[str, ...]) -> str:
        if isinstance(part, _Wildcard):
            (line,), inside = self._pick(self._deck(part.name, within), 1), (*within, part.name)
            return self.drawn(line, inside)
        first, *rest = part.options
        count = COUNT.match(first[0]) if first and isinstance(first[0], str) else None
        options = [(first[0][count.end() :], *first[1:]) if count else first, *rest]  # type: ignore[index]
        whole = _alone(options[0]) if count and len(options) == 1 else None
        if whole is not None and count is not None:
            found = self._deck(whole.name, within)
            picked = [self.drawn(line, (*within, whole.name)) for line in self._pick(found, self._number(count, len(found.lines)))]
        else:
            # The weight stands in the text before it is drawn; numbers stand for the options until then.
            heads = [option[0] if option and isinstance(option[0], str) else "" for option in options]
            cuts = [match.end() if (match := WEIGHT.match(head)) else 0 for head in heads]
            cards = Deck(tuple(map(str, range(len(options)))), deck(heads).sums)
            chosen = [int(card) for card in self._pick(cards, self._number(count, len(options)) if count else 1)]
            bare = [(heads[k][cuts[k] :], *options[k][1:]) if cuts[k] else options[k] for k in chosen]
            picked = [self._text(option, within) for option in bare]
        if count is None:
            return picked[0]
        return (", " if count["between"] is None else count["between"]).join(piece.strip() for piece in picked)

    def _number(self, count: re.Match[str], most: int) -> int:
        low = int(count["low"] or (0 if count["to"] else 1))
        high = int(count["high"] or most) if count["to"] else low
        low, high = min(low, high), max(low, high)
        return min(most, low + int(self._chance() * (high - low + 1)) if low < high else low)

    def _pick(self, cards: Deck, count: int) -> list[str]:
        """Different ones."""
        self._left -= count
        if self._left < 0:
            raise InvalidRequest(f"More than {DRAWS} draws for one prompt are too many. Use fewer wildcards.")
        picked = []
        for k in range(count):
            at = min(bisect(cards.sums, self._chance() * cards.sums[-1]), len(cards.sums) - 1)
            picked.append(cards.lines[at])
            if k < count - 1:
                weights = [after - before for before, after in pairwise((0.0, *cards.sums))]
                cards = _stacked([pair for j, pair in enumerate(zip(cards.lines, weights, strict=True)) if j != at])
        return picked

    def _deck(self, name: str, within: tuple[str, ...]) -> Deck:
        if name in within:
            raise InvalidRequest(f"The wildcard {name} leads back to itself. Take __{name}__ out of its own lines.")
        if len(within) >= FILES:
            raise InvalidRequest(f"Wildcards within wildcards go {FILES} deep, no deeper. Write some of them out.")
        return self._decks(name)


def _alone(option: _Text) -> _Wildcard | None:
    """The wildcard that an option is, with nothing but blanks around it."""
    said = [part for part in option if not isinstance(part, str) or part.strip()]
    return said[0] if len(said) == 1 and isinstance(said[0], _Wildcard) else None


def _parsed(text: str) -> _Text:
    """Text, wildcards and choices in their order.

    Raises:
        InvalidRequest: braces nest too deeply.
    """
    tokens = list(LEXER.finditer(text))
    closed = _closed(tokens)
    levels: list[list[list[str | _Wildcard | _Choice]]] = [[[]]]
    for at, token in enumerate(tokens):
        here = levels[-1][-1]
        if token["name"]:
            here.append(_Wildcard(token["name"]))
        elif token["brace"] == "{" and at in closed:
            levels.append([[]])
            if len(levels) > DEPTH + 1:
                raise InvalidRequest(f"Braces within braces go {DEPTH} deep, no deeper. Put some of the choices into a wildcard.")
        elif token["brace"] == "}" and at in closed:
            options = levels.pop()
            levels[-1][-1].extend(_choice(options))
        elif token["brace"] == "|" and len(levels) > 1:
            levels[-1].append([])
        else:
            here.append(token["plain"] or token[0])
    return _joined(levels[0][0])


def _closed(tokens: Sequence[re.Match[str]]) -> set[int]:
    """Numbers of the braces that belong together."""
    opened: list[int] = []
    closed: set[int] = set()
    for at, token in enumerate(tokens):
        if token["brace"] == "{":
            opened.append(at)
        elif token["brace"] == "}" and opened:
            closed |= {opened.pop(), at}
    return closed


def _choice(options: list[list[str | _Wildcard | _Choice]]) -> list[str | _Wildcard | _Choice]:
    """A choice; the braces themselves where there is nothing to choose."""
    texts = tuple(_joined(option) for option in options)
    first = texts[0][0] if texts[0] else ""
    if len(texts) > 1 or (isinstance(first, str) and COUNT.match(first)):
        return [_Choice(texts)]
    return ["{", *texts[0], "}"]


def _joined(parts: Sequence[str | _Wildcard | _Choice]) -> _Text:
    """Neighbouring pieces of text as one."""
    joined: list[str | _Wildcard | _Choice] = []
    pieces: list[str] = []
    for part in (*parts, None):
        if isinstance(part, str):
            pieces.append(part)
            continue
        if pieces:
            joined.append("".join(pieces))
            pieces = []
        if part is not None:
            joined.append(part)
    return tuple(joined)
