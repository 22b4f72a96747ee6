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
from bisect import bisect, insort
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from webui.errors import InvalidRequest
from webui.prompts.choices import COUNT, Choice, Text, Wildcard, alone, head, parsed, without
from webui.request import PROMPT_LENGTH

FILES = 20
"""Wildcards within wildcards."""

DRAWS = 1000
"""Most draws for one prompt."""

READ = 10 * PROMPT_LENGTH
"""Most characters that are looked at for one prompt."""

WEIGHT = re.compile(r"\s{0,9}(\d{1,9}(?:\.\d{0,9})?)::")


class Deck(NamedTuple):
    """What a wildcard is drawn from: lines, and the sums of their weights up to each."""

    lines: tuple[str, ...]
    sums: tuple[float, ...]


def deck(lines: Iterable[str]) -> Deck:
    """The lines with their weights, as in `3::red`; 1 is usual. If all weigh nothing, all weigh the same."""
    return _stacked([(line[match.end() :], float(match[1])) if (match := WEIGHT.match(line)) else (line, 1.0) for line in lines])


def _stacked(cards: Sequence[tuple[str, float]]) -> Deck:
    sums = tuple(accumulate(weight for _, weight in cards))
    even = not sums or sums[-1] <= 0
    return Deck(tuple(line for line, _ in cards), tuple(map(float, range(1, len(cards) + 1))) if even else sums)


def draws(text: str) -> bool:
    """Whether anything in the text is drawn."""
    return any(not isinstance(part, str) for part in parsed(text))


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
        return self._text(parsed(text), within)

    def _text(self, parts: Text, within: tuple[str, ...]) -> str:
        pieces, length = [], 0
        for part in parts:
            piece = part if isinstance(part, str) else self._one(part, within)
            length += len(piece)
            if length > PROMPT_LENGTH:
                raise InvalidRequest(f"What is drawn for this prompt is longer than {PROMPT_LENGTH} characters. Use fewer wildcards.")
            pieces.append(piece)
        return "".join(pieces)

    def _one(self, part: Wildcard | Choice, within: tuple[str, ...]) -> str:
        if isinstance(part, Wildcard):
            (line,) = self._pick(self._deck(part.name, within), 1)
            return self.drawn(line, (*within, part.name))
        count = COUNT.match(head(part.options[0]))
        if count is None:
            return self._some(part.options, 1, within)[0]
        options = (without(part.options[0], count.end()), *part.options[1:])
        whole = alone(options[0]) if len(options) == 1 else None
        if whole is not None:
            found = self._deck(whole.name, within)
            lines = self._pick(found, self._number(count, len(found.lines)))
            picked = [self.drawn(line, (*within, whole.name)) for line in lines]
        else:
            picked = self._some(options, self._number(count, len(options)), within)
        return (", " if count["between"] is None else count["between"]).join(piece.strip() for piece in picked)

    def _some(self, options: tuple[Text, ...], count: int, within: tuple[str, ...]) -> list[str]:
        """So many of the options, drawn in their turn. Their numbers stand for them until they are picked, as their weights are text."""
        cards = Deck(tuple(map(str, range(len(options)))), deck(map(head, options)).sums)
        chosen = [options[int(card)] for card in self._pick(cards, count)]
        weights = [WEIGHT.match(head(option)) for option in chosen]
        return [self._text(without(one, weight.end()) if weight else one, within) for one, weight in zip(chosen, weights, strict=True)]

    def _number(self, count: re.Match[str], most: int) -> int:
        low = int(count["low"] or (0 if count["to"] else 1))
        high = int(count["high"] or most) if count["to"] else low
        low, high = sorted((min(low, most), min(high, most)))
        return low + int(self._chance() * (high - low + 1)) if low < high else low

    def _pick(self, cards: Deck, count: int) -> list[str]:
        """Different ones. What is taken stays in the deck and is stepped over: a new deck for each pick is slow where there are many."""
        self._left -= count
        if self._left < 0:
            raise InvalidRequest(f"More than {DRAWS} draws for one prompt are too many. Use fewer wildcards.")
        picked: list[str] = []
        taken: set[int] = set()
        gone: list[tuple[float, float]] = []  # where it begins among the sums, and what it weighs, from the top of the deck
        left = cards.sums[-1] if cards.sums else 0.0
        for _ in range(count):
            chance = self._chance()
            place = chance * max(0.0, left)
            for start, weight in gone:
                if start > place:
                    break
                place += weight
            at = bisect(cards.sums, place)
            if at in taken or at == len(cards.sums):  # what is left weighs nothing, or too little to be found in this deck
                weights = [after - before for before, after in pairwise((0.0, *cards.sums))]
                cards = _stacked([pair for j, pair in enumerate(zip(cards.lines, weights, strict=True)) if j not in taken])
                taken, gone, left = set(), [], cards.sums[-1]
                at = min(bisect(cards.sums, chance * left), len(cards.sums) - 1)
            start = cards.sums[at - 1] if at else 0.0
            weight = cards.sums[at] - start
            picked.append(cards.lines[at])
            taken.add(at)
            insort(gone, (start, weight))
            left -= weight
        return picked

    def _deck(self, name: str, within: tuple[str, ...]) -> Deck:
        if name in within:
            raise InvalidRequest(f"The wildcard {name} leads back to itself. Take __{name}__ out of its own lines.")
        if len(within) >= FILES:
            raise InvalidRequest(f"Wildcards within wildcards go {FILES} deep, no deeper. Write some of them out.")
        return self._decks(name)
