"""Samplers and schedules under the names that artists know. A literal table; knows nothing of torch, so that the page may read it.

Which pairs are offered was measured with an ideal denoiser at 1 to 150 steps; what does not end at the clean picture is not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from webui.errors import InvalidRequest

AUTOMATIC = "Automatic"

SCHEDULES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # name -> scheduler options; Automatic is the model's own configuration
        AUTOMATIC: {},
        "Karras": {"use_karras_sigmas": True},
        "Exponential": {"use_exponential_sigmas": True},
        "Beta": {"use_beta_sigmas": True},
        "SGM Uniform": {"timestep_spacing": "trailing"},
        "Normal": {"timestep_spacing": "linspace"},
    }
)

SIGMAS = (AUTOMATIC, "Karras", "Exponential", "Beta")
ALL = (*SIGMAS, "SGM Uniform", "Normal")


class Sampler(NamedTuple):
    """One row: a diffusers scheduler class and how it is set up."""

    scheduler: str
    options: Mapping[str, Any]
    schedules: tuple[str, ...]
    x0: Literal["returned", "alphas", "sigmas", "flow"]
    """Where the clean estimate comes from: the scheduler returns it, or it follows from alphas_cumprod[t], from sigmas[i], or, where the
    path is straight, from sigmas[i] in another way."""
    converges: bool = True
    """Whether more steps lead to one picture; samplers that add noise at every step never settle."""
    max_steps: int = 150
    min_steps: int = 1
    min_steps_sigmas: int = 1
    """Fewest steps with Karras, Exponential or Beta."""
    calls: int = 1
    """How often a step asks the model: what a step costs."""


MULTISTEP, SINGLESTEP = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"
SDE = {"algorithm_type": "sde-dpmsolver++"}
ODE = {"algorithm_type": "dpmsolver++"}

SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {
        "DPM++ 2M": Sampler(MULTISTEP, ODE | {"solver_order": 2}, ALL, "sigmas"),
        "DPM++ 2M SDE": Sampler(MULTISTEP, SDE | {"solver_order": 2}, ALL, "sigmas", converges=False),
        "DPM++ 3M SDE": Sampler(MULTISTEP, SDE | {"solver_order": 3}, ALL, "sigmas", converges=False),
        "DPM++ 2S": Sampler(
            SINGLESTEP, ODE | {"solver_order": 2, "final_sigmas_type": "zero", "lower_order_final": True}, SIGMAS, "sigmas"
        ),
        "DPM++ SDE": Sampler("DPMSolverSDEScheduler", {}, ALL, "returned", converges=False, calls=2),
        "Euler": Sampler("EulerDiscreteScheduler", {}, ALL, "returned"),
        "Euler a": Sampler("EulerAncestralDiscreteScheduler", {}, (AUTOMATIC, "SGM Uniform", "Normal"), "returned", converges=False),
        "Heun": Sampler("HeunDiscreteScheduler", {}, ALL, "returned", calls=2),
        "LMS": Sampler("LMSDiscreteScheduler", {}, ALL, "returned"),
        "DPM2": Sampler("KDPM2DiscreteScheduler", {}, ALL, "returned", calls=2),
        "DPM2 a": Sampler("KDPM2AncestralDiscreteScheduler", {}, ALL, "returned", converges=False, calls=2),
        "DDIM": Sampler("DDIMScheduler", {"set_alpha_to_one": False}, (AUTOMATIC, "SGM Uniform"), "returned"),
        "DDPM": Sampler("DDPMScheduler", {}, (AUTOMATIC, "SGM Uniform", "Normal"), "returned", converges=False),
        "PLMS": Sampler(
            "PNDMScheduler", {"skip_prk_steps": True, "set_alpha_to_one": False}, (AUTOMATIC, "SGM Uniform"), "alphas", min_steps=5
        ),
        "UniPC": Sampler("UniPCMultistepScheduler", {}, ALL, "sigmas"),
        "DEIS": Sampler("DEISMultistepScheduler", {}, ALL, "sigmas", min_steps_sigmas=2),
        "LCM": Sampler("LCMScheduler", {}, (AUTOMATIC,), "returned", converges=False, max_steps=50),
        "TCD": Sampler("TCDScheduler", {}, (AUTOMATIC,), "alphas", converges=False, max_steps=50),
        "SA-Solver": Sampler("SASolverScheduler", {}, ALL, "sigmas", converges=False, min_steps_sigmas=2),
    }
)


FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

FLOW_SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {
        # For models that were trained on straight paths (rectified flow: Liu et al. 2023). DEIS and SA-Solver end far from the clean
        # picture there, and DPM++ with Karras in no number at all.
        "Euler": Sampler("FlowMatchEulerDiscreteScheduler", {}, SIGMAS, "flow"),
        "Heun": Sampler("FlowMatchHeunDiscreteScheduler", {}, (AUTOMATIC,), "flow", calls=2),
        "DPM++ 2M": Sampler(MULTISTEP, ODE | FLOW | {"solver_order": 2}, (AUTOMATIC,), "flow"),
        "DPM++ 2M SDE": Sampler(MULTISTEP, SDE | FLOW | {"solver_order": 2}, (AUTOMATIC,), "flow", converges=False),
        "UniPC": Sampler("UniPCMultistepScheduler", FLOW, (AUTOMATIC,), "flow"),
        "LCM": Sampler("FlowMatchLCMScheduler", {}, (AUTOMATIC,), "flow", converges=False, max_steps=50),
    }
)


def named(sampler: str, schedule: str, samplers: Mapping[str, Sampler] = SAMPLERS) -> None:
    """Whether there are such a sampler and such a schedule.

    Raises:
        InvalidRequest: there are not; the sentence lists what there is.
    """
    if sampler not in samplers:
        raise InvalidRequest(f"There is no sampler called {sampler!r}. There are: {', '.join(samplers)}.", "sampler")
    if schedule not in SCHEDULES:
        raise InvalidRequest(f"There is no schedule called {schedule!r}. There are: {', '.join(SCHEDULES)}.", "schedule")


def check(sampler: str, schedule: str, steps: int, samplers: Mapping[str, Sampler] = SAMPLERS) -> None:
    """Whether these three go together.

    Raises:
        InvalidRequest: they do not; the sentence says what does.
    """
    named(sampler, schedule, samplers)
    row = samplers[sampler]
    if schedule not in row.schedules:
        raise InvalidRequest(f"{sampler} does not work with the schedule {schedule}. It takes: {', '.join(row.schedules)}.", "schedule")
    if steps > row.max_steps:
        raise InvalidRequest(f"{sampler} takes at most {row.max_steps} steps.", "steps")
    if steps < row.min_steps:
        raise InvalidRequest(f"{sampler} needs at least {row.min_steps} steps.", "steps")
    if schedule in SIGMAS[1:] and steps < row.min_steps_sigmas:
        raise InvalidRequest(f"{sampler} with {schedule} needs at least {row.min_steps_sigmas} steps.", "steps")
