"""Every family as a tiny pipeline: recognised, run with live clean previews, cancelled, batched, equal to plain diffusers."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING
from PIL import Image
from torch import Tensor

from tests.engine.conftest import events_of, pixels
from tests.families import OTHERS, PIPES, open_plainly, write_family
from webui.engine import schedulers
from webui.engine.catalogue import Model
from webui.engine.engine import Engine
from webui.engine.families import FAMILIES, PIPELINES, VARIANTS, Family, defaults_of, suits
from webui.engine.loading import Loaded
from webui.engine.preview import decode
from webui.engine.shelf import scan
from webui.errors import InvalidRequest
from webui.events import Cancelled, Event, Rendered, Step
from webui.request import Request, Resolved


@pytest.fixture(scope="module", params=PIPES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("models") / "tiny", family)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return scan([folder.parent])["tiny"]


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine([folder.parent], "cpu", "fast")


@pytest.fixture(scope="module")
def loaded(engine: Engine, model: Model) -> Loaded:
    return engine._loader.get(model)


def asked(model: Model, **fields: Any) -> Resolved:
    """A request that this model takes: with guidance and a negative prompt where its family has them."""
    family = FAMILIES[model.family]
    given: dict[str, Any] = {"prompt": "a red boat", "seed": 5, "steps": 4, "width": 64, "height": 96}
    given |= {"guidance": 3.0 if family.guidance else 1.0, "negative": "blue" if family.negative else ""} | fields
    request = Request.parse(given).resolve(model.defaults, model.name)
    suits(request, model.family)
    return request


def spied(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, see: Callable[[Any, Any], None]) -> None:
    """Let a method's first argument and its result be seen."""
    inner = getattr(owner, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        out = inner(*args, **kwargs)
        see(args[0] if args else None, out)
        return out

    monkeypatch.setattr(owner, name, method)


def plain(folder: Path, model: Model, one: Resolved) -> Tensor:
    """(3, height, width) in [-1, 1], unclamped: what diffusers itself decodes for the request."""
    row = FAMILIES[model.family]
    pipe: Any = open_plainly(folder)
    if row.area:
        pipe.default_sample_size = (one.width * one.height) ** 0.5 / pipe.vae_scale_factor * (1 + 1e-9)
    pipe.set_progress_bar_config(disable=True)
    if type(pipe.scheduler).__name__ in ("PNDMScheduler", "EulerDiscreteScheduler", "DDPMScheduler"):
        pipe.scheduler = schedulers.build(one.sampler, one.schedule, one.steps, one.seed, pipe.scheduler.config)
    decoded: list[Tensor] = []
    inner = pipe.vae.decode

    def decoding(*args: Any, **kwargs: Any) -> Any:
        out = inner(*args, **kwargs)
        decoded.append(out[0])
        return out

    pipe.vae.decode = decoding
    parameters = inspect.signature(pipe.__call__).parameters
    given: dict[str, Any] = (
        {row.argument: one.guidance}
        | {name: row.options[name] for name in row.options if name in parameters}
        | ({"negative_prompt": one.negative} if row.negative else {})
    )
    generator = torch.Generator("cpu").manual_seed(one.seed)
    pipe(prompt=one.prompt, num_inference_steps=one.steps, width=one.width, height=one.height, generator=generator, **given)
    return decoded[0].reshape(3, one.height, one.width)


def test_it_is_recognised_with_its_defaults(model: Model, family: str) -> None:
    assert model.usable and model.family == family, model.reason
    assert model.defaults == FAMILIES[family].defaults
    assert sum(model.parameters.values()) > 10_000


def test_it_equals_plain_diffusers_with_a_live_clean_preview_of_each_step(
    engine: Engine, model: Model, loaded: Loaded, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Tensor] = []
    shown: list[Tensor] = []
    spied(monkeypatch, loaded.pipe.vae, "decode", lambda _, out: decoded.append(out[0]))
    spied(monkeypatch, loaded.preview, "fast", lambda latents, _: shown.append(latents))
    one = asked(model)
    (log,) = events_of(engine, one)
    expected = plain(folder, model, one)
    # Before it came what the previews were fitted on.
    assert (decoded[-1].reshape(3, one.height, one.width) - expected).abs().max() <= 1e-4
    assert np.abs(pixels(log) - ((expected / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()).max() <= 1
    steps = [event for event in log if isinstance(event, Step)]
    assert [event.i for event in steps] == [1, 2, 3, 4]
    for event in steps:
        with Image.open(io.BytesIO(event.preview or b"")) as picture:
            assert picture.width * one.height == picture.height * one.width
    # The estimate of the last step is the picture itself: so the layout is right, and what is shown is clean.
    with torch.no_grad():
        last = decode(loaded.pipe.vae, shown[-1])[0]
    assert (last - (expected / 2 + 0.5)).abs().max() < 1e-3
    assert not torch.equal(shown[0], shown[-1])


def test_batched_with_itself_at_different_step_counts_it_is_the_same(
    engine: Engine, model: Model, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [asked(model, steps=steps, seed=steps) for steps in (3, 4, 6)]
    denoiser = loaded.pipe.unet if hasattr(loaded.pipe, "unet") else loaded.pipe.transformer
    forwards: list[int] = []
    spied(monkeypatch, denoiser, "forward", lambda *_: forwards.append(1))
    alone = [pixels(events_of(engine, one)[0]) for one in several]
    apart, forwards[:] = len(forwards), []
    together = [pixels(log) for log in events_of(engine, *several)]
    assert (len(forwards) < apart) == FAMILIES[model.family].shares, "they share forwards"
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one - other).max() <= 1
    assert len({one.tobytes() for one in alone}) == 3


def test_cancelled_in_mid_run_it_leaves_everything_sound(engine: Engine, model: Model) -> None:
    before = pixels(events_of(engine, asked(model))[0])
    log: list[Event] = []
    engine.submit("victim", asked(model, steps=50), log.append)
    while sum(isinstance(event, Step) for event in log) < 2:
        engine.step()
    engine.cancel("victim")
    assert isinstance(log[-1], Cancelled) and not engine.step()
    assert np.array_equal(pixels(events_of(engine, asked(model))[0]), before)


def test_prompt_seed_guidance_and_negative_prompt_matter(engine: Engine, model: Model) -> None:
    row = FAMILIES[model.family]
    changes: dict[str, Any] = {"prompt": "zzz 123", "seed": 6} | ({"guidance": 9.0} if row.guidance else {})
    changes |= {"negative": "zzz 123"} if row.negative else {}
    base = pixels(events_of(engine, asked(model))[0])
    for field, value in changes.items():
        assert not np.array_equal(pixels(events_of(engine, asked(model, **{field: value}))[0]), base), field
    assert isinstance(events_of(engine, asked(model, negative="", guidance=1.0))[0][-1], Rendered), "off"


def test_every_sampler_and_schedule_that_it_offers_runs(engine: Engine, model: Model) -> None:
    row = FAMILIES[model.family]
    if row.defaults.sampler not in row.samplers or len(row.samplers) > 10:
        return  # those of the first families are run in test_engine.py
    for sampler, offered in row.samplers.items():
        for schedule in offered.schedules:
            for steps in (1, 2, 5):
                (log,) = events_of(engine, asked(model, sampler=sampler, schedule=schedule, steps=steps))
                assert [event.i for event in log if isinstance(event, Step)] == list(range(1, steps + 1)), (sampler, schedule, steps)
                assert isinstance(log[-1], Rendered), (sampler, schedule, steps)


def test_noise_that_a_sampler_adds_comes_from_the_seed_alone(engine: Engine, model: Model) -> None:
    row = FAMILIES[model.family]
    if len(row.samplers) > 10:
        return  # their pipelines hand the generator on
    for sampler in (sampler for sampler, offered in row.samplers.items() if not offered.converges):
        one, other = (asked(model, sampler=sampler, seed=seed) for seed in (5, 6))
        before = pixels(events_of(engine, one)[0])
        torch.randn(7)  # as whoever else draws from torch's global generator
        assert np.array_equal(pixels(events_of(engine, one)[0]), before), sampler
        beside = [pixels(log) for log in events_of(engine, other, one)]
        assert np.abs(beside[1] - before).max() <= 1, sampler
        assert not np.array_equal(beside[0], before), sampler


def test_what_it_does_not_have_is_refused_with_a_sentence(model: Model, family: str) -> None:
    row = FAMILIES[family]
    wrong: dict[str, Any] = {
        "width": 64 + row.multiple // 2 if row.multiple > 8 else None,
        "sampler": "DDIM" if len(row.samplers) < 10 else None,
    }
    wrong |= {"negative": None if row.negative else "blue", "guidance": None if row.guidance else 4.0}
    for field, value in wrong.items():
        if value is None:
            continue
        with pytest.raises(InvalidRequest) as refused:
            asked(model, **{field: value})
        assert refused.value.field == field and refused.value.message.endswith(".") and family in refused.value.message


def test_a_negative_prompt_that_a_style_brings_is_told_as_that() -> None:
    asks = Request(seed=1, prompt="a").resolve(FAMILIES["FLUX.1"].defaults, "m").model_copy(update={"drawn_negative": "blurry"})
    with pytest.raises(InvalidRequest, match="Take out the style"):
        suits(asks, "FLUX.1")


def test_each_family_has_its_test_and_each_default_suits_it() -> None:
    assert set(PIPES) == set(FAMILIES)
    for name, row in FAMILIES.items():
        suits(Request(seed=1).resolve(row.defaults, "m"), name)
    for variant in VARIANTS:
        for name in variant.families:
            defaults = defaults_of(name, "-".join(variant.words[:1]), {part: {key: value} for (part, key), value in variant.marks.items()})
            assert defaults != FAMILIES[name].defaults
            suits(Request(seed=1).resolve(defaults, "m"), name)


@pytest.mark.parametrize(
    ("name", "family", "steps", "guidance"),
    [("sdxl-turbo", "Stable Diffusion XL", 4, 1), ("sdxl_lightning_4step", "Stable Diffusion XL", 8, 1),
     ("LCM_Dreamshaper", "Stable Diffusion 1.x", 6, 1), ("my-model", "Stable Diffusion XL", 25, 6), ("Z-Image-Turbo", "Z-Image", 9, 1),
     ("dreamshaperXL_turbo", "Stable Diffusion XL", 4, 1), ("DreamShaperXL_Turbo_v2", "Stable Diffusion XL", 4, 1),
     ("SDXL-Turbo", "Stable Diffusion XL", 4, 1), ("dreamshaperXL_lightningDPMSDE", "Stable Diffusion XL", 8, 1),
     ("LCM_Dreamshaper_v7", "Stable Diffusion 1.x", 6, 1)],
)  # fmt: skip
def test_variants_are_known_by_their_names(name: str, family: str, steps: int, guidance: float) -> None:
    defaults = defaults_of(family, name, {})
    assert (defaults.steps, defaults.guidance) == (steps, guidance)


@pytest.mark.parametrize(
    ("name", "hyper"),
    [("Hyper-SDXL", True), ("hyper_sd15", True), ("sdxl-hyper-8step", True), ("sub/HyperSDXL.safetensors", True), ("a v2 hyper", True),
     ("realisticVisionV60B1_v51HyperVAE", True), ("hyperrealism_v3.safetensors", False), ("HyperRealism", False),
     ("ultra_hyperreal", False), ("xhyper", False)],
)  # fmt: skip
def test_hyper_is_a_word_of_its_own(name: str, hyper: bool) -> None:
    defaults = defaults_of("Stable Diffusion XL", name, {})
    assert (defaults.sampler == "TCD", defaults.steps == 8) == (hyper, hyper)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_pipeline_that_nobody_has_looked_at_runs_with_generic_defaults(kind: str, tmp_path: Path) -> None:
    """Beside those that stand for the rows "Other": each equals plain diffusers too, alone and while another runs."""
    write_family(tmp_path / "models" / "tiny", kind)
    model = scan([tmp_path / "models"])["tiny"]
    assert model.usable and model.family.startswith("Other"), model.reason
    engine = Engine([tmp_path / "models"], "cpu", "fast")
    one, other = asked(model), asked(model, seed=6, steps=3)
    decoded: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        spied(patch, engine._loader.get(model).pipe.vae, "decode", lambda _, out: decoded.append(out[0]))
        log, _ = events_of(engine, one, other)
    expected = plain(tmp_path / "models" / "tiny", model, one)
    pictures = decoded[-2:]  # before them came what the previews were fitted on
    assert min((out.reshape(3, one.height, one.width) - expected).abs().max() for out in pictures) <= 1e-4
    assert [event.i for event in log if isinstance(event, Step) and event.preview] == [1, 2, 3, 4]


def test_every_pipeline_is_one_that_diffusers_offers_for_text() -> None:
    offered = {kind.__name__ for kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()} | {"HiDreamImagePipeline", "KolorsPipeline"}
    assert set(PIPELINES) <= offered


def test_what_is_missing_beside_a_model_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "models" / "tiny", "HiDream")
    (folder / "text_encoder_4").rename(tmp_path / "elsewhere")
    model = scan([tmp_path / "models"])["tiny"]
    assert not model.usable and "Llama-3.1-8B-Instruct" in model.reason and "text_encoder_4" in model.reason
    (tmp_path / "elsewhere").rename(folder / "text_encoder_4")
    assert scan([tmp_path / "models"])["tiny"].usable


def test_more_pixels_than_a_model_makes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="1024 x 1024") as refused:
        suits(Request(seed=1, width=1040, height=1024).resolve(FAMILIES["HiDream"].defaults, "m"), "HiDream")
    assert refused.value.field == "width"


def _in_one_file(row: Family) -> str:
    if row.denoiser is None:
        return "all of it" if row.file else "no"
    return "denoiser, or all of it" if row.denoiser.alone else "denoiser"


def table() -> str:
    """The families as the README shows them."""
    heads = ("family", "pipeline", "steps", "guidance", "size", "multiple of", "sampler", "samplers", "negative prompt", "in one file")
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in FAMILIES.items():
        usual = row.defaults
        samplers = f"all {len(row.samplers)}" if len(row.samplers) > 10 else ", ".join(row.samplers)
        guidance = f"{row.guidance} {usual.guidance:g}" if row.guidance else "none"
        cells = (
            name,
            ", ".join(f"`{pipeline}`" for pipeline in row.pipelines),
            usual.steps,
            guidance,
            usual.width,
            row.multiple,
            usual.sampler,
            samplers,
            "yes" if row.negative else "no",
            _in_one_file(row),
        )
        rows.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(rows)


def test_the_readme_shows_the_table() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    shown = re.search(r"^\| family \|.*?(?=\n\n)", readme, re.DOTALL | re.MULTILINE)
    assert shown and shown[0] == table(), f"put this into README.md:\n{table()}"
