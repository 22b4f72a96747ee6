"""Files that hold a denoiser alone: recognised, completed from a folder of the family, the same pictures as plain diffusers makes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from safetensors.torch import save_file
from torch import Tensor

from tests.denoisers import original, write_denoiser
from tests.engine.conftest import events_of
from tests.engine.test_families import asked, plain, spied
from tests.families import FLUX, PIPES, open_plainly, write_family
from webui.engine.catalogue import Model, find
from webui.engine.engine import Engine
from webui.engine.families import FAMILIES
from webui.engine.renames import RENAMES, renamed
from webui.engine.shelf import Shelf, scan
from webui.engine.sources import SOURCES
from webui.engine.walk import weights_of
from webui.errors import ModelError
from webui.events import Step

DENOISERS = [name for name, family in FAMILIES.items() if family.denoiser]


@pytest.fixture(scope="module", params=DENOISERS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def models(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the denoiser of one folder; a second folder with another denoiser; beside them, where nothing looks, the first one."""
    home = tmp_path_factory.mktemp("lent")
    whole = write_family(home / "whole", family)
    (home / "models").mkdir()
    # klein and klein base are told by their names alone.
    write_denoiser(
        home / "models" / f"{'base' if 'base' in family else 'file'}.safetensors",
        open_plainly(whole).transformer,
        prefix="model.diffusion_model.",
    )
    return home


@pytest.fixture(scope="module")
def lender(models: Path) -> Path:
    """The folder that lends, which has another denoiser."""
    shutil.copytree(models / "whole", models / "models" / "folder")
    for file in (models / "models" / "folder" / "transformer").glob("*.safetensors"):
        file.unlink()
    return models / "models" / "folder"


def one(models: Path) -> Model:
    """The file."""
    return next(model for name, model in scan([models / "models"]).items() if name.endswith(".safetensors"))


def test_alone_it_says_what_it_needs(models: Path, family: str) -> None:
    found = one(models)
    assert found.family == family and not found.usable and found.fetch
    assert found.fetch in found.reason and "licence" in found.reason and " GB" in found.reason


def test_with_a_folder_of_its_family_it_equals_plain_diffusers(models: Path, lender: Path, family: str) -> None:
    model = one(models)
    assert model.usable and model.family == family and model.lender == "folder", model.reason
    engine = Engine([models / "models"], "cpu", "fast")
    request = asked(model)
    decoded: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        spied(patch, engine._loader.get(model).pipe.vae, "decode", lambda _, out: decoded.append(out[0]))
        (log,) = events_of(engine, request)
    expected = plain(models / "whole", model, request)
    assert (decoded[0].reshape(3, request.height, request.width) - expected).abs().max() <= 1e-4
    assert [event.i for event in log if isinstance(event, Step) and event.preview] == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", RENAMES)
def test_what_we_rename_is_what_diffusers_renames_at_the_published_size(kind: str) -> None:
    """Number by number; only the columns are few, which no converter looks at."""
    layers = {"num_layers": 2} | ({"num_single_layers": 2} if "Lumina" not in kind else {})
    with torch.device("meta"):
        made = getattr(diffusers, kind)(**layers)
    narrow = {name: torch.randn(len(value), *(2,) * (value.ndim - 1)) for name, value in original(made).items()}
    ours = renamed(narrow, RENAMES[kind], made.config)
    theirs = SINGLE_FILE_LOADABLE_CLASSES[kind]["checkpoint_mapping_fn"](dict(narrow), config=made.config)
    assert set(ours) == set(theirs) == set(made.state_dict())
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def flux(**changes: Any) -> Any:
    """A small transformer of FLUX.1 dev."""
    return diffusers.FluxTransformer2DModel(**{**FLUX, "guidance_embeds": True, "pooled_projection_dim": 16, **changes})


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"double_blocks.0.img_attn.qkv.scale_weight": torch.ones(1)}, "It is FLUX.1, but its weights are fp8 with scales beside them."),
        ({"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}, "It is FLUX.1, but its weights are fp8 with scales beside them."),
        ({"double_blocks.0.img_mlp.0.weight.absmax": torch.ones(3)}, "It is FLUX.1, but its weights are in few bits, as bitsandbytes"),
        ({"single_blocks.0.linear2.qweight": torch.ones(3, dtype=torch.int32)}, "It is FLUX.1, but its weights are packed in few bits"),
        ({"double_blocks.0.img_mlp.0.weight": torch.ones(3, 3, dtype=torch.int8)}, "It is FLUX.1, but its weights are of a type that this"),
        ({"img_in.weight": torch.ones(16, 384)}, "It is FLUX.1 for inpainting or editing"),
    ],
)
def test_weights_that_cannot_be_computed_with_are_said_to_be_so(tmp_path: Path, extra: dict[str, Tensor], words: str) -> None:
    write_denoiser(tmp_path / "a.safetensors", flux(), **extra)
    found = scan([tmp_path])["a.safetensors"]
    assert not found.usable and found.reason.startswith(words) and found.reason.endswith(".") and not found.fetch


