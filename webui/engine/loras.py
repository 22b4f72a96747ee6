"""LoRAs (Hu et al. 2021) as they are named in a prompt: `<lora:name:0.8>`. Knows nothing of torch."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import NamedTuple

from webui.engine.catalogue import Model
from webui.engine.families import FAMILIES
from webui.errors import InvalidRequest
from webui.request import Resolved

MOST = 8
"""LoRAs in one prompt. Each costs time in every layer that it changes."""

STRONGEST = 10.0

TAG = re.compile(r"<lora:([^<>\n]{0,300})>", re.IGNORECASE)


class Lora(NamedTuple):
    """One LoRA and how strongly it acts."""

    name: str
    text: float
    """On the text encoders."""
    picture: float
    """On the denoiser."""


def tags(prompt: str) -> tuple[str, tuple[Lora, ...]]:
    """The prompt without its LoRAs, and these in order of name; one that is named twice acts with the sum.

    `<lora:name>` is 1, `<lora:name:0.8>` is 0.8 on all parts, `<lora:name:0.5:0.8>` is 0.5 on the text encoders and 0.8 on the denoiser.

    Raises:
        InvalidRequest: a weight is no number or out of bounds, or there are too many.
    """
    found: dict[str, Lora] = {}
    for match in TAG.finditer(prompt):
        name, *weights = (part.strip() for part in match[1].split(":"))
        text = _weight(match[0], weights[0]) if weights else 1.0
        picture = _weight(match[0], weights[1]) if len(weights) > 1 else text
        before = found.get(name, Lora(name, 0.0, 0.0))
        found[name] = Lora(name, before.text + text, before.picture + picture)
    if len(found) > MOST:
        raise InvalidRequest(f"{len(found)} LoRAs are too many: at most {MOST} in one prompt.", "prompt")
    return TAG.sub("", prompt).strip() if found else prompt, tuple(sorted(found.values()))


def check(request: Resolved, models: Mapping[str, Model], family: str) -> None:
    """Whether the LoRAs that a request names are there and suit its model.

    Raises:
        InvalidRequest: as `tags` and `known`; or one is named in the negative prompt.
    """
    if TAG.search(request.negative_text):
        raise InvalidRequest("LoRAs belong into the prompt, not into the negative prompt. Move <lora:...> there.", "negative")
    known(models, tags(request.text)[1], family)


def fitting(models: Mapping[str, Model], family: str) -> dict[str, Model]:
    """The LoRAs that models of this family take, by the shortest name that a prompt can call each of them."""
    loras = {path: model for path, model in models.items() if model.kind == "lora"}
    meant: dict[str, str] = {}
    for path in loras:
        for short in _called(path):
            meant.setdefault(short, path)
    found = {}
    for path, model in loras.items():
        if FAMILIES[family].loras and model.family in ("", family):
            found[min((short for short in _called(path) if meant[short] == path), key=len)] = model
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def known(models: Mapping[str, Model], loras: tuple[Lora, ...], family: str) -> dict[str, Model]:
    """The files of these LoRAs, by the names that the prompt calls them.

    Raises:
        InvalidRequest: there is none of that name, and the sentence names the nearest; or it is for models of another family.
    """
    if loras and not FAMILIES[family].loras:
        raise InvalidRequest(f"{family} models take no LoRAs. Remove <lora:...> from the prompt.", "prompt")
    return {lora.name: _suited(models, lora.name, family) for lora in loras}


def _suited(models: Mapping[str, Model], name: str, family: str) -> Model:
    # Of ten thousand files only those are looked at that may be meant.
    meant = [models[path] for path in models if name in path and name in _called(path)]
    found = next((model for model in meant if model.kind == "lora"), None)
    if found is None and (damaged := next((model for model in meant if model.reason), None)):
        raise InvalidRequest(f"The LoRA {name[:80]} cannot be used: {damaged.reason}", "prompt")
    if found is None:
        there = [short for path, model in models.items() if model.kind == "lora" for short in _called(path)]
        near = list(dict.fromkeys(difflib.get_close_matches(name, there, 3, 0.4)))
        hint = f"Did you mean: {', '.join(near)}?" if near else "Put its .safetensors file into models/loras/."
        raise InvalidRequest(f"There is no LoRA called {name[:80]!r}. {hint}", "prompt")
    made_for = found.family
    if made_for and made_for != family:
        raise InvalidRequest(f"The LoRA {name[:80]} is for {made_for} models, and this one is {family}.", "prompt")
    return found


def _called(path: str) -> tuple[str, ...]:
    """What a file is called in a prompt: by its name alone, by its path, or by all of it."""
    return PurePath(path).stem, str(PurePath(path).with_suffix("")), path


def _weight(tag: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not abs(weight) <= STRONGEST:  # also where it is no number
        raise InvalidRequest(f"{tag[:80]} needs a weight from -{STRONGEST:g} to {STRONGEST:g}, such as <lora:name:0.8>.", "prompt")
    return weight
