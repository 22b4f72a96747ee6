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
from webui.engine.catalogue import scan
from webui.engine.loading import KEPT, Loaded, Loader
from webui.errors import ModelError


def load(folder: Path) -> Loaded:
    """The model in the folder, by a loader of its own."""
    return Loader(torch.device("cpu")).get(scan([folder.parent])[folder.name])


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


@pytest.mark.parametrize("place", ["unet/evil.py", "evil.py"])
def test_code_in_a_model_is_never_run(whole: Path, tmp_path: Path, place: str) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "evil"))
    trace = tmp_path / "ran"
    index(unet=["evil", "Evil"])(folder)
    edit(folder / "text_encoder" / "config.json", auto_map={"AutoModel": "evil.Evil"})
    for code in (folder / place, folder / "text_encoder" / "evil.py"):
        code.write_text(f"open({str(trace)!r}, 'w').close()\nclass Evil:\n    pass\n")
    with pytest.raises(ModelError):
        load(folder)
    assert not trace.exists()


@pytest.mark.parametrize("window", [16, 77])
def test_the_tokenizer_is_told_the_encoders_window(tmp_path: Path, window: int) -> None:
    folder = write_pipeline(tmp_path / "m", window=window)
    edit(folder / "tokenizer" / "tokenizer_config.json", model_max_length=10**30)
    loaded = load(folder)
    assert loaded.pipe.tokenizer.model_max_length == window
    with torch.no_grad():
        assert loaded.conditioner("a" * (window - 1), "")[0].shape[1] == 2 * window


def test_everything_is_float32_and_no_checker_is_asked_for(whole: Path) -> None:
    pipe = load(whole).pipe
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.float32}
    assert pipe.safety_checker is None


def test_the_models_used_last_are_kept(tmp_path: Path) -> None:
    for seed in range(KEPT + 1):
        write_pipeline(tmp_path / str(seed), seed=seed)
    models, loader = scan([tmp_path]), Loader(torch.device("cpu"))
    first = loader.get(models["0"])
    loader.get(models["1"])
    assert loader.get(models["0"]) is first
    loader.get(models["2"])
    assert "0" in loader and "1" not in loader and "2" in loader
