"""The `parameters` text of stable-diffusion-webui 1.10, which most other programs read and write too.

A courtesy: nothing in it is escaped, so a prompt with a line "Negative prompt:" cannot be told from a negative prompt. The prompts in it
are those that were encoded, so that other programs make the same of them; what was typed, if it was something else, is among the pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NamedTuple

from webui import __version__
from webui.errors import InvalidRequest
from webui.request import Request, Resolved
from webui.store.foreign import from_json, sampling

NEGATIVE = "Negative prompt:"

# Bounded and without leading blanks, so that it takes linear time on any text.
PAIR = re.compile(r'(\w[\w \-/]{1,60}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
JSON = json.JSONDecoder()
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


TYPED = {"prompt": "Typed prompt", "negative": "Typed negative prompt"}
STYLES = "Styles"
"""A JSON list where it is ours. Other programs write names in a row, of styles that are in their prompts already."""

VAE = "VAE"
"""The file that took the place of the model's own autoencoder."""

OWN_VAE = "Default (model)"
"""What Fooocus calls the model's own."""

DISTILLED = "Distilled CFG Scale"
"""Forge's guidance of FLUX, beside a CFG scale of 1."""


class Said(NamedTuple):
    """What a `parameters` text says."""

    request: Request
    """As far as it goes: fields that are missing or out of bounds stay open."""
    more: Mapping[str, str]
    """What no request has a field for, such as "Clip skip" or "Lora hashes", in its order."""


def write(request: Resolved, more: Mapping[str, str] | None = None) -> str:
    """The request as `parameters` text; `more` stands among its pairs, but changes none of them."""
    pairs: dict[str, Any] = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "Schedule type": SCHEDULE_THERE.get(request.schedule, request.schedule),
        "CFG scale": f"{request.guidance:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": request.model,
        # By its file's name, as other programs look for it.
        **({VAE: PurePath(request.vae).name} if request.vae else {}),
        "RNG": "CPU",
        **({STYLES: json.dumps(request.styles, ensure_ascii=False)} if request.styles else {}),
        **({TYPED["prompt"]: request.prompt} if request.drawn is not None else {}),
        **({TYPED["negative"]: request.negative} if request.drawn_negative is not None else {}),
    }
    last = {
        # Not "0.1.0": a bare version below 1.6 switches the reader to the behaviour of its own old versions.
        "Version": f"stepwise-{__version__}",
    }
    kept = {key: value for key, value in (more or {}).items() if key not in pairs and key not in last}
    line = ", ".join(f"{key}: {_quote(str(value))}" for key, value in (pairs | kept | last).items())
    negative = [f"{NEGATIVE} {request.negative_text}"] if request.negative_text else []
    return "\n".join([request.text, *negative, line]).strip()


def _quote(value: str) -> str:
    """As JSON where it would not be read back as it is."""
    plain = value.isprintable() and not any(sign in value for sign in ",:\n") and not value.startswith('"') and value == value.strip()
    return value if plain else json.dumps(value, ensure_ascii=False)


def read(text: str) -> Request | None:
    """The request of a `parameters` text; `None` if it says nothing."""
    said = parse(text)
    return said.request if said else None


def parse(text: str) -> Said | None:
    """What a `parameters` text says; `None` if that is nothing. SwarmUI's and Fooocus's JSON is understood too."""
    if (foreign := from_json(text)) is not None:
        return Said(Request.parse(_allowed(foreign.fields)), foreign.more)
    *lines, last = text.strip().split("\n")
    pairs = _pairs(last)
    if len(pairs) < PAIRS:
        return None
    lines = [line.strip() for line in lines]
    cut = next((k for k, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    prompts = {
        "prompt": "\n".join(lines[:cut]).strip(),
        "negative": "\n".join(lines[cut:]).removeprefix(NEGATIVE).strip(),
    }
    fields, used = _fields(pairs)
    typed = {field: pairs[key] for field, key in TYPED.items() if key in pairs}
    more = {key: value for key, value in pairs.items() if key not in used and key not in WRITTEN}
    return Said(Request.parse(_allowed(prompts | typed | fields)), more)


def _pairs(line: str) -> dict[str, str]:
    """Keys and values. CivitAI writes JSON that is not quoted: it is taken whole, where stable-diffusion-webui stops at its first comma."""
    pairs, at = {}, 0
    while match := PAIR.search(line, at):
        value, at = match[2].strip(), match.end()
        if value.startswith(("[", "{")):
            with suppress(ValueError, RecursionError):
                end = JSON.raw_decode(line, match.start(2))[1]
                if line[end : end + 1] in ("", ","):
                    value, at = line[match.start(2) : end], end + 1
        pairs[match[1]] = _unquote(value)
    # Others write "CFG Scale". What has our case goes first.
    return {name: value for key, value in pairs.items() if (name := KNOWN.get(key.lower(), key)) == key or name not in pairs}


def _unquote(value: str) -> str:
    if value.startswith('"'):
        with suppress(ValueError):
            return str(json.loads(value))
    return value


SETTINGS = ("Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model")
WRITTEN = (*SETTINGS, "RNG", "Version", *TYPED.values())
"""Keys that `write` has values for of its own."""

KNOWN = {key.lower(): key for key in SETTINGS}


def _fields(pairs: Mapping[str, str]) -> tuple[dict[str, Any], set[str]]:
    """Fields of a request, and the keys, besides `WRITTEN`, that they were taken from."""
    size, used = SIZE.fullmatch(pairs.get("Size", "")), set()
    fields: dict[str, Any] = {"width": int(size[1]), "height": int(size[2])} if size else {}
    for key, field, kind in (("Steps", "steps", int), ("CFG scale", "guidance", float), ("Seed", "seed", int), ("Model", "model", str)):
        with suppress(KeyError, ValueError):
            fields[field] = kind(pairs[key])
    if fields.get("guidance") == 1 and DISTILLED in pairs:
        with suppress(ValueError):
            fields["guidance"] = float(pairs[DISTILLED])
            used.add(DISTILLED)
    if pairs.get(VAE):
        fields["vae"] = None if pairs[VAE] == OWN_VAE else pairs[VAE]
        used.add(VAE)
    with suppress(KeyError, ValueError, RecursionError):
        styles = json.loads(pairs[STYLES])
        if isinstance(styles, list):
            fields["styles"] = styles
            used.add(STYLES)
    return fields | (_sampling(pairs["Sampler"], pairs.get("Schedule type")) if "Sampler" in pairs else {}), used


def _sampling(sampler: str, schedule: str | None) -> dict[str, str]:
    if (comfy := sampling(sampler, schedule)) is not None:
        return comfy
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
