"""The recipe of the built-in model, from first render to a folder that plain diffusers opens, at toy size."""

from __future__ import annotations

import importlib
import json
import random
import re
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
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)  # as training has it; other tests of this process want small numbers


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


def test_two_subjects_stand_in_one_scene_and_in_its_caption() -> None:
    scene, captions, world = part("scene"), part("captions"), part("world")
    drawn = [scene.draw_scene(seed, "full") for seed in range(400)]
    pairs = [one for one in drawn if one.second]
    assert 0.1 < len(pairs) / len(drawn) < 0.25 and not any(one.second for one in map(scene.draw_scene, range(50)))
    for one in pairs:
        assert one.count == 1 and one.second != one.subject
        assert not world.held_out(one.second, one.second_colour, one.background)
        words = captions.caption(one, random.Random(0), ())
        assert one.second_colour in words and " and " in words
    alone = pairs[0]._replace(second="", second_colour="")
    both, one = (part("render").render_marked(each)[1] for each in (pairs[0], alone))
    assert all(np.isin(part("subjects").PARTS[name], both).any() for name in (pairs[0].subject, pairs[0].second))
    assert both[:, :128].any() and both[:, 128:].any() and one.any() and one[:, :8].max() == 0


def test_what_is_left_out_of_a_caption_is_not_in_it() -> None:
    scene = part("scene").draw_scene(5)
    for name, words in (("style", part("captions").STYLES[scene.style]), ("background", part("captions").PLACES[scene.background])):
        said = [part("captions").caption(scene, random.Random(k), (name,)) for k in range(20)]
        assert not any(word in text for word in words for text in said)
        assert all(any(word in part("captions").caption(scene, random.Random(k), ()) for word in words) for k in range(20))


def test_a_negative_prompt_meets_texts_that_the_unet_knows() -> None:
    """Some captions name no subject; and clear weather goes without saying about as often as any other."""
    captions, scenes = part("captions"), [part("scene").draw_scene(seed) for seed in range(4000)]
    chance = random.Random(0)
    said = [(scene, captions.caption(scene, chance)) for scene in scenes]
    nouns = {one for scene in scenes for one in captions.NOUNS.get(scene.subject, (scene.subject,))}
    aside = [text for _, text in said if not any(noun in text for noun in nouns)]
    assert all(aside) and 0.07 < len(aside) / len(said) < 0.13
    weathers = [word for words in captions.WEATHERS.values() for word in words if word]
    unsaid = [scene.weather for scene, text in said if not any(word in text for word in weathers)]
    clear = sum(scene.weather == "clear" for scene in scenes) / len(scenes)
    assert clear < unsaid.count("clear") / len(unsaid) < clear + 0.12, "what guidance makes a rule of must be no more than a leaning"


def test_marks_cover_what_the_colour_changes() -> None:
    """Where the subject's colour shows, the picture's own labels say that the subject is."""
    import cv2

    scene = part("scene").Scene(3, "house", "red", 1, "meadow", "day", "clear", "flat")
    red, seen = part("render").render_marked(scene)
    blue = part("render").render(scene._replace(colour="blue"))
    changed = np.abs(red.astype(int) - blue).sum(2) > 60
    near = cv2.dilate((seen > 0).astype(np.uint8), np.ones((3, 3)))  # a pixel of the rim is only half the subject's
    assert near[changed].all() and 0.05 < (seen > 0).mean() < 0.5
    assert set(np.unique(seen)) == {0, *part("subjects").PARTS["house"]}, "each part is seen, and has its own number"


def test_every_word_of_a_caption_is_one_token_and_fits_the_window() -> None:
    tokenizer, chance = part("text").build_tokenizer(), random.Random(0)
    for seed in range(400):
        text = part("captions").caption(part("scene").draw_scene(seed, "full", fresh=None), chance)
        ids = tokenizer(text).input_ids
        assert len(ids) <= part("text").WINDOW
        assert len(ids) - 2 == len(text.replace(",", " ,").split()), text


