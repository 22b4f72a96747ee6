"""Weights in 8 bits: which parts of which models, what it saves and costs, and that LoRAs leave no trace in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.hooks.group_offloading import _is_group_offload_enabled

from tests.denoisers import write_denoiser
from tests.engine.conftest import events_of, pixels
from tests.engine.test_loras import write_lora
from tests.families import write_family
from tests.single import write_checkpoint, write_configs
from tests.tiny import tokenizer
from webui.cli.options import settings_of
from webui.engine import memory, placement, quantized, single
from webui.engine.catalogue import Model
from webui.engine.engine import Engine
from webui.engine.memory import quantizable, stored
from webui.engine.placement import COST
from webui.errors import InvalidRequest, ModelError
from webui.events import Event, Rendered
from webui.request import Defaults, Request
from webui.settings import Wishes

EIGHT = Wishes(quantize="int8")
CPU = torch.device("cpu")


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to be worth it."""
    monkeypatch.setattr(memory, "WORTH", 1)


def run(engine: Engine, *prompts: str) -> list[list[Event]]:
    requests = [
        Request.parse({"prompt": prompt, "seed": 1, "steps": 3 + k, "width": 64, "height": 64}).resolve(engine._models["m"].defaults, "m")
        for k, prompt in enumerate(prompts)
    ]
    return events_of(engine, *requests)


def in_eight_bits(part: torch.nn.Module) -> int:
    """Numbers that are in 8 bits."""
    weights: list[Any] = [weight for weight in part.parameters() if is_small(weight)]
    assert all(weight.qdata.dtype == torch.int8 for weight in weights)
    return sum(weight.numel() for weight in weights)


def is_small(weight: Any) -> bool:
    return type(weight).__name__ == "Int8Tensor"


@pytest.mark.parametrize("family", ["Stable Diffusion XL", "Stable Diffusion 3", "Qwen-Image", "Kolors", "HiDream"])
def test_denoiser_and_encoders_are_as_small_as_was_counted_and_paint_nearly_the_same(
    family: str, tmp_path: Path, everything_is_large: None
) -> None:
    """All kinds of text encoders, one of Llama beside the pipeline, and one with code in diffusers."""
    write_family(tmp_path / "m", family)
    (plain,), engine = run(Engine([tmp_path], "cpu", "fast"), "a boat"), Engine([tmp_path], "cpu", "fast", wishes=EIGHT)
    log, other = run(engine, "a boat", "a house")
    model = engine._models["m"]
    pipe = engine._loader.get(model).pipe
    for name in quantizable(model):
        assert 0.99 * model.matrices[name] < in_eight_bits(getattr(pipe, name)) <= model.matrices[name], name
    assert not in_eight_bits(pipe.vae)
    assert isinstance(log[-1], Rendered) and log[-1].dtype == "float32, int8 weights" and isinstance(other[-1], Rendered)
    # Two in a thousand of the brightness; the faults of one weight are as large as 1/254 of the largest in its row.
    assert 0 < np.abs(pixels(log) - pixels(plain)).mean() < 0.5


