"""The engine on a real, tiny pipeline: same request, same pixels, whatever happens around it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from tests.engine.conftest import Run, pixels, request
from tests.tiny import WINDOW, write_pipeline
from webui.engine import schedulers
from webui.engine.engine import Engine
from webui.engine.loading import Loaded
from webui.engine.samplers import SAMPLERS
from webui.events import Cancelled, Event, Failed, Rendered, Started, Step
from webui.request import Resolved

STRANGERS = [
    request(seed=k, steps=3 + k, sampler=name, guidance=1.0 if k % 3 == 2 else 2.0 + k, prompt=f"number {k}")
    for k, name in enumerate(("Euler", "Euler a", "DPM++ 2M SDE", "DDIM", "UniPC", "Heun", "PLMS", "DPM++ 2S"))
]


def plain(models: Path, one: Resolved) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    """What diffusers itself makes of the request."""
    pipe = StableDiffusionPipeline.from_pretrained(models / one.model, local_files_only=True, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.vae.to(memory_format=torch.channels_last)
    pipe.scheduler = schedulers.build(one.sampler, one.schedule, one.steps, one.seed, pipe.scheduler.config)
    out = pipe(
        one.prompt, negative_prompt=one.negative, num_inference_steps=one.steps, guidance_scale=one.guidance,
        width=one.width, height=one.height, generator=torch.Generator("cpu").manual_seed(one.seed),
    )  # fmt: skip
    return np.asarray(out.images[0]).astype(np.int16)


@pytest.mark.parametrize("one", STRANGERS, ids=lambda one: one.sampler)
def test_alone_it_is_plain_diffusers_bit_for_bit(run: Run, models: Path, one: Resolved) -> None:
    (events,) = run([one])
    assert np.array_equal(pixels(events), plain(models, one))


def test_alone_it_is_bit_identical_each_time_and_among_strangers_almost(run: Run) -> None:
    alone = [pixels(run([one])[0]) for one in STRANGERS]
    again = [pixels(run([one])[0]) for one in STRANGERS]
    together = [pixels(events) for events in run(STRANGERS)]
    for first, second, batched in zip(alone, again, together, strict=True):
        assert np.array_equal(first, second)
        assert np.abs(first - batched).max() <= 1
    assert len({first.tobytes() for first in alone}) == len(alone), "strangers make different pictures"


def test_jobs_really_share_forwards(engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    unet = engine._loader.get(engine._models["tiny"]).pipe.unet
    forward = unet.forward

    def counting(sample: torch.Tensor, *args: object, **kwargs: object) -> object:
        rows.append(len(sample))
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(unet, "forward", counting)
    run([request(seed=k) for k in range(4)])
    assert rows == [8, 8, 8, 8]
    rows.clear()
    run([request(seed=k) for k in range(12)])
    assert max(rows) == 16 and sum(rows) == 12 * 2 * 4


def test_a_job_may_join_in_mid_run(engine: Engine) -> None:
    early, late = request(seed=1, steps=8), request(seed=2, steps=3)
    logs: tuple[list[Event], list[Event]] = ([], [])
    engine.submit("early", early, logs[0].append)
    for _ in range(4):
        engine.step()
    engine.submit("late", late, logs[1].append)
    while engine.step():
        pass
    for one, log in zip((early, late), logs, strict=True):
        alone: list[Event] = []
        engine.submit("alone", one, alone.append)
        while engine.step():
            pass
        assert np.abs(pixels(log) - pixels(alone)).max() <= 1


def test_cancelled_at_once_and_the_next_run_is_as_before(engine: Engine, run: Run) -> None:
    before = pixels(run([request()])[0])
    victim: list[Event] = []
    bystander: list[Event] = []
    engine.submit("victim", request(steps=50), victim.append)
    engine.submit("bystander", request(), bystander.append)
    while not any(isinstance(event, Step) for event in victim):
        engine.step()
    engine.cancel("victim")
    told = len(victim)
    assert isinstance(victim[-1], Cancelled)
    while engine.step():
        pass
    assert len(victim) == told
    assert np.abs(pixels(bystander) - before).max() <= 1
    assert np.array_equal(pixels(run([request()])[0]), before)


def test_a_job_is_cancelled_before_it_began(engine: Engine) -> None:
    log: list[Event] = []
    engine.submit("a", request(), log.append)
    engine.cancel("a")
    engine.cancel("unknown")
    assert [event.kind for event in log] == ["cancelled"] and not engine.step()


def test_grad_is_off_in_every_job_and_untouched_outside(engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    grads: list[bool] = []
    unet = engine._loader.get(engine._models["tiny"]).pipe.unet
    forward = unet.forward

    def looking(*args: object, **kwargs: object) -> object:
        grads.append(torch.is_grad_enabled())
        return forward(*args, **kwargs)

    monkeypatch.setattr(unet, "forward", looking)
    run([request(steps=3), request(steps=6)])
    assert not any(grads) and torch.is_grad_enabled()


def test_a_bad_job_ends_alone(engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unet = engine._loader.get(engine._models["tiny"]).pipe.unet
    forward = unet.forward

    def explode(sample: torch.Tensor, *args: object, **kwargs: object) -> object:
        if any(float(row.flatten()[0]) == poison for row in sample):
            raise RuntimeError("secret detail")
        return forward(sample, *args, **kwargs)

    poison = float(torch.randn(1, 4, 8, 8, generator=torch.Generator("cpu").manual_seed(13)).flatten()[0])
    monkeypatch.setattr(unet, "forward", explode)
    bad = request(seed=13, sampler="DDIM")
    good, failed = run([request(seed=1), bad])
    assert isinstance(good[-1], Rendered)
    assert isinstance(failed[-1], Failed) and "secret" not in failed[-1].message and failed[-1].message.endswith(".")


def test_numbers_that_are_no_numbers_are_an_error_and_never_a_picture(models: Path, tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "broken")
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.unet.conv_out.bias.data.fill_(float("nan"))
    pipe.unet.save_pretrained(folder / "unet")
    engine = Engine([tmp_path], "cpu", "fast")
    log: list[Event] = []
    engine.submit("a", request().model_copy(update={"model": "broken"}), log.append)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while engine.step():
            pass
    assert isinstance(log[-1], Failed) and "invalid numbers" in log[-1].message


def test_two_models_run_side_by_side(run: Run) -> None:
    mine, other = request(), request().model_copy(update={"model": "other"})
    together = run([mine, other])
    for one, log in zip((mine, other), together, strict=True):
        assert np.array_equal(pixels(log), pixels(run([one])[0]))


def test_a_broken_model_is_a_sentence(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "cut")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    engine = Engine([tmp_path], "cpu", "fast")
    log: list[Event] = []
    engine.submit("a", request().model_copy(update={"model": "cut"}), log.append)
    while engine.step():
        pass
    assert isinstance(log[-1], Failed) and log[-1].message.startswith("The model cut cannot be loaded")


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 64), (64, 128), (72, 104)])
def test_other_sizes_and_shapes_work(run: Run, width: int, height: int) -> None:
    assert pixels(run([request(width=width, height=height)])[0]).shape == (height, width, 3)


def test_guidance_and_negative_prompt_and_weights_and_seed_matter(run: Run) -> None:
    base = pixels(run([request()])[0])
    changes: list[tuple[str, object]] = [("negative", "blue"), ("prompt", "a (red:1.5) boat"), ("guidance", 9.0), ("seed", 6), ("steps", 5)]
    for field, value in [*changes, ("sampler", "Euler a")]:
        assert not np.array_equal(pixels(run([request(**{field: value})])[0]), base), field


def test_a_long_prompt_is_neither_cut_nor_refused(run: Run) -> None:
    filler = "abc def " * WINDOW
    one, two = (pixels(run([request(prompt=filler + end)])[0]) for end in ("red", "xyz"))
    assert not np.array_equal(one, two)


def test_an_absurdly_long_prompt_is_a_sentence(run: Run) -> None:
    (log,) = run([request(prompt="word " * 3000)])
    assert isinstance(log[-1], Failed) and "Shorten it" in log[-1].message


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_tells_each_step_once_with_a_preview(run: Run, sampler: str) -> None:
    for schedule in SAMPLERS[sampler].schedules:
        for steps in (1, 2, 3, 7):
            if schedule in ("Karras", "Exponential") and steps < SAMPLERS[sampler].min_steps_sigmas:
                continue
            (log,) = run([request(sampler=sampler, schedule=schedule, steps=steps)])
            assert isinstance(log[0], Started) and log[0].steps == steps
            told = [event for event in log if isinstance(event, Step)]
            assert [event.i for event in told] == list(range(1, steps + 1)), (schedule, steps)
            assert all(event.n == steps and event.preview for event in told)
            assert isinstance(log[-1], Rendered)


@pytest.mark.parametrize("previews", ["fast", "fine", "off"])
def test_previews_change_no_pixel(models: Path, run: Run, previews: str) -> None:
    engine = Engine([models], "cpu", previews)  # type: ignore[arg-type]
    log: list[Event] = []
    engine.submit("a", request(), log.append)
    while engine.step():
        pass
    assert np.array_equal(pixels(log), pixels(run([request()])[0]))
    shown = [event.preview for event in log if isinstance(event, Step)]
    assert all(shown) if previews != "off" else not any(shown)
    if previews == "fine":
        last = np.asarray(Image.open(io.BytesIO(shown[-1] or b""))).astype(int)
        assert np.abs(last - pixels(log)).mean() < 12, "the last clean estimate is the picture"


def test_only_the_last_models_stay_in_memory(models: Path) -> None:
    engine = Engine([models], "cpu", "off")
    for name in ("tiny", "other"):
        assert isinstance(engine._loader.get(engine._models[name]), Loaded)
    assert "tiny" in engine._loader and "other" in engine._loader