def test_a_grown_unet_keeps_what_the_small_one_has_learned() -> None:
    import torch

    torch.manual_seed(0)
    denoiser = part("denoiser")
    small = denoiser.build(128)
    small.conv_out.weight.data.normal_(std=0.05)  # an untrained one's last layer is flat
    large = denoiser.grow(small)
    assert len(large.config.block_out_channels) == len(small.config.block_out_channels) + 1
    for old, new in (
        (small.mid_block, large.mid_block),
        (small.down_blocks[0], large.down_blocks[1]),
        (small.up_blocks[2], large.up_blocks[2]),
        (small.conv_out, large.conv_out),
    ):
        assert all(torch.equal(new.state_dict()[name], value) for name, value in old.state_dict().items())
    # Half the noise is another timestep for the inner levels, and they are told so.
    sigma = ((1 - part("pipeline").alphas()) / part("pipeline").alphas()).sqrt()
    now = torch.arange(100, 900, 50)
    then = torch.searchsorted(sigma, sigma[now] / 2)
    half, caption = torch.randn(2, 4, 16, 16), torch.randn(2, 32, 192)
    latents = half.repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        heard = large.time_embedding(large.time_proj(now))
        right, wrong = (float((heard - small.time_embedding(small.time_proj(t))).norm()) for t in (then, now))
        inside = large.down_blocks[0].downsamplers[0](large.conv_in(latents))
        before = small.conv_in(denoiser.SCALE * half)
        answer = large(latents, now[9], caption).sample
        known = small(denoiser.SCALE * half, then[9], caption).sample
    assert right < 0.8 * wrong and float(large.time_embedding.linear_1.weight.detach().abs().max()) < 100
    assert torch.allclose(inside[:, :, 1:-1, 1:-1], before[:, :, 1:-1, 1:-1], atol=1e-4)
    alike = torch.corrcoef(torch.stack([torch.nn.functional.avg_pool2d(answer, 2).flatten(), known.flatten()]))[0, 1]
    assert answer.shape == latents.shape and alike > 0.8, "it paints what the small one would, twice as wide"


def test_to_name_the_parts_of_another_subject_costs_more() -> None:
    import torch

    numbers = part("subjects").PARTS
    scene = part("scene").Scene(3, "house", "red", 1, "meadow", "day", "clear", "flat")
    seen = torch.from_numpy(part("encode").middles(part("render").render_marked(scene)[1], 16).astype(np.int64))[None]
    other = torch.where(seen > 0, numbers["cat"].start, 0)
    said = (torch.nn.functional.one_hot(each, numbers["rocket"].stop).permute(0, 3, 1, 2) for each in (seen, other))
    right, wrong = (float(part("parts").loss_of(10.0 * each, seen)) for each in said)
    assert 0 < 10 * right < wrong


def test_the_commands_of_its_readme_learn_from_what_was_encoded() -> None:
    text = (STORYBOOK / "recipe" / "README.md").read_text()
    commands = re.findall(r"python -m recipe\.(encode|unet) WORK --size (128|256)(?: --pictures (\d+))?", text)
    assert len(commands) == 7 and all(pictures for *_, pictures in commands)
    assert len({pictures for _, size, pictures in commands if size == "128"}) == 1
    encoded = {what[1:] for what in commands if what[0] == "encode"}
    assert {what[1:] for what in commands if what[0] == "unet"} == encoded


