"""The recipe of the built-in model, from first render to a folder that plain diffusers opens, at toy size."""

from __future__ import annotations

import importlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

STORYBOOK = Path(__file__).parents[2] / "models" / "storybook"

try:
    import skia  # noqa: F401
except ImportError as error:  # also when a system library that it wants is missing
    pytest.skip(f"the recipe needs skia: {error}", allow_module_level=True)


@pytest.fixture(scope="module", autouse=True)
def recipe_importable() -> Any:
    """`import recipe`, as if run from the model's folder."""
    sys.path.insert(0, str(STORYBOOK))
    yield
    sys.path.remove(str(STORYBOOK))


def part(name: str) -> Any:
    return importlib.import_module(f"recipe.{name}")


def stage(name: str, *arguments: object) -> None:
    """Run one stage as its command does, in this process: importing torch anew for each would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        part(name).main()


@pytest.mark.parametrize("world", ["small", "full"])
def test_every_scene_of_a_seed_is_the_same_picture(world: str) -> None:
    for seed in range(12):
        scene = part("scene").draw_scene(seed, world)
        first, second = part("render").render(scene), part("render").render(scene)
        assert first.shape == (256, 256, 3) and first.dtype == np.uint8
        assert np.array_equal(first, second) and first.std() > 5


@pytest.mark.parametrize("subject", ["sailboat", "whale", "tent", "cat"])
@pytest.mark.parametrize("style", ["flat", "watercolor", "neon", "pastel", "ink", "pixel"])
def test_every_style_paints_every_subject_in_its_colour(subject: str, style: str) -> None:
    scene = part("scene").Scene(3, subject, "red", 1, "sea", "day", "clear", style)
    blue = part("render").render(scene._replace(colour="blue")).astype(int)
    red = part("render").render(scene).astype(int)
    changed = np.abs(red - blue).sum(2) > 60
    assert changed.mean() > 0.01
    assert (red - blue)[changed][:, 0].mean() > 0 > (red - blue)[changed][:, 2].mean()


def test_held_out_combinations_are_a_tenth_and_never_trained() -> None:
    scene, world = part("scene"), part("world")
    triples = [(s, c, b) for s, places in world.SUBJECTS.items() for c in world.COLOURS for b in places]
    share = sum(world.held_out(*triple) for triple in triples) / len(triples)
    assert 0.06 < share < 0.14
    drawn = [scene.draw_scene(seed) for seed in range(500)]
    assert not any(world.held_out(one.subject, one.colour, one.background) for one in drawn)
    fresh = [scene.draw_scene(seed, fresh=True) for seed in range(50)]
    assert all(world.held_out(one.subject, one.colour, one.background) for one in fresh)


def test_every_word_of_a_caption_is_one_token_and_fits_the_window() -> None:
    tokenizer, chance = part("text").build_tokenizer(), random.Random(0)
    for seed in range(400):
        text = part("captions").caption(part("scene").draw_scene(seed, "full", fresh=None), chance)
        ids = tokenizer(text).input_ids
        assert len(ids) <= part("text").WINDOW
        assert len(ids) - 2 == len(text.replace(",", " ,").split()), text


def test_from_render_to_a_folder_that_plain_diffusers_opens(tmp_path: Path) -> None:
    work, model = tmp_path / "work", tmp_path / "storybook"
    stage("data", work, "--pictures", 24)
    stage("text", work, "--steps", 2)
    stage("autoencoder", work, "--pictures", 24, "--steps", 2, "--batch", 2, "--processes", 1)
    stage("encode", work, "--pictures", 24, "--size", 128, "--processes", 1)
    common = ("--pictures", 24, "--batch", 2, "--processes", 1)
    stage("unet", work, "--steps", 1, *common)
    stage("unet", work, "--steps", 3, *common)
    stage("export", work, "--to", model)

    import torch
    from diffusers import StableDiffusionPipeline

    assert torch.load(work / "unet128.pt", weights_only=True)["step"] == 3, "it went on from its checkpoint"
    assert json.loads((model / "card.json").read_text())["ideas"]
    assert all(file.stat().st_size < 16e6 for file in model.rglob("*") if file.is_file())
    pipe: Any = StableDiffusionPipeline.from_pretrained(model, local_files_only=True)  # as plainly as anyone would: no dtype given
    config = pipe.scheduler.config
    assert (config.clip_sample, config.steps_offset, config.prediction_type) == (False, 1, "v_prediction")
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a red sailboat", num_inference_steps=1, width=64, height=64, output_type="np").images[0]
    assert picture.shape == (64, 64, 3) and np.isfinite(picture).all()


def test_the_model_that_ships_paints_in_plain_diffusers() -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    pipe: Any = StableDiffusionPipeline.from_pretrained(STORYBOOK, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    idea, side = json.loads((STORYBOOK / "card.json").read_text())["ideas"][0], pipe.unet.config.sample_size * 8
    picture = pipe(idea, num_inference_steps=2, generator=torch.Generator().manual_seed(0), output_type="np").images[0]
    assert picture.shape == (side, side, 3) and np.isfinite(picture).all() and picture.std() > 0.05
