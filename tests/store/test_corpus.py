"""Texts as other programs write them: read as far as they go, put into a request, written, and read again the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from webui.request import Defaults, Request, Resolved
from webui.store.infotext import PAIRS, parse, write

CORPUS = Path(__file__).parent / "corpus"
TEXTS = sorted(CORPUS.glob("*.txt"))
EXPECTED: dict[str, dict[str, Any]] = json.loads((CORPUS / "expected.json").read_text())
"""File -> the fields that are read, and how many pairs are kept besides; a few of these."""


def test_the_corpus_is_whole() -> None:
    assert len(TEXTS) >= 60 and {file.stem for file in TEXTS} == set(EXPECTED)


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.stem)
def test_a_text_is_read_applied_written_and_read_again(file: Path) -> None:
    expected = EXPECTED[file.stem]
    said = parse(file.read_bytes().decode())
    assert said is not None
    fields = said.request.model_dump(exclude_defaults=True, mode="json")
    assert fields == expected["fields"]
    assert len(said.more) == expected["kept"] and dict(said.more) | expected["more"] == dict(said.more)
    # Applied: what the text leaves open is the model's default; nothing else changes.
    request = said.request.resolve(Defaults(), said.request.model or "m")
    assert {name: value for name, value in request.model_dump(mode="json").items() if name in fields} == fields
    # Written and read again.
    written = write(request, said.more)
    again = parse(written)
    assert again is not None
    assert again.request == Request.parse(request.asked) and again.more == said.more
    assert write(Resolved.parse(request.asked), again.more) == written
    assert len(written.split("\n")[-1].split(": ")) > PAIRS
