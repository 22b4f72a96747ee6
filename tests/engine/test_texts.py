"""What pipelines are given in place of prompts: SDXL's two encoders and its summary, and texts that a pipeline encodes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionXLPipeline

from tests.families import write_family
from webui.engine.families import FAMILIES
from webui.engine.stand_ins import Task
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


@pytest.fixture(scope="module", params=["Stable Diffusion 3", "FLUX.1"])
def flow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    folder = write_family(tmp_path_factory.mktemp("models") / "flow", request.param)
    return request.param, DiffusionPipeline.from_pretrained(folder, local_files_only=True)


def made(flow: tuple[str, Any], prompt: str, negative: str | None = None) -> dict[str, torch.Tensor]:
    """What the pipeline is given."""
    row = FAMILIES[flow[0]]
    return TEXTS[row.texts](flow[1], (), row.options["max_sequence_length"])(prompt, negative)


@pytest.mark.parametrize("prompt", ["a red boat", "", "word " * 300])
def test_unweighted_prompts_for_t5_are_what_diffusers_makes_of_them(flow: tuple[str, Any], prompt: str) -> None:
    length = {"max_sequence_length": FAMILIES[flow[0]].options["max_sequence_length"]}
    if flow[0] == "FLUX.1":
        theirs = flow[1].encode_prompt(prompt, None, device="cpu", **length)
        ours = made(flow, prompt)
        assert torch.equal(ours["pooled_prompt_embeds"], theirs[1])
        assert torch.allclose(ours["prompt_embeds"], theirs[0], atol=1e-6)
        return
    theirs = flow[1].encode_prompt(prompt, None, None, device="cpu", negative_prompt="ugly", **length)
    ours = made(flow, prompt, "ugly")
    for name, value in zip((NAMES[0], NAMES[1], *NAMES[2:]), theirs, strict=True):
        # Text beyond a window of CLIP is read here in windows of its own, and padded there to the same length.
        if len(prompt) < 100 or "pooled" in name:
            assert torch.allclose(ours[name], value, atol=1e-6), name
    assert ours["prompt_embeds"].shape == ours["negative_prompt_embeds"].shape
    assert torch.allclose(
        ours["prompt_embeds"][:, -length["max_sequence_length"] :], theirs[0][:, -length["max_sequence_length"] :], atol=1e-6
    )


@pytest.mark.parametrize(
    "weighted", ["a (boat:1.5)", "a (boat:0.5)", "a boat++", "[a] boat", '("a", "boat").blend(0.5, 0.5)', "a BREAK (boat:1.2)"]
)
def test_weights_reach_t5_and_their_signs_do_not_reach_the_summary(flow: tuple[str, Any], weighted: str) -> None:
    bare, ours = made(flow, "a boat"), made(flow, weighted)
    assert ours["prompt_embeds"].isfinite().all()
    length = FAMILIES[flow[0]].options["max_sequence_length"]
    assert not torch.allclose(ours["prompt_embeds"][:, -length:], bare["prompt_embeds"][:, -length:], atol=1e-4)
    if "blend" not in weighted:
        assert torch.equal(ours["pooled_prompt_embeds"], bare["pooled_prompt_embeds"])


def test_stable_diffusion_3_without_t5_reads_with_clip_alone(flow: tuple[str, Any]) -> None:
    if flow[0] == "FLUX.1":
        pytest.skip("FLUX.1 has no use without T5")
    pipe = type(flow[1])(**(flow[1].components | {"text_encoder_3": None, "tokenizer_3": None}))
    theirs = pipe.encode_prompt("a boat", None, None, device="cpu", negative_prompt="x", max_sequence_length=256)
    ours = TEXTS["two CLIPs and T5"](pipe, (), 256)("a boat", "x")
    for name, value in zip(NAMES, theirs, strict=True):
        assert torch.allclose(ours[name], value, atol=1e-6), name


@pytest.fixture(scope="module", params=["Chroma", "PixArt-Sigma", "AuraFlow"])
def masked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    folder = write_family(tmp_path_factory.mktemp("models") / "masked", request.param)
    return request.param, DiffusionPipeline.from_pretrained(folder, local_files_only=True)


@pytest.mark.parametrize("prompt", ["A red boat, far", "", "word " * 600])
def test_unweighted_prompts_for_a_masked_t5_are_the_pipelines_own(masked: tuple[str, Any], prompt: str) -> None:
    length = FAMILIES[masked[0]].options["max_sequence_length"]
    theirs = masked[1].encode_prompt(prompt, negative_prompt="ugly", do_classifier_free_guidance=True, max_sequence_length=length)
    ours = made(masked, prompt, "ugly")
    tensors = [value for value in ours.values() if value is not None]
    assert len(tensors) == 4 and all(any(torch.equal(value, one) for one in theirs if torch.is_tensor(one)) for value in tensors)
    assert torch.equal(ours["prompt_embeds"], theirs[0])


def test_weights_move_their_words_alone_away_from_the_empty_text(masked: tuple[str, Any]) -> None:
    bare, empty = made(masked, "a red boat")["prompt_embeds"], made(masked, "")["prompt_embeds"]
    first = len(masked[1].tokenizer("a", add_special_tokens=False).input_ids)
    count = len(masked[1].tokenizer("red", add_special_tokens=False).input_ids)
    for written, weight in (("a (red:1.5) boat", 1.5), ("a (red:0.5) boat", 0.5), ("a (red:0) boat", 0.0)):
        ours = made(masked, written)["prompt_embeds"]
        expected = bare.clone()
        place = slice(first, first + count)
        expected[:, place] = empty[:, place] + (bare[:, place] - empty[:, place]) * weight
        assert torch.allclose(ours, expected, atol=1e-6)
    both = made(masked, '("a cat", "a red boat").blend(1, 3)')["prompt_embeds"]
    assert torch.allclose(both, made(masked, "a cat")["prompt_embeds"] / 4 + bare * 3 / 4, atol=1e-6)
    assert made(masked, "(word:1.2) " * 600)["prompt_embeds"].isfinite().all()
