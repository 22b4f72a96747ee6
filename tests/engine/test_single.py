"""Checkpoints in a single file: recognised by names and shapes, opened without the network, the same pictures as their folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.engine.conftest import pixels
from tests.families import WIDE, write_family
from tests.single import renamed, write_checkpoint, write_configs
from tests.tiny import tokenizer as tiny_tokenizer
from webui.engine import clip, files, single
from webui.engine.engine import Engine
from webui.engine.families import FAMILIES, LAST
from webui.engine.shelf import scan
from webui.engine.tokens import TokenCounter
from webui.events import Event, Step
from webui.request import Request

SINGLE = [name for name, family in FAMILIES.items() if family.file]


def pipe_of(folder: Path) -> Any:
    return diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)


@pytest.fixture(scope="module", params=SINGLE)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def models(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny model twice: as a folder and as a file."""
    home = tmp_path_factory.mktemp("models")
    write_checkpoint(home / "file.safetensors", pipe_of(write_family(home / "folder", family, wide=True)))
    return home


def test_our_configurations_are_enough_to_open_what_people_have(family: str) -> None:
    """At true size, without the numbers: the converter of diffusers reads the files as they are, and fills in no defaults."""
    file = FAMILIES[family].file
    assert file is not None
    configs = {part: json.loads((files.DATA / file.folder / part / "config.json").read_text()) for part in ("unet", "vae")}
    with torch.device("meta"):
        unet: Any = diffusers.UNet2DConditionModel.from_config(configs["unet"])
        vae: Any = diffusers.AutoencoderKL.from_config(configs["vae"])
    checkpoint = renamed(unet, vae)
    for part, made in (
        (unet, convert_ldm_unet_checkpoint(dict(checkpoint), configs["unet"])),
        (vae, convert_ldm_vae_checkpoint(dict(checkpoint), configs["vae"])),
    ):
        assert {key: value.shape for key, value in made.items()} == {key: value.shape for key, value in part.state_dict().items()}


