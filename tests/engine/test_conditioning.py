"""Prompts as conditioning: equal to plain diffusers where nothing is weighted, whole where it is long, bounded where it is absurd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from compel import Compel
from diffusers import StableDiffusionPipeline
from torch import Tensor

from tests.tiny import WINDOW
from webui.engine import conditioning
from webui.engine.conditioning import PASSES, WINDOWS, Conditioner
from webui.errors import InvalidRequest


@pytest.fixture(scope="module")
def pipe(models: Path) -> Any:
    pipe = StableDiffusionPipeline.from_pretrained(models / "tiny", local_files_only=True, safety_checker=None)
    pipe.tokenizer.model_max_length = WINDOW
    return pipe


@pytest.fixture(scope="module")
def conditioner(pipe: Any) -> Conditioner:
    return Conditioner(pipe.tokenizer, pipe.text_encoder)


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def encoded(conditioner: Conditioner, prompt: str) -> Tensor:
    """Conditioning of the prompt alone."""
    return conditioner(prompt, "")[0]


@pytest.mark.parametrize("prompt", ["", "a boat", "red, blue!"])
def test_an_unweighted_prompt_is_what_diffusers_makes_of_it(conditioner: Conditioner, pipe: Any, prompt: str) -> None:
    positive, negative = pipe.encode_prompt(prompt, "cpu", 1, True, "ugly")
    ours = conditioner(prompt, "ugly")
    assert torch.equal(ours[0], positive) and torch.equal(ours[1], negative)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("a (cat:1.3)", "a (cat)1.3"), ("a cat++ b", "a cat++ b"), ("(ab)0.5 c", "(ab)0.5 c"), ("a [b]", "a (b)0.9091")]
)
def test_weights_are_those_of_compels_own_parser(conditioner: Conditioner, pipe: Any, ours: str, theirs: str) -> None:
    compel = Compel(tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder, truncate_long_prompts=False)
    assert torch.allclose(encoded(conditioner, ours), compel(theirs), atol=1e-6)


@pytest.mark.parametrize("weight", [0, 0.5, 0.99, 1.01, 1.5, 5])
def test_every_weight_changes_the_conditioning_and_stays_finite(conditioner: Conditioner, weight: float) -> None:
    weighted = encoded(conditioner, f"a (cat:{weight})")
    assert weighted.isfinite().all() and not torch.equal(weighted, encoded(conditioner, "a cat"))


def test_an_escaped_bracket_is_a_bracket(conditioner: Conditioner, pipe: Any) -> None:
    assert torch.equal(encoded(conditioner, r"a \(b\)"), pipe.encode_prompt("a (b)", "cpu", 1, False)[0])


def test_a_long_prompt_fills_windows_and_its_last_word_counts(conditioner: Conditioner) -> None:
    words = "abcdefg " * 8
    first, second = encoded(conditioner, words + "x"), encoded(conditioner, words + "y")
    windows = -(-(7 * 8 + 1) // (WINDOW - 2))
    assert first.shape[1] == windows * WINDOW
    assert torch.equal(first[:, :WINDOW], second[:, :WINDOW]) and not torch.equal(first[:, -WINDOW:], second[:, -WINDOW:])


def test_break_starts_a_window_of_its_own(conditioner: Conditioner) -> None:
    both = encoded(conditioner, "a BREAK b")
    assert torch.equal(both, torch.cat([encoded(conditioner, "a"), encoded(conditioner, "b")], 1))


def test_the_shorter_of_two_is_padded_with_the_empty_prompt(conditioner: Conditioner) -> None:
    long = "abcdefg " * 8
    for prompt, negative in ((long, "a"), ("a", long)):
        positive, other = conditioner(prompt, negative)
        assert positive.shape == other.shape
    assert torch.equal(conditioner("a", long)[0][:, -WINDOW:], encoded(conditioner, ""))


ABSURD = {
    "long": "a" * ((WINDOW - 2) * WINDOWS + 1),
    "breaks": "BREAK " * WINDOWS,
    "weak": "(a:0.5) b " * (PASSES // 2),
}


@pytest.mark.parametrize("text", ABSURD.values(), ids=ABSURD)
def test_what_would_keep_the_encoder_busy_is_refused(conditioner: Conditioner, text: str) -> None:
    for prompts, field in (((text, ""), "prompt"), (("", text), "negative")):
        with pytest.raises(InvalidRequest) as refused:
            conditioner(*prompts)
        assert refused.value.field == field and refused.value.message.endswith(".")


def test_the_longest_that_is_allowed_is_encoded_whole(conditioner: Conditioner) -> None:
    assert encoded(conditioner, "a" * ((WINDOW - 2) * WINDOWS)).shape[1] == WINDOW * WINDOWS


def test_the_same_prompts_are_encoded_once_and_old_ones_are_forgotten(
    conditioner: Conditioner, pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditioning, "KEPT", 2)
    own = Conditioner(pipe.tokenizer, pipe.text_encoder)
    first = own("a", "b")
    assert own("a", "b")[0] is first[0]
    own("c", "b"), own("d", "b")
    assert own("a", "b")[0] is not first[0] and torch.equal(own("a", "b")[0], first[0])
