"""A VAE in place of the model's own: the picture is plain diffusers' with it, its previews are its own, and nothing of it stays."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.engine.conftest import events_of, pixels
from tests.engine.test_families import asked, plain, spied
from tests.families import write_family
from tests.single import write_vae
from webui.engine import decoding, memory
from webui.engine.catalogue import Latents, Model
from webui.engine.engine import Engine
from webui.engine.judge import judge
from webui.engine.preview import Preview, decode
from webui.engine.shelf import scan
from webui.engine.vaes import fitting
from webui.errors import InvalidRequest, ModelError
from webui.events import Event, Failed, Step

WEIGHTS = "diffusion_pytorch_model.safetensors"


def changed(folder: Path, seed: int) -> Any:
    """The model's autoencoder with other weights."""
    vae: Any = getattr(diffusers, diffusers.DiffusionPipeline.load_config(folder)["vae"][1]).from_pretrained(folder / "vae")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in vae.decoder.parameters():
            weights += 0.3 * weights.abs().mean() * torch.randn(weights.shape, generator=generator)
    return vae


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models: two whose VAEs may be exchanged, one whose may not; and VAEs in all the ways in which they are shared."""
    home = tmp_path_factory.mktemp("models")
    write_family(home / "m", "Stable Diffusion 1.x")
    write_family(home / "twin", "Stable Diffusion 1.x", seed=1)
    write_family(home / "wide", "Stable Diffusion 3")
    write_vae(home / "vae" / "anime.safetensors", changed(home / "m", 1))
    save_file(changed(home / "m", 2).state_dict(), home / "vae" / "sharp.SAFETENSORS")
    changed(home / "m", 3).save_pretrained(home / "vae" / "folder-1.0")
    changed(home / "wide", 4).save_pretrained(home / "vae" / "wide")
    return home


FILES = ("vae/anime.safetensors", "vae/sharp.SAFETENSORS", "vae/folder-1.0")


@pytest.fixture(scope="module")
def models(home: Path) -> dict[str, Model]:
    return scan([home])


@pytest.fixture(scope="module")
def engine(home: Path) -> Engine:
    return Engine([home], "cpu", "fast")


def run(engine: Engine, model: Model, *vaes: str | None, **fields: Any) -> list[Any]:
    return [pixels(log) for log in events_of(engine, *(asked(model, vae=vae, **fields) for vae in vaes))]


def with_vae(home: Path, name: str, seed: int, folder: Path) -> Path:
    """The model with that VAE put into it by hand."""
    shutil.copytree(home / name, folder)
    shutil.rmtree(folder / "vae")
    changed(home / name, seed).save_pretrained(folder / "vae")
    return folder


def shown(expected: Tensor) -> Any:
    return ((expected / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()


def test_the_picture_is_plain_diffusers_with_that_vae_and_without_it_what_it_was(
    engine: Engine, models: dict[str, Model], home: Path, tmp_path: Path
) -> None:
    (own,) = run(engine, models["m"], None)
    for seed, name in enumerate(FILES, 1):
        (picture,) = run(engine, models["m"], name)
        expected = shown(plain(with_vae(home, "m", seed, tmp_path / str(seed)), models["m"], asked(models["m"])))
        assert np.abs(picture - expected).max() <= 1
        assert np.abs(picture - own).mean() > 1, "another VAE, another picture"
        assert np.array_equal(run(engine, models["m"], None)[0], own), "bit for bit"


@pytest.mark.parametrize("family", ["Stable Diffusion XL", "FLUX.1", "FLUX.2 klein", "Qwen-Image", "Sana"])
def test_whatever_the_latents_look_like(family: str, tmp_path: Path) -> None:
    write_family(tmp_path / "models" / "m", family)
    changed(tmp_path / "models" / "m", 1).save_pretrained(tmp_path / "models" / "vae" / "other")
    models = scan([tmp_path / "models"])
    assert list(fitting(models, models["m"])) == ["vae/other"]
    engine = Engine([tmp_path / "models"], "cpu", "fast")
    own, picture = run(engine, models["m"], None, "vae/other")
    expected = shown(plain(with_vae(tmp_path / "models", "m", 1, tmp_path / "by hand"), models["m"], asked(models["m"])))
    assert np.abs(picture - expected).max() <= 1 and not np.array_equal(picture, own)


def test_pictures_of_different_vaes_are_denoised_together(
    engine: Engine, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [run(engine, models["m"], vae)[0] for vae in (None, *FILES[:2])]
    forwards: list[int] = []
    spied(monkeypatch, engine._loader.get(models["m"]).pipe.unet, "forward", lambda *_: forwards.append(1))
    together = run(engine, models["m"], None, *FILES[:2])
    assert len(forwards) < 8, "of 12 calls"
    assert all(np.abs(one - other).max() <= 1 for one, other in zip(alone, together, strict=True))


def previews(log: Sequence[Event]) -> list[Any]:
    return [np.asarray(Image.open(io.BytesIO(event.preview)), int) for event in log if isinstance(event, Step) and event.preview]


def test_a_preview_shows_what_the_vae_will_make(
    engine: Engine, models: dict[str, Model], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    spied(monkeypatch, engine._loader.get(models["m"]).preview, "fast", lambda latents, _: seen.append(latents))
    own, other = (previews(log) for log in events_of(engine, asked(models["m"]), asked(models["m"], vae=FILES[0])))
    expected = Preview(tmp_path, changed(home / "m", 1)).fast(seen[-1])
    assert np.abs(other[-1] - np.asarray(Image.open(io.BytesIO(expected)), int)).mean() < 1
    assert np.abs(other[-1] - own[-1]).mean() > 1
    fine = Engine([home], "cpu", "fine")
    (log,) = events_of(fine, asked(models["m"], vae=FILES[0]))
    far = []
    for seed in (1, 2):
        with torch.no_grad():
            decoded = decode(changed(home / "m", seed), seen[-1])[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
        far.append(np.abs(previews(log)[-1] - decoded).mean())
    assert far[0] < far[1] / 2, "as far as JPEG keeps it"


def test_a_single_file_models_own_configuration_reads_the_vaes_file(models: dict[str, Model]) -> None:
    assert models["m"].latents == Latents("AutoencoderKL", 4, 0.18215)
    assert models[FILES[0]].latents == models[FILES[1]].latents == Latents("AutoencoderKL", 4), "a file does not say its scale"
    assert list(fitting(models, models["m"])) == [FILES[0], FILES[2], FILES[1]] and list(fitting(models, models["wide"])) == ["vae/wide"]


@pytest.mark.parametrize("name", ["vae/anime.safetensors", "anime.safetensors", "anime", "vae/anime"])
def test_it_is_found_as_other_programs_write_it(models: dict[str, Model], name: str) -> None:
    one = asked(models["m"], vae=name)
    assert judge(one, models["m"], models).vae == "vae/anime.safetensors"
    assert judge(asked(models["m"], vae="folder-1.0"), models["m"], models).vae == "vae/folder-1.0"


@pytest.mark.parametrize("nothing", [None, "", "Automatic"])
def test_automatic_is_the_models_own(models: dict[str, Model], nothing: str | None) -> None:
    one = judge(asked(models["m"], vae=nothing), models["m"], models)
    assert one.vae is None and "vae" not in one.model_dump()


def test_what_does_not_fit_or_is_not_there_is_refused(models: dict[str, Model], home: Path) -> None:
    for name, words in {
        "vae/wide": "does not fit m: it is an AutoencoderKL with 16 latent channels, .*, and the model's own is an AutoencoderKL with 4",
        "vae/anyme": "no VAE called 'vae/anyme'. Did you mean: vae/anime.safetensors",
        "zzz": "Put its .safetensors file into models/vae/",
        "twin": "no VAE called 'twin'",
    }.items():
        with pytest.raises(InvalidRequest, match=words) as refused:
            judge(asked(models["m"], vae=name), models["m"], models)
        assert refused.value.field == "vae"
    damaged = {**models, "vae/cut.safetensors": Model(name="vae/cut.safetensors", path=home, title="cut", reason="It is incomplete.")}
    with pytest.raises(InvalidRequest, match="cut cannot be used as a VAE: It is incomplete"):
        judge(asked(models["m"], vae="cut"), models["m"], damaged)


def test_a_folder_that_says_another_scale_is_for_other_models(home: Path, tmp_path: Path) -> None:
    vae = changed(home / "m", 5)
    vae.register_to_config(scaling_factor=0.13025)
    vae.save_pretrained(tmp_path / "xl")
    (found,) = scan([tmp_path]).values()
    assert found.latents == Latents("AutoencoderKL", 4, 0.13025)
    assert not fitting({"xl": found}, Model(name="m", path=home, title="m", latents=Latents("AutoencoderKL", 4, 0.18215)))


@pytest.mark.parametrize("damage", ["a part", "a shape"])
def test_a_vae_that_lacks_something_fails_alone(home: Path, damage: str, tmp_path: Path) -> None:
    shutil.copytree(home / "m", tmp_path / "m")
    state = dict(load_file(home / FILES[0]))
    if damage == "a part":
        state = {key: value for key, value in state.items() if "decoder.up.0" not in key}
    else:
        state["decoder.norm_out.weight"] = torch.zeros(3)
    save_file(state, tmp_path / "bad.safetensors")
    shutil.copytree(home / "vae" / "folder-1.0", tmp_path / "folder")
    state = dict(load_file(tmp_path / "folder" / WEIGHTS))
    del state["decoder.conv_out.weight"]
    save_file(state, tmp_path / "folder" / WEIGHTS)
    engine, model = Engine([tmp_path], "cpu", "fast"), scan([tmp_path])["m"]
    for name in ("bad.safetensors", "folder"):
        bad, good = events_of(engine, asked(model, vae=name), asked(model))
        assert isinstance(bad[-1], Failed) and f"The VAE {name} cannot be loaded" in bad[-1].message
        assert pixels(good).shape


def test_a_file_that_was_written_anew_is_read_anew(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "m", tmp_path / "m")
    file = write_vae(tmp_path / "a.safetensors", changed(home / "m", 1))
    engine, model = Engine([tmp_path], "cpu", "off"), scan([tmp_path])["m"]
    (before,) = run(engine, model, "a")
    write_vae(file.with_suffix(".new"), changed(home / "m", 2)).replace(file)
    (after,) = run(engine, model, "a")
    assert not np.array_equal(before, after)


def test_memory_goes_to_what_is_used(engine: Engine, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    loader = engine._loader
    run(engine, models["m"], *FILES)
    decoders = loader.get(models["m"]).decoders
    assert [path.name for path in decoders._opened] == ["sharp.SAFETENSORS", "folder-1.0"] and decoding.KEPT == 2
    run(engine, models["twin"], None)
    # Each thing that is let go makes some room; what is in use stays.
    free = iter([0, 1, 10**12])
    monkeypatch.setattr(memory, "free", lambda device: next(free, 10**12))
    monkeypatch.setattr(decoders, "_users", decoders._users.copy())
    decoders._users[models[FILES[1]].path] += 1
    with loader.using(models["m"]), loader.decoding(loader.get(models["m"]), models[FILES[0]]):
        assert [path.name for path in decoders._opened] == ["sharp.SAFETENSORS", "anime.safetensors"]
        assert "twin" not in loader and "m" in loader
        monkeypatch.setattr(memory, "free", lambda device: 1000)
        with (
            pytest.raises(ModelError, match=r"no room for the VAE vae/folder-1\.0: it needs about"),
            loader.decoding(loader.get(models["m"]), models[FILES[2]]),
        ):
            pass
    assert isinstance(run(engine, models["m"], None)[0], np.ndarray)
