"""A folder is judged before diffusers or transformers see it: code, escapes and holes are refused by name."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.tiny import write_pipeline
from webui.engine.families import PIPELINES
from webui.engine.safety import ALLOWED, JSON_LIMIT, inspect
from webui.errors import ModelError

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("whole") / "whole")


def edit(name: str, **changes: Any) -> Callable[[Path], object]:
    """Change keys of a JSON file."""

    def change(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def sharded(places: Any) -> Callable[[Path], object]:
    """Replace the U-Net's weights by an index of shards."""

    def change(folder: Path) -> None:
        (folder / "unet" / WEIGHTS).unlink()
        (folder / "unet" / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": places}))

    return change


def replaced(name: str, how: Callable[[Path], object]) -> Callable[[Path], object]:
    """Put something else in a file's place."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        how(folder / name)

    return change


def whole_numbers(folder: Path) -> None:
    file = folder / "unet" / WEIGHTS
    save_file({name: torch.zeros(value.shape, dtype=torch.int8) for name, value in load_file(file).items()}, file)


EVIL: dict[str, tuple[Callable[[Path], object], str]] = {
    "code beside the index": (lambda folder: (folder / "evil.py").write_text(""), r"code of its own \('evil.py'\)"),
    "code beside a part": (lambda folder: (folder / "unet" / "evil.py").write_text(""), r"code of its own \('evil.py'\)"),
    "compiled code": (lambda folder: (folder / "vae" / "evil.so").write_bytes(b""), "code of its own"),
    "a list of classes": (edit("model_index.json", _class_name=["evil", "Evil"]), "_class_name is a list"),
    "a list of classes in a part": (edit("unet/config.json", _class_name=["evil", "Evil"]), "_class_name is a list"),
    "another class": (edit("model_index.json", _class_name="os"), "'os', which is no text-to-image pipeline"),
    "no class": (edit("model_index.json", _class_name=""), "no text-to-image pipeline"),
    "a part of another library": (edit("model_index.json", unet=["os", "system"]), "'unet' asks for"),
    "a part of another class": (edit("model_index.json", unet=["diffusers", "DiffusionPipeline"]), "'unet' asks for"),
    "a part that chooses its class": (edit("model_index.json", text_encoder=["transformers", "AutoModel"]), "'text_encoder' asks for"),
    "a class in place of a library": (edit("model_index.json", unet=[["diffusers"], "UNet2DConditionModel"]), "'unet' asks for"),
    "a part of three": (edit("model_index.json", unet=["diffusers", "UNet2DConditionModel", "x"]), "'unet' asks for"),
    "a part that is no name": (edit("model_index.json", **{"../x": ["diffusers", "UNet2DConditionModel"]}), "no name of a folder"),
    "auto_map": (edit("text_encoder/config.json", auto_map={"AutoModel": "evil.Evil"}), r"code of its own to be run \(auto_map\)"),
    "auto_map, nested": (edit("text_encoder/config.json", text_config=[{"a": {"auto_map": {}}}]), "auto_map"),
    "auto_map of a tokenizer": (edit("tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]}), "auto_map"),
    "attention": (edit("text_encoder/config.json", _attn_implementation_internal="evil/repo"), "_attn_implementation_internal"),
    "trust": (edit("text_encoder/config.json", trust_remote_code=True), "trust_remote_code"),
    "custom pipeline": (edit("model_index.json", custom_pipeline="evil"), "custom_pipeline"),
    "huge JSON": (lambda folder: (folder / "unet" / "config.json").write_bytes(b" " * (JSON_LIMIT + 1)), "too large"),
    "deep JSON": (lambda folder: (folder / "unet" / "config.json").write_bytes(b"[" * 100_000), "not JSON"),
    "deep JSON that ends": (lambda folder: (folder / "model_index.json").write_bytes(b'{"a":' * 900 + b"1" + b"}" * 900), "no text|JSON"),
    "JSON cut off": (lambda folder: (folder / "unet" / "config.json").write_text("{"), "config.json is damaged"),
    "no index": (lambda folder: (folder / "model_index.json").unlink(), "model_index.json is missing"),
    "no unet": (lambda folder: shutil.rmtree(folder / "unet"), "folder unet is missing"),
    "no weights": (lambda folder: (folder / "unet" / WEIGHTS).unlink(), "weights in unet are missing"),
    "a pickle for weights": (
        lambda folder: (folder / "unet" / WEIGHTS).rename(folder / "unet" / "diffusion_pytorch_model.bin"), "bin' in unet is a pickle",
    ),
    "weights cut off": (
        lambda folder: (folder / "vae" / WEIGHTS).write_bytes((folder / "vae" / WEIGHTS).read_bytes()[:-100]), "incomplete",
    ),
    "weights are a pointer": (lambda folder: (folder / "unet" / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1"), "LFS"),
    "whole numbers": (whole_numbers, "weights in unet are of a type"),
    "a shard that escapes": (sharded({"a": "../../x.safetensors"}), "no file in its folder"),
    "a shard that escapes otherwise": (sharded({"a": "..\\x.safetensors"}), "no file in its folder"),
    "an absent shard": (sharded({"a": "1.safetensors", "b": "2.safetensors"}), "2 of the 2 files .* such as '1.safetensors'"),
    "a shard of no name": (sharded({"a": 5}), "no file in its folder"),
    "no shards": (sharded([]), "no file in its folder"),
    "a pipe for a configuration": (replaced("unet/config.json", os.mkfifo), "config.json is a pipe"),
    "a pipe for a tokenizer": (replaced("tokenizer/tokenizer.json", os.mkfifo), "tokenizer.json is a pipe"),
    "a device for weights": (replaced(f"unet/{WEIGHTS}", lambda file: file.symlink_to("/dev/zero")), "is a device"),
}  # fmt: skip


@pytest.mark.parametrize("kind", EVIL)
def test_what_must_not_be_opened_is_refused_by_name_at_once(whole: Path, tmp_path: Path, kind: str) -> None:
    change, words = EVIL[kind]
    folder = Path(shutil.copytree(whole, tmp_path / "evil"))
    change(folder)
    began = time.monotonic()
    with pytest.raises(ModelError, match=words) as refused:
        inspect(folder, PIPELINES)
    assert time.monotonic() - began < 1
    assert refused.value.message.endswith(".") and str(tmp_path) not in refused.value.message


def test_a_whole_folder_is_described(whole: Path) -> None:
    found = inspect(whole, PIPELINES)
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(whole, safety_checker=None)
    expected = {part: sum(p.numel() for p in getattr(pipe, part).parameters()) for part in ("unet", "vae", "text_encoder")}
    assert found.pipeline == "StableDiffusionPipeline" and found.variant is None
    assert found.parameters == expected
    assert found.bytes == sum(file.stat().st_size for file in whole.rglob("*.safetensors"))
    assert found.configs["unet"]["cross_attention_dim"] == 16 and found.configs["scheduler"]["prediction_type"] == "v_prediction"


def test_a_link_that_its_owner_made_is_followed(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "linked"))
    weights = folder / "unet" / WEIGHTS
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    assert inspect(folder, PIPELINES) == inspect(whole, PIPELINES)


def test_code_deeper_in_the_folder_is_none_that_is_imported(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "m"))
    (folder / "recipe").mkdir()
    (folder / "recipe" / "train.py").write_text("")
    assert inspect(folder, PIPELINES).pipeline == "StableDiffusionPipeline"


@pytest.mark.parametrize("library", ["diffusers", "transformers", "kolors"])
def test_what_is_allowed_exists(library: str) -> None:
    module = {"diffusers": diffusers, "transformers": transformers, "kolors": diffusers.pipelines.kolors}[library]
    old = {"CLIPFeatureExtractor", "CLIPImageProcessorPil", "TokenizersBackend"}
    assert not [name for name in ALLOWED[library] - old if not hasattr(module, name)]