def test_with_layers_fetched_one_by_one_the_picture_is_the_same(
    tmp_path: Path, everything_is_large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From main memory to main memory: the same hooks as on CUDA, but for the stream."""
    write_family(tmp_path / "m", "Qwen-Image")
    (plain,), decide = run(Engine([tmp_path], "cpu", "off", wishes=EIGHT), "a boat"), placement.decide
    monkeypatch.setattr(placement, "decide", lambda *given: decide(*given)._replace(streamed=True))
    engine = Engine([tmp_path], "cpu", "off", wishes=EIGHT)
    assert np.array_equal(pixels(run(engine, "a boat")[0]), pixels(plain))
    transformer = engine._loader.get(engine._models["m"]).pipe.transformer
    assert _is_group_offload_enabled(transformer) and in_eight_bits(transformer)


def test_loras_act_on_it_and_leave_no_trace(tmp_path: Path, everything_is_large: None) -> None:
    write_family(tmp_path / "m", "Stable Diffusion 1.x", wide=True)
    (tmp_path / "loras").mkdir()
    pipe = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "m", local_files_only=True)
    write_lora(tmp_path / "loras" / "both.safetensors", pipe, ("unet", "text_encoder"))
    engine, whole = Engine([tmp_path], "cpu", "off", wishes=EIGHT), Engine([tmp_path], "cpu", "off")
    prompts = "a boat", "a boat <lora:both:0.05>"
    before = pixels(run(engine, prompts[0])[0])
    unet = engine._loader.get(engine._models["m"]).pipe.unet
    weights: dict[str, Any] = {
        name: (weight.qdata.clone(), weight.scale.clone()) for name, weight in unet.named_parameters() if is_small(weight)
    }
    changed = pixels(run(engine, prompts[1])[0])
    # It acts as it does on a model in full precision,
    full = [pixels(run(whole, prompt)[0]) for prompt in prompts]
    assert np.abs(changed - full[1]).mean() < 0.1 * np.abs(full[1] - full[0]).mean()
    # and it is gone afterwards, bit for bit, with another job in the same rounds too.
    together = run(engine, *prompts)
    assert np.array_equal(pixels(together[0]), before)
    after: dict[str, Any] = {name.replace(".base_layer", ""): weight for name, weight in unet.named_parameters() if is_small(weight)}
    assert weights.keys() == after.keys()
    assert all(torch.equal(after[name].qdata, data) and torch.equal(after[name].scale, scale) for name, (data, scale) in weights.items())


def test_a_single_file_is_opened_in_8_bits_too(tmp_path: Path, everything_is_large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        write_family(tmp_path / "models" / "m", "Stable Diffusion 1.x", wide=True), local_files_only=True
    )
    write_checkpoint(tmp_path / "models" / "file.safetensors", pipe)
    write_configs(tmp_path / "sd1", pipe)
    monkeypatch.setattr(single, "DATA", tmp_path)
    monkeypatch.setattr(single, "tokenizer", lambda second: tokenizer(77))
    engine = Engine([tmp_path / "models"], "cpu", "off", wishes=EIGHT)
    model = engine._models["file.safetensors"]
    opened, folder = engine._loader.get(model).pipe, engine._loader.get(engine._models["m"]).pipe
    assert 0 < model.matrices["unet"] == in_eight_bits(opened.unet) and "unet" in quantizable(model)
    # The same numbers, whichever way they came there.
    assert all(torch.equal(one.qdata, two.qdata) for one, two in zip(*(small(pipe.unet) for pipe in (opened, folder)), strict=True))


def small(part: torch.nn.Module) -> list[Any]:
    return [weight for weight in part.parameters() if is_small(weight)]


FLUX = Model(
    name="m", path=Path("m"), title="m", family="FLUX.1", defaults=Defaults(width=1024, height=1024),
    parameters={"transformer": 11_900_000_000, "text_encoder": 123_000_000, "text_encoder_2": 4_760_000_000, "vae": 84_000_000},
    matrices={"transformer": 11_800_000_000, "text_encoder": 85_000_000, "text_encoder_2": 4_600_000_000, "vae": 1_000_000},
)  # fmt: skip
"""FLUX.1's own numbers."""


def test_what_it_needs_and_costs_is_said_in_numbers() -> None:
    assert quantizable(FLUX) == ("transformer", "text_encoder_2")
    assert stored(FLUX, "transformer", torch.bfloat16, quantized=True) == 12_000_000_000
    assert stored(FLUX, "text_encoder", torch.bfloat16, quantized=True) == 246_000_000
    cuda = torch.device("cuda")
    found = placement.decide(FLUX, cuda, 24 * 10**9, 64 * 10**9, EIGHT)
    assert found.quantized == quantizable(FLUX) and not found.streamed
    assert found.why == (
        "bfloat16, as is usual for models of its size: it needs about 22.4 GB, and 24.0 GB were free. The matrices of its denoiser and "
        f"text encoder are kept in 8 bits, as it was asked for, without which it would need about 42.1 GB. {COST}"
    )
    # On this card it is the layers that would have been fetched one by one.
    assert placement.decide(FLUX, cuda, 24 * 10**9, 64 * 10**9, Wishes()).streamed


def test_a_denoiser_in_a_file_of_its_own_is_opened_in_8_bits_too(tmp_path: Path, everything_is_large: None) -> None:
    whole = diffusers.DiffusionPipeline.from_pretrained(write_family(tmp_path / "m", "FLUX.1"), local_files_only=True)
    write_denoiser(tmp_path / "file.safetensors", whole.transformer)
    engine = Engine([tmp_path], "cpu", "off", wishes=EIGHT)
    model = engine._models["file.safetensors"]
    file, folder = (engine._loader.get(engine._models[name]).pipe.transformer for name in (model.name, "m"))
    assert model.lender == "m" and quantizable(model) == ("transformer", "text_encoder", "text_encoder_2")
    assert all(torch.equal(one.qdata, two.qdata) for one, two in zip(small(file), small(folder), strict=True)) and small(file)


def test_what_is_small_is_left_as_it_is_and_says_so() -> None:
    one = FLUX.model_copy(update={"parameters": {"unet": 30_000_000, "vae": 1_000_000}, "matrices": {"unet": 20_000_000}})
    found = placement.decide(one, CPU, 8 * 10**9, 8 * 10**9, EIGHT)
    assert not found.quantized and found.why.endswith("no part is so large that much would be saved.")


def test_where_it_alone_would_help_the_refusal_says_so() -> None:
    with pytest.raises(ModelError, match=r"start the studio with --quantize int8, with which it fits, or choose a smaller model"):
        placement.decide(FLUX, CPU, 40 * 10**9, 40 * 10**9, Wishes())
    with pytest.raises(ModelError, match=r"51\.0 GB of memory, and 8\.0 GB are free\. Close other programs, or choose a smaller"):
        placement.decide(FLUX, CPU, 8 * 10**9, 8 * 10**9, Wishes())


def test_without_its_library_it_is_refused_before_anything_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "find_spec", lambda name: None)
    quantized.check(Wishes())
    with pytest.raises(InvalidRequest, match=r"needs torchao, which is not installed: pip install 'stepwise-webui\[quantize\]'"):
        settings_of(quantize="int8")


def test_nothing_is_asked_of_the_library_where_nobody_asks_for_it() -> None:
    """Its import costs half a second."""
    code = "import sys; from webui.cli.options import settings_of; settings_of(quantize='int8'); print([*filter(BAD, sys.modules)])"
    code = code.replace("BAD", "lambda name: name.split('.')[0] in ('torch', 'torchao')")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