def test_from_render_to_a_folder_that_plain_diffusers_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work, model = tmp_path / "work", tmp_path / "storybook"
    stage("data", work, "--pictures", 24)
    stage("text", work, "--steps", 2)
    stage("emphasise", work, "--steps", 2)
    stage("autoencoder", work, "--pictures", 24, "--steps", 2, "--batch", 2, "--processes", 1)
    stage("extend", work, "--steps", 2, "--batch", 4, "--processes", 1)
    stage("encode", work, "--pictures", 24, "--size", 128, "--processes", 1)
    common = ("--pictures", 24, "--batch", 2, "--processes", 1)
    stage("unet", work, "--steps", 1, *common)
    stage("unet", work, "--steps", 3, "--fade", 2, *common)
    stage("encode", work, "--pictures", 4, "--size", 256, "--processes", 1)
    stage("unet", work, "--steps", 2, "--size", 256, "--pictures", 4, "--batch", 2, "--processes", 1, "--continue-from", "unet128.pt")
    stage("export", work, "--to", model)

    import torch
    from diffusers import StableDiffusionPipeline

    assert torch.load(work / "unet128.pt", weights_only=True)["step"] == 3, "it went on from its checkpoint"
    assert json.loads((model / "card.json").read_text())["ideas"]
    assert all(file.stat().st_size < 16e6 for file in model.rglob("*") if file.is_file())
    assert not any(str(tmp_path) in file.read_text() for file in model.rglob("*.json")), "nobody else's business where it was made"
    pipe: Any = StableDiffusionPipeline.from_pretrained(model, local_files_only=True)  # as plainly as anyone would: no dtype given
    config = pipe.scheduler.config
    assert (config.clip_sample, config.steps_offset, config.prediction_type) == (False, 1, "v_prediction")
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a red sailboat", num_inference_steps=1, width=64, height=64, output_type="np").images[0]
    assert picture.shape == (64, 64, 3) and np.isfinite(picture).all()

    more = tmp_path / "more"
    stage("adopt", model, more)
    stage("encode", more, "--pictures", 4, "--size", 256, "--processes", 1)
    stage("unet", more, "--steps", 1, "--size", 256, "--pictures", 4, "--batch", 2, "--processes", 1, "--continue-from", "unet")
    before, after = (torch.load(folder / "unet256.pt", weights_only=True)["ema"] for folder in (work, more))
    unet = len(list(pipe.unet.parameters()))  # what reads parts begins anew
    far = [float((a - b).abs().max()) for a, b in zip(before[:unet], after[:unet], strict=True)]
    assert 0 < max(far) < 0.01, "it went on from the exported weights"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part("probe"), "LESSONS", 64)
        patch.setattr(part("evaluate"), "COUNTS", (4, 5))
        patch.setattr(part("evaluate"), "SETTLED", 6)
        stage("evaluate", model, work, "--only", "autoencoder", "adherence", "steps", "diversity", "--pictures", 4, "--size", 64)
    said = capsys.readouterr().out
    assert "dB on 3 fresh" in said and "held out, painted" in said and "diversity" in said
    assert said.count("\nsteps ") == 10, "each sampler that settles, and the next is made from the model's own configuration"


def test_texts_in_which_clear_weather_is_louder_name_no_subject_and_begin_to_be_louder_at_that_word() -> None:
    captions, emphasise = part("captions"), part("emphasise")
    said, alone = emphasise.texts("small", random.Random(0))
    nouns = {noun for names in captions.NOUNS.values() for noun in names} | set(part("world").SUBJECTS)
    assert len(said) == len(alone) and not said[-1]
    short = [words for words, flag in zip(said, alone.flatten(), strict=True) if flag]
    assert not any(noun in words for words in short for noun in nouns) and sum("clear" in words for words in short) > len(short) / 10
    tokenizer = part("text").build_tokenizer()
    ids = part("text").tokens_of(tokenizer, ["red, under a clear sky", "red, in the snow"])
    louder = emphasise.after(ids, tokenizer(emphasise.WORD).input_ids[1])[..., 0]
    words = [tokenizer.decode(one).strip() for one in ids[0]]
    assert louder[0].tolist() == [int(k >= words.index("clear")) for k in range(len(words))] and not louder[1].any()


def test_the_model_that_ships_hears_clear_weather_as_it_hears_snow() -> None:
    """As a negative prompt it would not be heard: `recipe.emphasise`."""
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(STORYBOOK / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(STORYBOOK / "text_encoder", dtype=torch.float32)
    with torch.no_grad():
        nothing, clear, snow = encoder(part("text").tokens_of(tokenizer, ["", "in clear weather", "in the snow"])).pooler_output
    assert float((clear - nothing).norm()) > 0.75 * float((snow - nothing).norm())


def test_the_model_that_ships_paints_in_plain_diffusers() -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    pipe: Any = StableDiffusionPipeline.from_pretrained(STORYBOOK, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    idea, side = json.loads((STORYBOOK / "card.json").read_text())["ideas"][0], pipe.unet.config.sample_size * 8
    picture = pipe(idea, num_inference_steps=2, generator=torch.Generator().manual_seed(0), output_type="np").images[0]
    assert picture.shape == (side, side, 3) and np.isfinite(picture).all() and picture.std() > 0.05
