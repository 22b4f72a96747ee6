"""Links to settings: the page opens with those of its address, and a button copies the link to those that it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from webui.engine.samplers import SAMPLERS
from webui.errors import InvalidRequest
from webui.panels.part import Part
from webui.panels.parts.sampling import offer
from webui.panels.recipe import opened
from webui.panels.remember import QUIET
from webui.request import Request
from webui.studio import Studio


def link_button() -> gr.Button:
    """Copies the link to the settings that are shown."""
    return gr.Button("Copy a link to these settings", size="sm", elem_id="recipe-link", elem_classes="chip")


def link(studio: Studio, button: gr.Button, arrived: Dependency, parts: list[Part], controls: Mapping[str, Component]) -> None:
    """Wire the button; and once the page has `arrived`, show the settings of its address in place of what it remembered."""
    text, told = gr.Textbox(visible=False), gr.JSON(visible=False)
    boxes = list(controls.values())
    fields = json.dumps(list(Request.model_fields))
    copy = f"(...values) => stepwise.share.recipe({json.dumps(list(controls))}, values, {fields})"
    button.click(None, boxes, None, js=copy, **QUIET)

    def show(link: str) -> list[Any]:
        shown, sentence = settings(studio, parts, link) if link else ({}, "")
        return [*(shown.get(name, gr.skip()) for name in controls), {"told": sentence}]

    # In queue: False would answer before what the page remembered is drawn.
    taken = arrived.then(show, text, [*boxes, told], js="() => stepwise.share.opened()", queue=False, preprocess=False, **QUIET)
    taken.then(None, told, None, js="(told) => stepwise.share.told(told)", **QUIET)


def settings(studio: Studio, parts: list[Part], text: str) -> tuple[dict[str, Any], str]:
    """Control -> what it shows for a link, and a sentence about what cannot be opened, or nothing."""
    try:
        request = opened(text)
    except InvalidRequest as error:
        return {}, error.message
    sentence = ""
    if request.model is not None and request.model not in studio.models():
        sentence = f"This studio does not have the model {request.model}. The other settings of the link are here."
        request = request.model_copy(update={"model": None})
    if request.sampler is not None and request.sampler not in SAMPLERS:
        sentence = f"This studio does not have the sampler {request.sampler}. The other settings of the link are here."
        request = request.model_copy(update={"sampler": None, "schedule": None})
    shown: dict[str, Any] = {}
    for part in parts:
        shown |= {name: value for name, value in part.show(request).items() if value is not None}
    if request.sampler is not None:
        shown["schedule"] = offer(request.sampler, request.schedule or "")
    return shown, sentence
