"""Links to settings: the page opens with those of its address; a button copies the link to those that it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.engine.samplers import SAMPLERS
from webui.engine.vaes import named
from webui.errors import InvalidRequest
from webui.panels.part import Part
from webui.panels.recipe import opened
from webui.request import Request
from webui.studio import Studio

RECIPE = "recipe"
"""Among what the browser kept, the end of the address that the page was opened with."""


def link_button() -> gr.Button:
    """Copies the link to the settings that are shown."""
    return gr.Button("Copy a link to these settings", size="sm", elem_id="recipe-link", elem_classes="chip")


def copies(button: gr.Button, controls: Mapping[str, Component]) -> None:
    """Wire the button, in the browser alone."""
    fields = json.dumps(list(Request.model_fields))
    script = f"(...values) => stepwise.share.recipe({json.dumps(list(controls))}, values, {fields})"
    button.click(None, list(controls.values()), None, js=script, show_progress="hidden", api_visibility="private")


def settings(studio: Studio, parts: list[Part], saved: Any) -> tuple[dict[str, Any], str]:
    """Control -> what it shows for the link in `saved`, what the browser kept; and a sentence about what cannot be opened, or nothing."""
    text = saved.get(RECIPE) if isinstance(saved, dict) else None
    if not isinstance(text, str) or not text:
        return {}, ""
    try:
        request = opened(text)
    except InvalidRequest as error:
        return {}, error.message
    sentence = ""
    if request.model is not None and request.model not in studio.models():
        sentence = f"This studio does not have the model {request.model}. The other settings of the link are here."
        request = request.model_copy(update={"model": None})
    if request.vae is not None:
        there = None
        with suppress(InvalidRequest):  # a damaged one is none
            there = named(studio.stock.models(), request.vae)
        sentence = sentence if there else f"This studio does not have the VAE {request.vae}. The other settings of the link are here."
        request = request.model_copy(update={"vae": there and there.name})
    if request.sampler is not None and request.sampler not in SAMPLERS:
        sentence = f"This studio does not have the sampler {request.sampler}. The other settings of the link are here."
        request = request.model_copy(update={"sampler": None, "schedule": None})
    if request.model is not None:  # what the link leaves open is the model's to say
        usual = studio.models()[request.model].defaults.model_dump()
        request = request.model_copy(update={name: value for name, value in usual.items() if getattr(request, name) is None})
    shown: dict[str, Any] = {}
    for part in parts:
        shown |= {name: value for name, value in part.show(request).items() if value is not None}
    return shown, sentence
