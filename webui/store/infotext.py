"""The `parameters` text of stable-diffusion-webui 1.10, which most other programs read and write too.

A courtesy: nothing in it is escaped, so a prompt with a line "Negative prompt:" cannot be told from a negative prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from webui import __version__
from webui.errors import InvalidRequest
from webui.request import Request, Resolved

NEGATIVE = "Negative prompt:"

# Bounded and without leading blanks, so that it takes linear time on any text.
PAIR = re.compile(r'(\w[\w \-/]{1,60}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
PAIRS = 3
"""A last line with fewer pairs than this belongs to the prompt."""

SCHEDULE_THERE = {"Automatic": "Uniform"}
"""Our schedules whose name means another one there: their Automatic is Karras for some samplers, ours is the model's own."""

SCHEDULE_HERE = {"Uniform": "Automatic", "Simple": "SGM Uniform"}

AUTOMATIC_THERE = {
    "DPM++ 2M": "Karras",
    "DPM++ SDE": "Karras",
    "DPM2": "Karras",
    "DPM2 a": "Karras",
    "DPM++ 2M SDE": "Exponential",
    "DPM++ 3M SDE": "Exponential",
}
"""What their Automatic is, where it is not the model's own."""

SUFFIXES = ("Karras", "Exponential", "SGM Uniform")
"""Programs before 1.9 wrote the schedule behind the sampler: "DPM++ 2M Karras"."""


def write(request: Resolved) -> str:
    """The request as `parameters` text."""
    pairs = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "Schedule type": SCHEDULE_THERE.get(request.schedule, request.schedule),
        "CFG scale": f"{request.guidance:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": request.model,
        "RNG": "CPU",
        # Not "0.1.0": a bare version below 1.6 switches the reader to the behaviour of its own old versions.
        "Version": f"stepwise-{__version__}",
    }
    line = ", ".join(f"{key}: {_quote(str(value))}" for key, value in pairs.items())
    negative = [f"{NEGATIVE} {request.negative}"] if request.negative else []
    return "\n".join([request.prompt, *negative, line]).strip()


def _quote(value: str) -> str:
    """As JSON where it would not be read back as it is."""
    plain = value.isprintable() and not any(sign in value for sign in ",:\n") and not value.startswith('"') and value == value.strip()
    return value if plain else json.dumps(value, ensure_ascii=False)


def read(text: str) -> Request | None:
    """What a `parameters` text says, as far as it goes: fields that are missing or out of bounds stay open; `None` if it says nothing."""
    *lines, last = text.strip().split("\n")
    pairs = {match[1]: _unquote(match[2].strip()) for match in PAIR.finditer(last)}
    if len(pairs) < PAIRS:
        return None
    lines = [line.strip() for line in lines]
    cut = next((k for k, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    prompts = {
        "prompt": "\n".join(lines[:cut]).strip(),
        "negative": "\n".join(lines[cut:]).removeprefix(NEGATIVE).strip(),
    }
    return Request.parse(_allowed(prompts | _fields(pairs)))


def _unquote(value: str) -> str:
    if value.startswith('"'):
        with suppress(ValueError):
            return str(json.loads(value))
    return value


def _fields(pairs: Mapping[str, str]) -> dict[str, Any]:
    size = SIZE.fullmatch(pairs.get("Size", ""))
    fields: dict[str, Any] = {"width": int(size[1]), "height": int(size[2])} if size else {}
    for key, field, kind in (("Steps", "steps", int), ("CFG scale", "guidance", float), ("Seed", "seed", int), ("Model", "model", str)):
        with suppress(KeyError, ValueError):
            fields[field] = kind(pairs[key])
    return fields | (_sampling(pairs["Sampler"], pairs.get("Schedule type")) if "Sampler" in pairs else {})


def _sampling(sampler: str, schedule: str | None) -> dict[str, str]:
    if schedule is None:
        for suffix in SUFFIXES:
            if sampler.endswith(f" {suffix}"):
                return {"sampler": sampler.removesuffix(f" {suffix}"), "schedule": suffix}
        return {"sampler": sampler, "schedule": "Automatic"}
    if schedule == "Automatic":
        return {"sampler": sampler, "schedule": AUTOMATIC_THERE.get(sampler, schedule)}
    return {"sampler": sampler, "schedule": SCHEDULE_HERE.get(schedule, schedule)}


def _allowed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a request takes; another program's bounds are not ours."""
    allowed = {}
    for field, value in fields.items():
        with suppress(InvalidRequest):
            Request.parse({field: value})
            allowed[field] = value
    return allowed
