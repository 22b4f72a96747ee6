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

from tests.denoisers import original, write_all, write_denoiser
from tests.engine.conftest import events_of
from tests.engine.test_families import asked, plain, spied
from tests.families import FLUX, PIPES, open_plainly, write_family
from tests.single import write_configs
from tests.tiny import tokenizer as tiny_tokenizer
from webui.engine import denoiser as single_denoiser
from webui.engine.catalogue import Model, find
from webui.engine.engine import Engine
from webui.engine.families import FAMILIES
from webui.engine.renames import RENAMES, renamed
from webui.engine.shelf import Shelf, scan
from webui.engine.sources import SOURCES
from webui.engine.tokens import TokenCounter
from webui.engine.walk import weights_of
from webui.errors import ModelError
from webui.events import Rendered, Step

DENOISERS = [name for name, family in FAMILIES.items() if family.denoiser]


@pytest.fixture(scope="module", params=DENOISERS)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def home(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole folder; `alone`, a file with its denoiser; `models`, the file and the folder without the denoiser."""
    home = tmp_path_factory.mktemp("lent")
    whole = write_family(home / "whole", family)
    shutil.copytree(whole, home / "models" / "folder")
    (home / "models" / "folder" / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    (home / "alone").mkdir()
    # klein and klein base are told by their names alone; AuraFlow's makers have a prefix of their own.
    name = f"{'base' if 'base' in family else 'file'}.safetensors"
    prefix = "model." if family == "AuraFlow" else "model.diffusion_model."
    write_denoiser(home / "alone" / name, open_plainly(whole).transformer, prefix=prefix)
    shutil.copy(home / "alone" / name, home / "models" / name)
    return home


def file_in(folder: Path) -> Model:
    """The model in the file there."""
    return next(model for name, model in scan([folder]).items() if name.endswith(".safetensors"))


def test_alone_it_says_what_it_needs(home: Path, family: str) -> None:
    found = file_in(home / "alone")
    assert found.family == family and not found.usable and found.fetch
    assert found.fetch in found.reason and "licence" in found.reason and " GB" in found.reason


def test_with_a_folder_of_its_family_it_equals_plain_diffusers(home: Path, family: str) -> None:
    model = file_in(home / "models")
    assert model.usable and model.family == family and model.lender == "folder", model.reason
    engine = Engine([home / "models"], "cpu", "fast")
    request = asked(model)
    decoded: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        spied(patch, engine._loader.get(model).pipe.vae, "decode", lambda _, out: decoded.append(out[0]))
        (log,) = events_of(engine, request)
    expected = plain(home / "whole", model, request)
    assert (decoded[-1].reshape(3, request.height, request.width) - expected).abs().max() <= 1e-4
    assert [event.i for event in log if isinstance(event, Step) and event.preview] == [1, 2, 3, 4]
    assert isinstance(log[-1], Rendered) and log[-1].how == {"dtype": "float32", "lender": "folder"}
    # A prompt has as many tokens as with the folder, whose tokenizers it reads with.
    counted, other = (TokenCounter().count(each, "a red boat") for each in (model, scan([home])["whole"]))
    assert counted == other


@pytest.mark.parametrize("kind", RENAMES)
def test_what_we_rename_is_what_diffusers_renames_at_the_published_size(kind: str) -> None:
    """Number by number; only the columns are few, which no converter looks at."""
    layers = {"num_layers": 2} | ({"num_single_layers": 2} if "Lumina" not in kind else {})
    with torch.device("meta"):
        made = getattr(diffusers, kind)(**layers)
    narrow = {name: torch.randn(len(value), *(2,) * (value.ndim - 1)) for name, value in original(made).items()}
    ours = renamed(narrow, RENAMES[kind], made.config)
    converters: Any = SINGLE_FILE_LOADABLE_CLASSES
    theirs = converters[kind]["checkpoint_mapping_fn"](dict(narrow), config=made.config)
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
    write_denoiser(tmp_path / "a.safetensors", flux(), extra)
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


def drawn(models: Path, folder: Path, model: Model) -> tuple[Tensor, Tensor]:
    """What the engine decodes for a request, and what plain diffusers does with a folder."""
    engine, request = Engine([models], "cpu", "fast"), asked(model)
    decoded: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        spied(patch, engine._loader.get(model).pipe.vae, "decode", lambda _, out: decoded.append(out[0]))
        events_of(engine, request)
    expected = plain(folder, model, request)
    return decoded[-1].reshape(expected.shape), expected


@pytest.mark.parametrize(
    ("family", "without"), [("Stable Diffusion 3", ()), ("FLUX.1", ()), ("FLUX.1", ("vae",)), ("FLUX.1 schnell", ("text_encoder_2",))]
)
def test_what_a_file_holds_beside_its_denoiser_comes_from_it(tmp_path: Path, family: str, without: tuple[str, ...]) -> None:
    """The folder that lends has other weights in every part: only what the file lacks may come from there."""
    pipe = open_plainly(write_family(tmp_path / "whole", family, wide=True))
    other = open_plainly(write_family(tmp_path / "models" / "folder", family, wide=True, seed=1))
    if family == "Stable Diffusion 3":
        torch.nn.init.eye_(pipe.text_encoder.text_projection.weight)  # which such files do not have, and need not
    for part in without:
        setattr(pipe, part, getattr(other, part))
    pipe.save_pretrained(tmp_path / "mixed")
    write_all(tmp_path / "models" / "file.safetensors", pipe, *without)
    model = scan([tmp_path / "models"])["file.safetensors"]
    assert model.usable and model.lender == "folder" and not set(without) & set(model.holds)
    ours, theirs = drawn(tmp_path / "models", tmp_path / "mixed", model)
    assert (ours - theirs).abs().max() <= 1e-4


def test_stable_diffusion_3_with_its_clips_needs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = open_plainly(write_family(tmp_path / "whole", "Stable Diffusion 3", wide=True))
    torch.nn.init.eye_(pipe.text_encoder.text_projection.weight)
    kind: Any = diffusers.StableDiffusion3Pipeline
    pipe = kind(**{**pipe.components, "text_encoder_3": None, "tokenizer_3": None})
    pipe.save_pretrained(tmp_path / "mixed")
    shutil.copytree(tmp_path / "mixed", tmp_path / "folders" / "folder")
    ours, theirs = drawn(tmp_path / "folders", tmp_path / "mixed", scan([tmp_path / "folders"])["folder"])
    assert (ours - theirs).abs().max() <= 1e-4, "a folder without T5"
    (tmp_path / "models").mkdir()
    write_all(tmp_path / "models" / "file.safetensors", pipe)
    model = scan([tmp_path / "models"])["file.safetensors"]
    assert model.usable and not model.lender and "without T5" in model.summary and model.fetch
    # Configurations and a tokenizer of the tiny model's size, in the place of ours; its denoiser is measured all the same.
    write_configs(tmp_path / "sd3", pipe)
    heads = {"attention_head_dim": 8, "sample_size": 8}
    usual = single_denoiser.config_of
    monkeypatch.setattr(single_denoiser, "DATA", tmp_path)
    monkeypatch.setattr(single_denoiser, "tokenizer", lambda second: tiny_tokenizer(77))
    monkeypatch.setattr(single_denoiser, "config_of", lambda family, kind, shapes, config: usual(family, kind, shapes, heads))
    ours, theirs = drawn(tmp_path / "models", tmp_path / "mixed", model)
    assert (ours - theirs).abs().max() <= 1e-4


def test_stable_diffusion_3_5_is_measured_too(tmp_path: Path) -> None:
    """Its norms, and the second attention of its first layers."""
    pipe = open_plainly(write_family(tmp_path / "whole", "Stable Diffusion 3"))
    config = {**pipe.transformer.config, "qk_norm": "rms_norm", "dual_attention_layers": [0, 1], "num_layers": 3, "pos_embed_max_size": 24}
    pipe.transformer = diffusers.SD3Transformer2DModel.from_config(config)
    pipe.save_pretrained(tmp_path / "mixed")
    write_family(tmp_path / "models" / "folder", "Stable Diffusion 3")
    write_denoiser(tmp_path / "models" / "file.safetensors", pipe.transformer)
    ours, theirs = drawn(tmp_path / "models", tmp_path / "mixed", scan([tmp_path / "models"])["file.safetensors"])
    assert (ours - theirs).abs().max() <= 1e-4


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 0), (1, 1), (2, 0, 5), (1 << 40, 0)])
def test_the_right_names_with_wrong_shapes_are_a_sentence(tmp_path: Path, shape: tuple[int, ...]) -> None:
    for number, family in enumerate(DENOISERS):
        kind = FAMILIES[family].denoiser
        assert kind is not None
        keys = (*kind.keys, *filter(None, kind.channels), f"double_blocks.{'9' * 5000}.img_mod.lin.weight")
        save_file({key: torch.zeros(shape) for key in keys}, tmp_path / f"{number} base.safetensors")
    folder_of(tmp_path, "FLUX.1")
    engine = Engine([tmp_path], "cpu")
    for name, found in scan([tmp_path]).items():
        assert found.usable or found.reason.endswith("."), name
        if found.usable and found.holds:
            with pytest.raises(ModelError, match="cannot be loaded"):
                engine._loader.get(found)


def test_where_a_folder_lies_is_told_to_nobody(tmp_path: Path) -> None:
    write_denoiser(tmp_path / "a.safetensors", flux())
    folder_of(tmp_path, "FLUX.1")
    found = scan([tmp_path])["a.safetensors"]
    assert found.around == tmp_path / "folder" and "around" not in found.model_dump()
