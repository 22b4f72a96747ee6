"""Every offered pair of sampler and schedule, driven with an ideal denoiser that knows the clean picture."""

from __future__ import annotations

import inspect
import logging
import warnings
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from webui.engine import schedulers
from webui.engine.samplers import AUTOMATIC, FLOW_SAMPLERS, SAMPLERS, SCHEDULES, check
from webui.errors import InvalidRequest

BUILTIN = {"beta_start": 0.00085, "beta_end": 0.02, "beta_schedule": "scaled_linear", "prediction_type": "v_prediction"}
SD15 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "epsilon", "steps_offset": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "builtin": BUILTIN | {"timestep_spacing": "trailing", "steps_offset": 1},
    "sd15": SD15 | {"timestep_spacing": "leading"},
    "kolors": SD15 | {"timestep_spacing": "leading", "beta_end": 0.014, "num_train_timesteps": 1100},
}

STEPS = {"builtin": (1, 2, 3, 4, 20, 50, 150), "sd15": (1, 2, 3, 4, 20, 50, 100, 150), "kolors": (1, 2, 3, 20)}

ROUGH = {"DEIS": 0.35, "SA-Solver": 0.35, "TCD": 0.5, "PLMS": 1.0, "DDIM": 0.2, "DDPM": 0.1, "LCM": 0.1, "LMS": 5e-3}
"""How far from the clean picture a sampler may end; these never reach noise level 0. All others do, to 1e-3."""

EXACT = 2e-4
"""How far the reported clean estimate may be from the true one."""


TRUTH = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))


def drive(sampler: str, schedule: str, steps: int, config: dict[str, Any]) -> tuple[float, float, list[int]]:
    """Worst error of the reported x0, error of the end, and the steps that were told."""
    truth, told, worst = TRUTH, list[int](), [0.0]
    scheduler = schedulers.build(sampler, schedule, steps, 7, config)

    def emit(i: int, x0: torch.Tensor) -> None:
        told.append(i)
        worst[0] = max(worst[0], (x0 - truth).abs().max().item())

    schedulers.watch(scheduler, SAMPLERS[sampler], steps, torch.Generator(), emit)
    end = (walk(scheduler, sampler, steps, config) - truth).abs().max().item()
    return worst[0], end, told


def walk(scheduler: Any, sampler: str, steps: int, config: dict[str, Any]) -> torch.Tensor:
    """Where a scheduler arrives with a denoiser that knows the truth."""
    truth, generator = TRUTH, torch.Generator().manual_seed(3)
    scheduler.set_timesteps(steps)
    x: torch.Tensor = torch.randn(truth.shape, generator=generator) * scheduler.init_noise_sigma
    if hasattr(scheduler, "sigmas") and scheduler.init_noise_sigma > 2:
        x = x + truth  # sigma-space samplers start from x0 + sigma noise
    else:
        start = scheduler.alphas_cumprod[int(scheduler.timesteps[0])]
        x = start.sqrt() * truth + (1 - start).sqrt() * x
    extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for t in scheduler.timesteps:
        x = scheduler.step(_answer(scheduler, sampler, x, t, truth, config), t, x, **extra, return_dict=False)[0]
    return x


def _answer(scheduler: Any, sampler: str, x: torch.Tensor, t: Any, truth: torch.Tensor, config: dict[str, Any]) -> torch.Tensor:
    """What a denoiser that knows the truth says of `x`: it asks where the scheduler believes to be."""
    a, b, scale = _level(scheduler, sampler, t)
    noise = (x / scale - a * truth) / b
    return noise if config["prediction_type"] == "epsilon" else a * noise - b * truth


