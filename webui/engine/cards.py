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

import yaml

JSON_LIMIT = 1 << 20
"""Largest card that is read, in bytes."""

TEXT = 400
"""Characters of a summary."""

NAME = 80
"""Characters of a title, a licence or a trigger word."""

WORDS = 12
"""Most trigger words of one file."""

FRONT = 1 << 16
"""Characters of a README that are read: its front matter is at the top."""

SHOWN = 3
"""Data sets that are named."""

NESTED = re.compile(r"[\[{]|- ")
DEEP = 200
"""What opens a list or a mapping in YAML, and how much of it one line may hold: each is a call inside a call."""

RELATIONS = {"finetune": "Fine-tuned from", "quantized": "Quantised from", "merge": "Merged from", "adapter": "An adapter for"}
"""What the hub calls how a model came of another -> how it is said."""


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


def said_by(readme: Path) -> dict[str, str]:
    """Licence and training data in the front matter of a model's README, as the Hugging Face hub writes it, as far as it says them."""
    front = _front(readme)
    # "other" has its name on a line of its own.
    licence = front.get("license_name") if front.get("license") == "other" else front.get("license")
    made = [
        _sentence("Trained on", front.get("datasets")),
        _sentence(RELATIONS.get(str(front.get("base_model_relation")), "Made from"), front.get("base_model")),
    ]
    said = {"licence": _text(licence, NAME), "training": _text(" ".join(filter(None, made)), TEXT)}
    return {field: value for field, value in said.items() if value}


def _front(readme: Path) -> dict[str, Any]:
    """The front matter as lists and texts; nothing if there is none, or if it is no YAML."""
    try:
        if not readme.is_file():
            return {}
        with readme.open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(FRONT)
        found = re.match(r"\ufeff?---[ \t]*\n(.*?\n)---[ \t]*(\n|$)", text, re.DOTALL)
        if found and any(len(NESTED.findall(line)) > DEEP for line in found[1].splitlines()):
            return {}
        # The base loader makes texts, lists and mappings, and nothing else; an anchor that is used twice is one thing, not two.
        value = yaml.load(found[1], Loader=yaml.BaseLoader) if found else {}
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _sentence(begin: str, named: Any) -> str:
    names = [name for one in (named if isinstance(named, list) else [named]) if (name := _text(one, NAME))]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{begin} {', '.join(names[:SHOWN])}{more}." if names else ""


def told(notes: Mapping[str, str], card: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of a single file: title, summary, licence, training data and trigger words, as far as they are said.

    Args:
        notes: the metadata in the file's header: modelspec (Stability AI's standard) and what the trainers of kohya_ss write.
        card: the JSON file beside it, ours or A1111's.
    """
    said = {
        "title": _text(card.get("title") or notes.get("modelspec.title"), NAME),
        "summary": _text(card.get("summary") or card.get("description") or notes.get("modelspec.description"), TEXT),
        "licence": _text(card.get("licence") or notes.get("modelspec.license"), NAME),
        "training": _text(card.get("training"), TEXT),
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
