"""What pipelines are given in place of prompts: SDXL's two encoders and its summary, and texts that a pipeline encodes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from tests.families import write_family
from webui.engine.loop import Task
from webui.engine.texts import TEXTS, Prompts


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = write_family(tmp_path_factory.mktemp("models") / "xl", "Stable Diffusion XL")
    return StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True, add_watermarker=False)


@pytest.fixture(scope="module")
def xl(pipe: Any) -> Prompts:
    return TEXTS["two CLIPs"](pipe)


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


NAMES = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


@pytest.mark.parametrize("negative", ["ugly", ""])
def test_unweighted_prompts_of_sdxl_are_what_diffusers_makes_of_them(xl: Prompts, pipe: Any, negative: str) -> None:
    theirs = pipe.encode_prompt("a red boat", device="cpu", negative_prompt=negative or None)
    ours = xl("a red boat", negative)
    for name, value in zip(NAMES, theirs, strict=True):
        assert torch.equal(ours[name], value), name


def test_weights_reach_sdxls_tokens_and_their_brackets_do_not_reach_its_summary(xl: Prompts) -> None:
    weighted, bare = xl("a (boat:1.5)", None), xl("a boat", None)
    assert set(weighted) == {"prompt_embeds", "pooled_prompt_embeds"}
    assert not torch.equal(weighted["prompt_embeds"], bare["prompt_embeds"])
    assert torch.equal(weighted["pooled_prompt_embeds"], bare["pooled_prompt_embeds"])


def test_long_prompts_of_sdxl_are_padded_to_one_length(xl: Prompts) -> None:
    given = xl("abcdefg " * 20, "ugly")
    assert given["prompt_embeds"].shape == given["negative_prompt_embeds"].shape
    assert given["prompt_embeds"].shape[1] == 2 * 77


def test_a_pipeline_that_encodes_by_itself_gets_bare_words_and_encodes_each_once() -> None:
    encoded: list[tuple[Any, ...]] = []

    def encode_prompt(prompt: str, device: Any = None) -> object:
        encoded.append((prompt, device))
        return object()

    def ask(task: Task) -> Any:
        keys.append(task.key)
        return task.do()

    keys: list[Any] = []
    prompts = TEXTS["its own"](SimpleNamespace(encode_prompt=encode_prompt))
    assert prompts("a (red:1.3) boat++", "[ugly]") == {"prompt": "a red boat", "negative_prompt": "ugly"}
    assert prompts("a", None) == {"prompt": "a"}
    copies = [SimpleNamespace(), SimpleNamespace()]
    for copy in copies:
        prompts.prepare(copy, ask)
    first = copies[0].encode_prompt(prompt="a", device="cpu")
    assert copies[1].encode_prompt(prompt="a", device="cpu") is first
    assert copies[1].encode_prompt(prompt="b", device="cpu") is not first
    assert encoded == [("a", "cpu"), ("b", "cpu")]
    assert keys[0] == keys[1] != keys[2], "jobs that wait for one text share the task"
