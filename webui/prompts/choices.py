"""The grammar of choices and wildcards in a prompt: text -> what is to be drawn. Linear in the length of the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from webui.errors import InvalidRequest

DEPTH = 50
"""Braces within braces."""

LEXER = re.compile(
    # A LoRA's own name may have a __word__ in it; where it is nothing but one, that is a wildcard, and weights are drawn as anything is.
    r"(?:<(?i:lora):(?!\s?__[^<>:\n]{1,100}__\s?[:>])[^<>{}|:\\\n]{0,300})|"
    r"\\(?P<plain>[{}|_#])|(?P<pair>\\.)|__(?P<name>[^\W_](?:[\w/ .\-]{0,98}?[^\W_])?)__|(?P<brace>[{}|])|(?P<text>[^\\{}|_<]+|.)",
    re.DOTALL,
)
COUNT = re.compile(r"\s{0,9}(?P<low>\d{1,4})?(?P<to>-)?(?P<high>\d{1,4})?\$\$(?:(?P<between>[^$]{0,99})\$\$)?")
"""How many options are picked, and what stands between them."""


class Wildcard(NamedTuple):
    """A line of a file is put here."""

    name: str


class Choice(NamedTuple):
    """Some of the options are put here."""

    options: tuple[Text, ...]


Part = str | Wildcard | Choice
Text = tuple[Part, ...]


def head(option: Text) -> str:
    """The text that an option begins with."""
    return option[0] if option and isinstance(option[0], str) else ""


def without(option: Text, length: int) -> Text:
    """The option without the first signs of its head."""
    return (head(option)[length:], *option[1:])


def alone(option: Text) -> Wildcard | None:
    """The wildcard that an option is, with nothing but blanks around it."""
    said = [part for part in option if not isinstance(part, str) or part.strip()]
    return said[0] if len(said) == 1 and isinstance(said[0], Wildcard) else None


def parsed(text: str) -> Text:
    """Text, wildcards and choices in their order.

    Raises:
        InvalidRequest: braces nest too deeply.
    """
    tokens = list(LEXER.finditer(text))
    closed = _closed(tokens)
    levels: list[list[list[Part]]] = [[[]]]
    for at, token in enumerate(tokens):
        here = levels[-1][-1]
        if token["name"]:
            here.append(Wildcard(token["name"]))
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


def _choice(options: list[list[Part]]) -> list[Part]:
    """A choice; the braces themselves where there is nothing to choose."""
    texts = tuple(_joined(option) for option in options)
    first = texts[0][0] if texts[0] else ""
    if len(texts) > 1 or (isinstance(first, str) and COUNT.match(first)):
        return [Choice(texts)]
    return ["{", *texts[0], "}"]


def _joined(parts: Sequence[Part]) -> Text:
    """Neighbouring pieces of text as one."""
    joined: list[Part] = []
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