def test_a_file_that_is_cut_off_a_lora_a_vae_and_a_text_encoder_are_called_what_they_are(tmp_path: Path) -> None:
    pipe = PIPES["FLUX.1"]()
    write_denoiser(tmp_path / "cut.safetensors", pipe.transformer)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-100])
    save_file({"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": torch.zeros(4, 16)}, tmp_path / "lora.safetensors")
    save_file(pipe.vae.state_dict(), tmp_path / "vae.safetensors")
    save_file({"encoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(4, 4)}, tmp_path / "t5.safetensors")
    found = scan([tmp_path])
    assert "incomplete" in found["cut.safetensors"].reason or "still being copied" in found["cut.safetensors"].reason
    assert (found["lora.safetensors"].kind, found["vae.safetensors"].kind) == ("lora", "vae")
    assert found["t5.safetensors"].reason == "It is a text encoder, which is a part of a model."


def folder_of(home: Path, family: str, name: str = "folder") -> Path:
    """A folder that lends."""
    return write_family(home / name, family)


def test_weights_of_one_byte_are_read_as_they_are(tmp_path: Path) -> None:
    folder_of(tmp_path, "FLUX.1")
    denoiser = flux()
    write_denoiser(tmp_path / "a.safetensors", denoiser, dtype=torch.float8_e4m3fn)
    opened = Engine([tmp_path], "cpu")._loader.get(scan([tmp_path])["a.safetensors"]).pipe.transformer
    assert all(
        torch.equal(value, denoiser.state_dict()[name].to(torch.float8_e4m3fn).float()) for name, value in opened.state_dict().items()
    )


def test_a_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path, "FLUX.1")
    tensors = original(flux())
    for lost, said in (("double_blocks.0.img_mlp.0.bias", "ff.net.0.proj.bias"), ("final_layer.linear.bias", "proj_out.bias")):
        save_file({name: value.clone() for name, value in tensors.items() if name != lost}, tmp_path / "a.safetensors")
        with pytest.raises(ModelError, match=said):
            Engine([tmp_path], "cpu")._loader.get(scan([tmp_path])["a.safetensors"])


def test_of_several_folders_that_of_its_family_and_size_lends(tmp_path: Path) -> None:
    write_denoiser(tmp_path / "a.safetensors", flux())
    assert scan([tmp_path])["a.safetensors"].lender == ""
    folder_of(tmp_path, "Chroma", "b chroma")
    assert scan([tmp_path])["a.safetensors"].lender == "", "that is none"
    folder_of(tmp_path, "FLUX.1 schnell", "c schnell")
    found = scan([tmp_path])["a.safetensors"]
    assert found.lender == "c schnell" and found.usable, "better than none"
    schedule = Engine([tmp_path], "cpu")._loader.get(found).pipe.scheduler.config
    assert schedule.use_dynamic_shifting and schedule.shift == 3.0, "the file's own"
    folder_of(tmp_path, "FLUX.1", "z dev")
    assert scan([tmp_path])["a.safetensors"].lender == "z dev"
    config = tmp_path / "z dev" / "transformer" / "config.json"
    config.write_text(config.read_text().replace('"joint_attention_dim": 16', '"joint_attention_dim": 32'))
    assert scan([tmp_path])["a.safetensors"].lender == "c schnell", "the other reads other text"


def test_a_folder_that_lends_is_judged_again_when_it_is_opened_and_the_model_loaded_anew_when_it_has_changed(tmp_path: Path) -> None:
    write_denoiser(tmp_path / "a.safetensors", flux())
    folder = folder_of(tmp_path, "FLUX.1")
    engine = Engine([tmp_path], "cpu")
    shelf = Shelf([tmp_path])
    first = shelf["a.safetensors"]
    engine._loader.get(first)
    (folder / "vae" / "code.py").write_text("")
    with pytest.raises(ModelError, match="code of its own"):
        Engine([tmp_path], "cpu")._loader.get(first)
    shelf.walk()
    assert not shelf["a.safetensors"].usable
    (folder / "vae" / "code.py").unlink()
    shutil.rmtree(folder)
    folder_of(tmp_path, "FLUX.1")
    shelf.walk()
    second = shelf["a.safetensors"]
    assert second.usable and weights_of(second.stamp) != weights_of(first.stamp)


def test_a_folder_without_a_denoiser_lends_and_is_no_model_itself(tmp_path: Path) -> None:
    write_denoiser(tmp_path / "a.safetensors", flux())
    folder = folder_of(tmp_path, "FLUX.1")
    for part in ("weights", "all"):
        if part == "weights":
            (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
        else:
            shutil.rmtree(folder / "transformer")
        found = scan([tmp_path])
        assert found["a.safetensors"].usable and found["folder"].kind == "parts" and not found["folder"].usable
        assert found["folder"].reason == "It is what files with a denoiser of FLUX.1 need beside them, and has no denoiser itself."
        with pytest.raises(ModelError, match="need beside them"):
            find(found, "folder")


def test_each_family_that_is_opened_so_can_be_fetched() -> None:
    assert set(SOURCES) == set(DENOISERS)
    assert {kin for family in FAMILIES.values() for kin in family.kin} <= set(DENOISERS)
