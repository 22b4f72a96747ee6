"""Several prompts in one, as compel writes them: read where they are the whole prompt, else text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from compel import Compel
from diffusers import StableDiffusionPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import WINDOW
from webui.engine.conditioning import Conditioner
from webui.engine.mixed import PARTS, Mixed, mixed
from webui.engine.prompt import plain


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('("a cat", "a dog").and()', Mixed("and", (("a cat", 1.0), ("a dog", 1.0)))),
        (" ( 'a' , \"b\" ) .and( 1 , 0.5 ) ", Mixed("and", (("a", 1.0), ("b", 0.5)))),
        ('("a").and()', Mixed("and", (("a", 1.0),))),
        ('("a", "b").and(-1, 1)', Mixed("and", (("a", 0.0), ("b", 1.0)))),
        ('("a", "b").blend(3, 1)', Mixed("blend", (("a", 0.75), ("b", 0.25)))),
        ('("a", "b").blend()', Mixed("blend", (("a", 0.5), ("b", 0.5)))),
        ('("a", "b").blend(1.5, -.5)', Mixed("blend", (("a", 1.5), ("b", -0.5)))),
        ('("a", "b").blend(1, 1, no_normalize)', Mixed("blend", (("a", 1.0), ("b", 1.0)))),
        (r'("say \"a\" (b:1.2)", "c").and()', Mixed("and", (('say "a" (b:1.2)', 1.0), ("c", 1.0)))),
    ],
)
def test_what_compel_writes(text: str, found: Mixed) -> None:
    assert mixed(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "a cat", '("a", "b")', '("a", "b").swap()', 'x ("a", "b").and()', '("a", "b").and() x', '("a", "b").blend(1)',
        '("a" "b").and()', '("a", "b").blend(1, nan)', '("a", "b").blend(1, 1e9)', '("a", "b").blend(1, 99)', '("a", "b").blend(1, -1)',
        '("a", "b).and()',
        "(" + ", ".join(['"a"'] * (PARTS + 1)) + ").and()", "().and()", '("a", b).and()',
    ],
)  # fmt: skip
def test_what_is_anything_else_is_text(text: str) -> None:
    assert mixed(text) == Mixed("and", ((text, 1.0),))


def test_the_words_of_all_texts_are_counted() -> None:
    assert plain('("a (cat:1.2)", "a dog++").blend(1, 2)') == "a cat a dog"


PIECES = ['("', '",', '"', "'", ")", ".and(", ".blend(", "1", ",", "\\", " ", "a", "no_normalize"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read(text: str) -> None:
    found = mixed(text)
    assert 1 <= len(found.parts) <= PARTS and all(abs(weight) <= 1e5 for _, weight in found.parts)


@pytest.mark.parametrize("piece", ['("', '("a",', '"a",', "('", '\\"', "( ", '("a" ', ").and(", '("a").and(1,', '("\\'])
def test_long_nonsense_is_read_at_once(piece: str) -> None:
    for text in (piece * 20_000, '("' + piece * 20_000, "(" + piece * 20_000 + ").and()"):
        began = time.process_time()
        mixed(text)
        assert time.process_time() - began < 1


@pytest.fixture(scope="module")
def pipe(models: Path) -> Any:
    pipe = StableDiffusionPipeline.from_pretrained(models / "tiny", local_files_only=True, safety_checker=None)
    pipe.tokenizer.model_max_length = WINDOW
    return pipe


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize(
    "text",
    [
        '("a cat", "a dog").and()', '("a cat", "a dog").and(1, 0.5)', '("a cat", "dog").blend(0.7, 0.3)', '("a", "bc++ d").blend(2, 2)',
        '("a", "abcdefg abcdefg abcdefg").blend(0.5, 0.5)', '("a", "b").blend(1, 0.5, no_normalize)',
    ],
)  # fmt: skip
def test_they_are_encoded_as_compels_own_parser_has_it(pipe: Any, text: str) -> None:
    compel = Compel(tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder, truncate_long_prompts=False)
    ours = Conditioner(pipe.tokenizer, pipe.text_encoder)(text, "")[0]
    assert torch.allclose(ours, compel(text), atol=1e-5)
