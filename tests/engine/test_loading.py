"""Opening a model's folder: what is wrong with it is a sentence, and no code in it is ever run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import write_pipeline
from webui.engine import loading
from webui.engine.catalogue import find
from webui.engine.loading import Busy, Loaded, Loader
from webui.engine.shelf import scan
from webui.errors import ModelError


def load(folder: Path) -> Loaded:
    """The model in the folder, by a loader of its own."""
    return Loader(torch.device("cpu")).get(find(scan([folder.parent]), folder.name))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def index(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "model_index.json", **changes)


BROKEN: dict[str, Callable[[Path], object]] = {
    "no unet folder": lambda folder: shutil.rmtree(folder / "unet"),
    "no unet named": index(unet=[None, None]),
    "no text encoder named": index(text_encoder=[None, None]),
    "not a component": index(unet=["os", "system"]),
    "config cut off": lambda folder: (folder / "unet" / "config.json").write_text("{"),
    "tokenizer cut off": lambda folder: (folder / "tokenizer" / "tokenizer.json").write_text("{"),
    "weights empty": lambda folder: (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b""),
    "weights of another shape": lambda folder: edit(folder / "unet" / "config.json", block_out_channels=[16, 64]),
    "weights as a pickle": lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(
        folder / "unet" / "diffusion_pytorch_model.bin"
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("whole") / "whole")


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_a_sentence_that_names_the_model(whole: Path, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "broken"))
    damage(folder)
    with pytest.raises(ModelError, match="The model broken cannot be loaded: ") as refused:
        load(folder)
    assert refused.value.field == "model" and len(refused.value.message) < 400


def test_a_folder_is_judged_again_where_it_is_opened(whole: Path, tmp_path: Path) -> None:
    """Between the list and the load, it may have become another."""
    folder = Path(shutil.copytree(whole, tmp_path / "evil"))
    listed = scan([tmp_path])["evil"]
    assert listed.usable
    trace = tmp_path / "ran"
    index(unet=["evil", "Evil"])(folder)
    for code in (folder / "evil.py", folder / "unet" / "evil.py"):
        code.write_text(f"open({str(trace)!r}, 'w').close()\nclass Evil:\n    pass\n")
    with pytest.raises(ModelError, match="code of its own"):
        Loader(torch.device("cpu")).get(listed)
    assert not trace.exists()


def test_weights_of_the_fp16_variant_are_taken_where_there_are_no_others(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "half"))
    for file in folder.rglob("*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    assert load(folder).pipe.unet.dtype == torch.float32


@pytest.mark.parametrize("window", [16, 77])
def test_the_tokenizer_is_told_the_encoders_window(tmp_path: Path, window: int) -> None:
    folder = write_pipeline(tmp_path / "m", window=window)
    edit(folder / "tokenizer" / "tokenizer_config.json", model_max_length=10**30)
    loaded = load(folder)
    assert loaded.pipe.tokenizer.model_max_length == window
    with torch.no_grad():
        assert loaded.prompts()("a" * (window - 1), "")["prompt_embeds"].shape[1] == 2 * window


def test_everything_is_float32_and_no_checker_is_asked_for(whole: Path) -> None:
    pipe = load(whole).pipe
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.float32}
    assert pipe.safety_checker is None


def test_the_models_used_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "KEPT", 2)
    for seed in range(3):
        write_pipeline(tmp_path / str(seed), seed=seed)
    models, loader = scan([tmp_path]), Loader(torch.device("cpu"))
    first = loader.get(models["0"])
    loader.get(models["1"])
    assert loader.get(models["0"]) is first
    loader.get(models["2"])
    assert "0" in loader and "1" not in loader and "2" in loader


def test_a_model_that_is_written_anew_is_loaded_anew_when_nobody_uses_it(tmp_path: Path) -> None:
    folder, loader = write_pipeline(tmp_path / "m", seed=1), Loader(torch.device("cpu"))
    first = scan([tmp_path])["m"]
    before = loader.get(first)
    shutil.rmtree(folder)
    write_pipeline(folder, seed=2)
    second = scan([tmp_path])["m"]
    with loader.using(first), pytest.raises(Busy):
        loader.get(second)
    after = loader.get(second)
    assert not torch.equal(before.pipe.unet.conv_in.weight, after.pipe.unet.conv_in.weight)
    assert loader.get(second) is after