def _level(scheduler: Any, sampler: str, t: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(alpha, sigma) of the model's input, and what the sample is divided by to become it."""
    one = torch.ones(())
    if not hasattr(scheduler, "sigmas") or SAMPLERS[sampler].x0 == "alphas" or sampler in ("DDIM", "DDPM", "LCM"):
        alpha = scheduler.alphas_cumprod[int(t)]
        return alpha.sqrt(), (1 - alpha).sqrt(), one
    index = scheduler.step_index or 0
    sigma = scheduler.sigmas[index]
    if sampler == "DPM2" and not scheduler.state_in_first_order:
        sigma = scheduler.sigmas_interpol[index]
    elif sampler == "DPM2 a" and not scheduler.state_in_first_order:
        sigma = scheduler.sigmas_interpol[index - 1]
    elif sampler == "DPM++ SDE" and not scheduler.state_in_first_order:
        sigma = scheduler.mid_point_sigma
    sigma = torch.as_tensor(sigma)
    a = 1 / (sigma**2 + 1).sqrt()
    return a, sigma * a, one if SAMPLERS[sampler].x0 == "sigmas" else 1 / a


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_clean_estimate_is_right_at_every_step_and_the_end_is_clean(sampler: str, family: str) -> None:
    row = SAMPLERS[sampler]
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    for schedule in row.schedules:
        for steps in STEPS[family]:
            if steps == 50 and row.max_steps > 50:
                continue
            try:
                check(sampler, schedule, steps)
            except InvalidRequest:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                estimate, end, told = drive(sampler, schedule, steps, CONFIGS[family])
            where = f"{schedule}, {steps} steps"
            assert told == list(range(1, steps + 1)), where
            assert estimate < EXACT, where
            assert end < (ROUGH.get(sampler, 1e-3) if steps >= 4 else 0.2), where


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_it_arrives_where_diffusers_own_scheduler_arrives(sampler: str) -> None:
    """The very same numbers, wherever diffusers needs no correction: from four steps on, with noise levels that do not coincide."""
    row, config = SAMPLERS[sampler], CONFIGS["sd15"]
    kind = getattr(diffusers, row.scheduler)
    known = inspect.signature(kind.__init__).parameters
    for schedule in row.schedules:
        options = {"clip_sample": False, "noise_sampler_seed": 7} | dict(row.options) | dict(SCHEDULES[schedule])
        theirs = kind.from_config(config, **{name: value for name, value in options.items() if name in known})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = walk(theirs, sampler, 20, config)
            ours = walk(schedulers.build(sampler, schedule, 20, 7, config), sampler, 20, config)
        assert torch.equal(ours, expected), schedule


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_few_steps_start_from_noise(sampler: str) -> None:
    for steps in (1, 2, 3):
        scheduler = schedulers.build(sampler, "Automatic", steps, 0, CONFIGS["sd15"])
        scheduler.set_timesteps(steps)
        assert float(scheduler.timesteps[0]) > 600, steps


def test_a_sampler_that_draws_noise_by_itself_draws_it_from_the_seed() -> None:
    ends = [drive("DPM++ SDE", "Karras", 6, CONFIGS["builtin"])[1] for _ in range(2)]
    torch.manual_seed(99)
    assert ends[0] == ends[1] == drive("DPM++ SDE", "Karras", 6, CONFIGS["builtin"])[1]


def test_latents_are_never_clipped() -> None:
    for name, row in SAMPLERS.items():
        if "clip_sample" not in inspect.signature(getattr(diffusers, row.scheduler).__init__).parameters:
            continue
        config = schedulers.build(name, "Automatic", 20, 0, {**CONFIGS["sd15"], "clip_sample": True}).config
        assert not config.get("clip_sample", False), name


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_scheduler_is_the_one_that_diffusers_builds(sampler: str) -> None:
    """Built without the constructor's 1000 steps, it walks the same noise levels."""
    row = SAMPLERS[sampler]
    kind = getattr(diffusers, row.scheduler)
    for schedule in row.schedules:
        ours = schedulers.build(sampler, schedule, 20, 0, CONFIGS["sd15"])
        theirs = kind.from_config(dict(ours.config))
        assert type(ours) is kind and ours.config == theirs.config
        for scheduler in (ours, theirs):
            scheduler.set_timesteps(20)
        assert torch.equal(ours.timesteps, theirs.timesteps) and ours.init_noise_sigma == theirs.init_noise_sigma
        if hasattr(theirs, "sigmas"):
            assert torch.equal(ours.sigmas, theirs.sigmas)


@pytest.mark.parametrize("sampler", ["DDIM", "PLMS"])
def test_a_models_own_spacing_is_corrected_where_the_sampler_cannot_follow_it(sampler: str) -> None:
    config = CONFIGS["sd15"] | {"timestep_spacing": "linspace"}
    for steps in (5, 10, 20):
        assert drive(sampler, "Automatic", steps, config)[1] < 0.2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_model_that_starts_from_pure_noise_is_not_given_to_a_sampler_that_cannot(sampler: str) -> None:
    config = CONFIGS["builtin"] | {"rescale_betas_zero_snr": True}
    try:
        scheduler = schedulers.build(sampler, "Automatic", 20, 0, config)
    except InvalidRequest as refused:
        assert refused.field == "sampler" and "Euler" in refused.message
    else:
        assert scheduler.config.rescale_betas_zero_snr
        scheduler.set_timesteps(20)
        assert float(scheduler.alphas_cumprod[-1]) < 1e-6


STRAIGHT: dict[str, dict[str, Any]] = {"plain": {"shift": 3.0}, "dynamic": {"shift": 3.0, "use_dynamic_shifting": True}}


def straight(sampler: str, schedule: str, steps: int, config: dict[str, Any], passed: str) -> tuple[float, float, list[int]]:
    """As `drive`, on a straight path; `passed` says which of its arguments the pipeline gives to the scheduler."""
    generator = torch.Generator().manual_seed(3)
    truth, noise = torch.randn(2, 1, 4, 8, 8, generator=generator)
    scheduler = schedulers.build(sampler, schedule, steps, 7, config, FLOW_SAMPLERS)
    told: list[int] = []
    worst = [0.0]

    def emit(i: int, x0: torch.Tensor) -> None:
        told.append(i)
        worst[0] = max(worst[0], (x0 - truth).abs().max().item())

    schedulers.watch(scheduler, FLOW_SAMPLERS[sampler], steps, torch.Generator(), emit)
    sigmas = {"sigmas": np.linspace(1, 1 / steps, steps)} if passed == "sigmas" else {"num_inference_steps": steps}
    scheduler.set_timesteps(**sigmas, **({"mu": 0.8} if config.get("use_dynamic_shifting") else {}))
    x = noise
    extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for t in scheduler.timesteps:
        sigma = scheduler.sigmas[scheduler.step_index or 0]
        x = scheduler.step((x - truth) / sigma, t, x, **extra, return_dict=False)[0]
    return worst[0], (x - truth).abs().max().item(), told


@pytest.mark.parametrize("passed", ["steps", "sigmas"])
@pytest.mark.parametrize("path", STRAIGHT)
@pytest.mark.parametrize("sampler", FLOW_SAMPLERS)
def test_on_a_straight_path_the_clean_estimate_is_right_and_the_end_is_clean(sampler: str, path: str, passed: str) -> None:
    row = FLOW_SAMPLERS[sampler]
    takes = inspect.signature(getattr(diffusers, row.scheduler).set_timesteps).parameters
    if (passed == "sigmas" and "sigmas" not in takes) or (path == "dynamic" and "mu" not in takes):
        return  # no family that passes it offers the sampler: test_families.py runs what is offered
    for schedule in row.schedules:
        for steps in (1, 2, 3, 20, 50, 100, 150):
            if steps <= row.max_steps:
                estimate, end, told = straight(sampler, schedule, steps, STRAIGHT[path], passed)
                assert told == list(range(1, steps + 1)), (schedule, steps)
                assert estimate < EXACT and end < 1e-3, (schedule, steps)


@pytest.mark.parametrize("sampler", FLOW_SAMPLERS)
def test_on_a_straight_path_a_scheduler_is_the_one_that_diffusers_builds(sampler: str) -> None:
    row = FLOW_SAMPLERS[sampler]
    kind = getattr(diffusers, row.scheduler)
    for schedule in row.schedules:
        ours = schedulers.build(sampler, schedule, 20, 0, STRAIGHT["plain"], FLOW_SAMPLERS)
        theirs = kind.from_config(dict(ours.config))
        assert type(ours) is kind and ours.config == theirs.config
        for scheduler in (ours, theirs):
            scheduler.set_timesteps(20)
        assert torch.equal(ours.timesteps, theirs.timesteps) and torch.equal(ours.sigmas, theirs.sigmas)


def test_the_bend_of_a_path_is_kept_under_either_of_its_names() -> None:
    for config in ({"shift": 3.0}, {"flow_shift": 3.0}):
        euler = schedulers.build("Euler", AUTOMATIC, 4, 0, config, FLOW_SAMPLERS)
        multistep = schedulers.build("DPM++ 2M", AUTOMATIC, 4, 0, config, FLOW_SAMPLERS)
        assert euler.config.shift == multistep.config.flow_shift == 3.0
