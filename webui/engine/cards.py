"""What is said of a model beside its weights: a card in JSON, the front matter of a README, the notes in a file's own header.

Everything here was written by strangers: it is shown as text, cut to a length, and nothing depends on it. Knows nothing of torch.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

JSON_LIMIT = 1 << 20
"""Largest card that is read, in bytes."""

TEXT = 400
"""Characters of a summary."""

NAME = 80
"""Characters of a title, a licence or a trigger word."""

WORDS = 12
"""Most trigger words of one file."""


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object, or an empty one if the file holds anything else."""
    try:
        if not file.is_file() or file.stat().st_size > JSON_LIMIT:
            return {}
        value = json.loads(file.read_text(encoding="utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # half a character would break every page that shows it
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def licence_of(readme: Path) -> str:
    """The licence in the front matter of a model's README, as the Hugging Face hub writes it; empty where it says none."""
    try:
        if not readme.is_file():
            return ""
        with readme.open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(1 << 16)
    except OSError:
        return ""
    front = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", text, re.DOTALL)
    found = dict(re.findall(r"^(license|license_name):\s*[\"']?([^\"'\n]+?)[\"']?\s*$", front[1], re.MULTILINE)) if front else {}
    # "other" has its name on a line of its own.
    return _text(found.get("license_name") if found.get("license") == "other" else found.get("license"), NAME)


def told(notes: Mapping[str, str], card: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of a single file: title, summary, licence and trigger words, as far as they are said.

    Args:
        notes: the metadata in the file's header: modelspec (Stability AI's standard) and what the trainers of kohya_ss write.
        card: the JSON file beside it, ours or A1111's.
    """
    said = {
        "title": _text(card.get("title") or notes.get("modelspec.title"), NAME),
        "summary": _text(card.get("summary") or card.get("description") or notes.get("modelspec.description"), TEXT),
        "licence": _text(card.get("licence") or notes.get("modelspec.license"), NAME),
        "words": _words(notes, card),
    }
    return {field: value for field, value in said.items() if value}


def _words(notes: Mapping[str, str], card: Mapping[str, Any]) -> tuple[str, ...]:
    """Trigger words: those that somebody wrote down, or else the commonest captions of the training pictures."""
    own = card.get("words")
    written = [*(own if isinstance(own, list) else ()), card.get("activation text"), notes.get("modelspec.trigger_phrase")]
    words = _distinct(_text(word, NAME) for word in written)
    return words or _distinct(_text(tag, NAME) for tag in _captions(notes.get("ss_tag_frequency", "")))


def _captions(text: str) -> list[str]:
    """Captions of the training pictures, the commonest first: `{"folder": {"caption": count}}`."""
    try:
        folders = json.loads(text) if 0 < len(text) < JSON_LIMIT else {}
    except (ValueError, RecursionError):
        return []
    counted: Counter[str] = Counter()
    for tags in folders.values() if isinstance(folders, dict) else ():
        if isinstance(tags, dict):
            counted.update({tag: count for tag, count in tags.items() if type(count) is int and 0 < count < 1 << 40})
    return sorted(counted, key=counted.__getitem__, reverse=True)[:WORDS]


def _distinct(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in words if word))[:WORDS]


def _text(value: Any, most: int) -> str:
    """Plain text of one line: tags of HTML and signs that cannot be shown are left out."""
    if not isinstance(value, str):
        return ""
    plain = value[: 4 * most + 4000]
    if "<" in plain:
        plain = re.sub(r"<[^<>]{0,1000}>", " ", plain)
    if not plain.isprintable():
        plain = "".join(sign if sign.isprintable() else " " for sign in plain)
    line = " ".join(plain.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