@pytest.fixture
def tiny(models: Path, family: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Configurations and a tokenizer of the tiny model's size, in the place of ours."""
    file = FAMILIES[family].file
    assert file is not None
    write_configs(tmp_path / file.folder, pipe_of(models / "folder"))
    monkeypatch.setattr(single, "DATA", tmp_path)
    monkeypatch.setattr(single, "tokenizer", lambda second: tiny_tokenizer(77))


def test_it_is_recognised_and_counted(models: Path, family: str) -> None:
    found = scan([models])
    one, other = found["file.safetensors"], found["folder"]
    assert one.usable and one.family == family and one.title == "file", one.reason
    assert one.defaults == other.defaults and one.bytes == (models / "file.safetensors").stat().st_size
    assert {part: one.parameters[part] for part in ("unet", "vae")} == {part: other.parameters[part] for part in ("unet", "vae")}


def test_it_makes_the_pictures_of_its_folder_without_the_network(models: Path, tiny: None) -> None:
    engine = Engine([models], "cpu", "fast")
    made = []
    for name in ("folder", "file.safetensors"):
        model = scan([models])[name]
        given = {"prompt": "a (red:1.2) boat", "negative": "blue", "seed": 3, "steps": 4, "width": 64, "height": 64, "guidance": 3.0}
        log: list[Event] = []
        engine.submit("a", Request.parse(given).resolve(model.defaults, name), log.append)
        while engine.step():
            pass
        assert [event.i for event in log if isinstance(event, Step) and event.preview] == [1, 2, 3, 4]
        made.append(pixels(log))
    # Weights that lie otherwise in memory may round otherwise.
    assert np.abs(made[0] - made[1]).max() <= 1 and made[0].std() > 1


def test_every_weight_arrives_where_it_belongs(models: Path, tiny: None, family: str) -> None:
    folder = pipe_of(models / "folder")
    opened = single.open_file(
        models / "file.safetensors", torch.float32, {"add_watermarker": False} if "XL" in family else {"safety_checker": None}
    )
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if hasattr(folder, part):
            theirs = getattr(folder, part).state_dict()
            ours = getattr(opened, part).state_dict()
            assert set(ours) == set(theirs) and all(torch.equal(ours[key], theirs[key]) for key in theirs), part


def test_an_ending_in_capitals_is_an_ending(models: Path, tmp_path: Path, tiny: None, family: str) -> None:
    file = tmp_path / "MODEL.SAFETENSORS"
    shutil.copy(models / "file.safetensors", file)
    without = {"add_watermarker": False} if "XL" in family else {"safety_checker": None}
    ours, theirs = (single.open_file(path, torch.float32, without).unet.state_dict() for path in (file, models / "file.safetensors"))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def changed(models: Path, target: Path, keep: Any = lambda key: True, **extra: Tensor) -> Path:
    """The checkpoint with some of its tensors, and others."""
    target.mkdir()
    state = load_file(models / "file.safetensors")
    save_file({key: value for key, value in state.items() if keep(key)} | extra, target / "file.safetensors")
    return target


def test_a_part_that_is_missing_is_named(models: Path, tmp_path: Path, family: str) -> None:
    for part, prefix in (FAMILIES[family].file or pytest.fail()).parts.items():
        if part != "unet":
            found = scan([changed(models, tmp_path / part, lambda key, prefix=prefix: not key.startswith(prefix))])["file.safetensors"]
            assert found.reason == f"It is {family}, but its {part} is missing. Download the whole checkpoint."


def test_a_model_for_inpainting_is_named(models: Path, tmp_path: Path) -> None:
    first = load_file(models / "file.safetensors")[files.FIRST]
    wide = changed(models, tmp_path / "a", **{files.FIRST: torch.cat([first, first, first[:, :1]], 1)})
    assert "for inpainting" in scan([wide])["file.safetensors"].reason


def test_what_a_file_says_of_its_prediction_is_heard(models: Path, tmp_path: Path, tiny: None, family: str) -> None:
    file = changed(models, tmp_path / "a", v_pred=torch.zeros(1), ztsnr=torch.zeros(1)) / "file.safetensors"
    config = single.open_file(
        file, torch.float32, {"add_watermarker": False} if "XL" in family else {"safety_checker": None}
    ).scheduler.config
    assert config.prediction_type == "v_prediction" and config.get("rescale_betas_zero_snr", True)


def predicted(file: Path, family: str) -> str:
    """What the opened model is taken to predict."""
    without = {"add_watermarker": False} if "XL" in family else {"safety_checker": None}
    return str(single.open_file(file, torch.float32, without).scheduler.config.prediction_type)


def spread(wide: bool) -> dict[str, Tensor]:
    """The tensor by which the weights tell it, as wide as those of published models are."""
    return {LAST: torch.linspace(-1, 1, 320) * (0.25 if wide else 0.08)}


@pytest.mark.parametrize(("note", "word"), [("v", "v_prediction"), ("epsilon", "epsilon")])
def test_what_a_files_notes_say_of_its_prediction_counts_above_its_weights(
    models: Path, tmp_path: Path, tiny: None, family: str, note: str, word: str
) -> None:
    tensors = load_file(models / "file.safetensors") | spread(note != "v")
    save_file(tensors, tmp_path / "a.safetensors", {"modelspec.prediction_type": note})
    assert predicted(tmp_path / "a.safetensors", family) == word


@pytest.mark.parametrize(("line", "word"), [('    parameterization: "v"\n', "v_prediction"), ("", "epsilon")])
def test_the_yaml_beside_a_file_says_what_it_predicts(models: Path, tmp_path: Path, tiny: None, family: str, line: str, word: str) -> None:
    file = changed(models, tmp_path / "a", **spread(not line)) / "file.safetensors"
    file.with_suffix(".yaml").write_text(
        f"model:\n  target: ldm.models.diffusion.ddpm.LatentDiffusion\n  params:\n{line}    timesteps: 1000\n"
    )
    assert predicted(file, family) == word


@pytest.mark.parametrize("wide", [True, False])
def test_where_nothing_says_it_the_weights_of_a_second_version_do(
    models: Path, tmp_path: Path, tiny: None, family: str, wide: bool
) -> None:
    file = changed(models, tmp_path / "a", **spread(wide)) / "file.safetensors"
    second = family == "Stable Diffusion 2.x"
    assert predicted(file, family) == ("v_prediction" if second and wide else "epsilon")


def test_a_damaged_file_is_refused_again_where_it_is_opened(models: Path, tmp_path: Path, tiny: None) -> None:
    shutil.copytree(models, tmp_path / "m")
    engine = Engine([tmp_path / "m"], "cpu", "off")
    file = tmp_path / "m" / "file.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    log: list[Event] = []
    engine.submit("a", Request(prompt="a", seed=1).resolve(scan([models])["folder"].defaults, "file.safetensors"), log.append)
    while engine.step():
        pass
    assert "file.safetensors cannot be loaded" in str(log[-1]) and ("incomplete" in str(log[-1]) or "still being copied" in str(log[-1]))


WRONG: dict[str, str] = {
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": "It is a LoRA",
    "transformer.single_blocks.0.attn.to_q.lora_A.weight": "It is a LoRA",
    "decoder.conv_in.weight": "It is an autoencoder",
    "emb_params": "It is a textual-inversion embedding",
    "control_model.input_hint_block.0.weight": "It is a ControlNet",
    "double_blocks.0.img_attn.norm.key_norm.scale": "It is a transformer of a kind that this version does not know, or too much of it",
    "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": "It is a transformer of a kind that this version does not know",
    "blocks.0.cross_attn.q_linear.weight": "It is PixArt",
    "transformer_blocks.0.attn.to_q.weight": "It is a transformer under the names of diffusers",
    "text_model.encoder.layers.0.mlp.fc1.weight": "It is a text encoder",
    "down_blocks.0.resnets.0.conv1.weight": "It is a U-Net alone",
    "classifier.weight": "It is not an image model",
}


@pytest.mark.parametrize("key", WRONG)
def test_other_files_are_called_what_they_are(tmp_path: Path, key: str) -> None:
    save_file({key: torch.zeros(2, 2)}, tmp_path / "a.safetensors")
    found = scan([tmp_path])["a.safetensors"]
    assert not found.usable and found.reason.startswith(WRONG[key]) and found.reason.endswith(".")


def test_a_file_without_tensors_is_no_model(tmp_path: Path) -> None:
    save_file({}, tmp_path / "a.safetensors")
    assert scan([tmp_path])["a.safetensors"].reason.startswith("It is not an image model")


TRUE_SIZES = {
    # What is published of these models: numbers in their U-Net, autoencoder and text encoders.
    "sd1": {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480},
    "sd2": {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840},
    "sd3": {"vae": 83_819_683, "text_encoder": 123_650_304, "text_encoder_2": 694_659_840},
    "sdxl": {"unet": 2_567_463_684, "vae": 83_653_863, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840},
}


@pytest.mark.parametrize("folder", TRUE_SIZES)
def test_our_configurations_are_of_the_true_size(folder: str) -> None:
    for part, count in TRUE_SIZES[folder].items():
        made: Any
        with torch.device("meta"):
            if part in ("unet", "vae"):
                kind: Any = diffusers.UNet2DConditionModel if part == "unet" else diffusers.AutoencoderKL
                made = kind.from_config(kind.load_config(files.DATA / folder / part, local_files_only=True))
            else:
                config: Any = transformers.CLIPTextConfig.from_pretrained(files.DATA / folder / part)
                made = getattr(transformers, config.architectures[0])(config)
        assert sum(parameter.numel() for parameter in made.parameters()) == count, part


def test_clips_tokenizer_is_the_true_one(tmp_path: Path) -> None:
    words = single.tokenizer()
    assert len(words) == 49408
    assert words("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert words("", padding="max_length").input_ids == [49406] + 76 * [49407]
    assert single.tokenizer(second=True)("", padding="max_length").input_ids == [49406, 49407] + 75 * [0]
    pairs = clip.merges()
    assert len(pairs) == 48894 and len(clip.vocabulary(pairs)) == 49408


def test_tokens_of_a_file_are_counted_with_clips_tokenizer(models: Path) -> None:
    found = scan([models])["file.safetensors"]
    for text in ("a photo of a cat", "Été, 12 red-sailboats!", ""):
        counted = TokenCounter().count(found, text)
        assert counted.total == len(single.tokenizer()(text).input_ids) - 2 and counted.window == 75


def test_each_family_that_is_opened_from_a_file_is_tested() -> None:
    assert set(SINGLE) | {"Stable Diffusion 3"} == set(WIDE)
