"""Settings of other programs that write JSON where stable-diffusion-webui writes its `parameters` text: SwarmUI and Fooocus."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

LONGEST = 1_000_000
"""Characters that are read."""

SWARM = "sui_image_params"

NAMES: Mapping[str, tuple[str, type]] = {
    # Their key in lower case -> our field, and what its value is.
    "prompt": ("prompt", str),
    "negativeprompt": ("negative", str),
    "negative_prompt": ("negative", str),
    "steps": ("steps", int),
    "cfgscale": ("guidance", float),
    "guidance_scale": ("guidance", float),
    "seed": ("seed", int),
    "width": ("width", int),
    "height": ("height", int),
    "model": ("model", str),
    "base_model": ("model", str),
}

SAMPLERS: Mapping[str, str] = {
    # As ComfyUI calls them.
    "euler": "Euler", "euler_ancestral": "Euler a", "euler_a": "Euler a", "heun": "Heun", "dpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a", "lms": "LMS",
    "dpmpp_sde": "DPM++ SDE", "dpmpp_sde_gpu": "DPM++ SDE", "dpmpp_2m": "DPM++ 2M", "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_gpu": "DPM++ 2M SDE", "dpmpp_3m_sde": "DPM++ 3M SDE", "dpmpp_3m_sde_gpu": "DPM++ 3M SDE", "ddim": "DDIM",
    "uni_pc": "UniPC", "lcm": "LCM",
}  # fmt: skip

SCHEDULES: Mapping[str, str] = {
    "normal": "Automatic", "karras": "Karras", "exponential": "Exponential", "sgm_uniform": "SGM Uniform", "simple": "SGM Uniform",
    "beta": "Beta",
}  # fmt: skip


class Foreign(NamedTuple):
    """Fields of a request, unchecked, and what else there was."""

    fields: Mapping[str, Any]
    more: Mapping[str, str]


def from_json(text: str) -> Foreign | None:
    """The settings in another program's JSON; `None` if it is no such JSON."""
    if not text.lstrip().startswith("{") or len(text) > LONGEST:
        return None
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    values = found.get(SWARM, found)
    if not isinstance(values, dict) or not ({"prompt", "seed"} <= set(values)):
        return None
    fields: dict[str, Any] = {}
    more: dict[str, str] = {}
    for key, value in values.items():
        name, kind = NAMES.get(key.lower(), ("", str))
        if name and (made := _made(value, kind)) is not None:
            fields[name] = made
        elif key.lower() not in ("sampler", "scheduler", "resolution") and isinstance(value, str | int | float):
            more[key] = str(value)
    size = re.fullmatch(r"\D?(\d{1,5})\D{1,3}(\d{1,5})\D?", str(values.get("resolution", "")))
    if size:
        fields |= {"width": int(size[1]), "height": int(size[2])}
    fields |= sampling(str(values.get("sampler", "")), str(values.get("scheduler", "normal"))) or {}
    return Foreign(fields, {key: value for key, value in more.items() if re.fullmatch(r"\w[\w \-/]{1,60}", key) and value.isprintable()})


def _made(value: Any, kind: type) -> Any:
    """Numbers may stand there as text."""
    if isinstance(value, bool):
        return None
    try:
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        return None


def sampling(sampler: str, schedule: str | None) -> dict[str, str] | None:
    """Sampler and schedule in our words, where ComfyUI's stand there; the schedule may be a part of the sampler's name."""
    if sampler in SAMPLERS:
        return {"sampler": SAMPLERS[sampler], "schedule": SCHEDULES.get(schedule or "", "Automatic")}
    for end, ours in SCHEDULES.items():
        if (name := sampler.removesuffix(f"_{end}")) != sampler and name in SAMPLERS:
            return {"sampler": SAMPLERS[name], "schedule": ours}
    return None
