"""One diffusers scheduler per job, built from the model's own configuration, corrected, and watched.

Steps are counted and clean estimates taken here, in one place, at `scheduler.step`: it works for every sampler and pipeline, where
diffusers' `callback_on_step_end` counts model calls and is missing from many pipelines.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import diffusers
import torch
from torch import Tensor

from webui.engine.samplers import AUTOMATIC, SAMPLERS, SCHEDULES, Sampler
from webui.errors import InvalidRequest

SIGMA_FLAGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")

ZERO_SNR = "rescale_betas_zero_snr"
"""The last noise level is pure noise (Lin et al. 2024); a scheduler without this option would wash the picture out."""

FEW = 4
"""Below this many steps every spacing but "trailing" starts at a low noise level, and the picture comes out as noise."""


def build(sampler: str, schedule: str, steps: int, seed: int, config: Mapping[str, Any], samplers: Mapping[str, Sampler] = SAMPLERS) -> Any:
    """A fresh scheduler. `config` is that of the scheduler saved with the model, `samplers` the table of its family.

    Raises:
        InvalidRequest: the model needs what this sampler's scheduler does not know.
    """
    row = samplers[sampler]
    kind = getattr(diffusers, row.scheduler)
    known = _options(row)
    if config.get(ZERO_SNR) and ZERO_SNR not in known:
        others = ", ".join(name for name, other in samplers.items() if ZERO_SNR in _options(other))
        raise InvalidRequest(f"This model starts from pure noise, which {sampler} cannot do. Choose one of: {others}.", "sampler")
    wanted: dict[str, Any] = {"clip_sample": False} | dict(row.options)
    if "Normal" not in row.schedules and config.get("timestep_spacing") == "linspace":
        wanted["timestep_spacing"] = "leading"  # where Normal is not offered, the model's own linspace is as wrong
    if schedule != AUTOMATIC:
        wanted |= dict.fromkeys(SIGMA_FLAGS, False) | dict(SCHEDULES[schedule])
    if steps < FEW:
        wanted["timestep_spacing"] = "trailing"
    if "noise_sampler_seed" in known:
        # Its Brownian tree would otherwise be seeded by torch's global generator: not a function of the request.
        wanted["noise_sampler_seed"] = seed
    if row.x0 == "flow":
        # One number under two names: how far the path is bent towards noise (Esser et al. 2024).
        shift = config.get("shift", config.get("flow_shift", 1.0))
        wanted |= {"shift": shift, "flow_shift": shift}
    scheduler = _construct(kind, dict(config), {key: value for key, value in wanted.items() if key in known})
    _begin_at_first(scheduler)
    return scheduler


def _options(row: Sampler) -> Mapping[str, Any]:
    """What the row's scheduler can be told; `from_config` drops anything else without a word."""
    return inspect.signature(getattr(diffusers, row.scheduler).__init__).parameters


def _construct(kind: Any, config: dict[str, Any], options: dict[str, Any]) -> Any:
    """`kind.from_config`, without the noise levels of all 1000 training steps.

    Some constructors work them out only for `set_timesteps` to replace them: 0.3 s for DPM2, in which everybody's steps would wait.
    """
    quick = type(kind.__name__, (kind,), {"set_timesteps": lambda *args: None, "sigmas": torch.empty(0)})
    scheduler = quick.from_config(config, **options)  # type: ignore[attr-defined]
    scheduler.__class__ = kind
    return scheduler


def _begin_at_first(scheduler: Any) -> None:
    """Start at index 0 always: where rounded timesteps coincide, the lazy search takes the second and runs off the end."""
    if not hasattr(scheduler, "set_begin_index"):
        return
    inner = scheduler.set_timesteps

    @wraps(inner)  # pipelines look at the signature
    def set_timesteps(*args: Any, **kwargs: Any) -> None:
        inner(*args, **kwargs)
        scheduler.set_begin_index(0)

    scheduler.set_timesteps = set_timesteps


def watch(scheduler: Any, row: Sampler, steps: int, generator: torch.Generator, emit: Callable[[int, Tensor], None]) -> None:
    """Call `emit(i, x0)` after each of the `steps` steps; x0 has the shape of the latents.

    Samplers that call the model twice per step count once. Those that add noise draw it from the job's `generator`.
    """
    inner, calls, told = scheduler.step, 0, 0
    draws = "generator" in inspect.signature(inner).parameters

    @wraps(inner)  # pipelines look for "eta" and "generator" in the signature
    def step(output: Tensor, t: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        nonlocal calls, told
        if draws:
            # Pipelines of flow models hand none on: the noise would come from torch's global generator, which others draw from too.
            kwargs.setdefault("generator", generator)
        clean = None if row.x0 == "returned" else ESTIMATES[row.x0](scheduler, output, t, sample)
        result = inner(output, t, sample, *args, **kwargs)
        calls += 1
        done = calls * steps // len(scheduler.timesteps)
        if done > told:
            told = done
            emit(done, result[1] if clean is None else clean)
        return result

    scheduler.step = step


def _clean(output: Tensor, sample: Tensor, a: Tensor, b: Tensor, prediction: str) -> Tensor:
    """x0 of `sample` = a x0 + b noise, from the model's output (Ho et al. 2020; v: Salimans & Ho 2022)."""
    if prediction == "epsilon":
        return (sample - b * output) / a
    if prediction == "v_prediction":
        return a * sample - b * output
    return output


def _from_alphas(scheduler: Any, output: Tensor, t: Any, sample: Tensor) -> Tensor:
    alpha = scheduler.alphas_cumprod[int(t)].to(sample)
    return _clean(output, sample, alpha.sqrt(), (1 - alpha).sqrt(), scheduler.config.prediction_type)


def _from_sigmas(scheduler: Any, output: Tensor, t: Any, sample: Tensor) -> Tensor:
    sigma = scheduler.sigmas[scheduler.step_index or 0].to(sample)
    a = 1 / (sigma**2 + 1).sqrt()
    return _clean(output, sample, a, sigma * a, scheduler.config.prediction_type)


def _from_flow(scheduler: Any, output: Tensor, t: Any, sample: Tensor) -> Tensor:
    """x0 of `sample` = (1 - sigma) x0 + sigma noise, from the velocity noise - x0."""
    sigma: Tensor = scheduler.sigmas[scheduler.step_index or 0].to(sample)
    return sample - sigma * output


ESTIMATES: Mapping[str, Callable[[Any, Tensor, Any, Tensor], Tensor]] = {
    "alphas": _from_alphas,
    "sigmas": _from_sigmas,
    "flow": _from_flow,
}
