"""The Create tab: a prompt, a picture, every step between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.errors import UserError
from webui.panels import follow
from webui.panels.part import Part
from webui.panels.parts.model import model
from webui.panels.parts.prompt import negative, prompt
from webui.panels.parts.sampling import offer, sampling
from webui.panels.parts.seed import seed
from webui.panels.parts.size import size
from webui.request import Request
from webui.studio import Studio

REMEMBERED: dict[str, Any] = {"storage_key": "stepwise-create", "secret": "settings are no secret"}
"""Fixed, or a restart of the studio would forget what the browser kept."""

STAGE = '<div class="stage" data-count="0"><p class="hint">Your picture appears here, and every step on its way.</p></div>'
STATUS = '<div id="status-text" role="status" aria-live="polite"></div><div id="status-detail"></div>'
STRIP = """<div class="strip" role="listbox" aria-label="Steps" tabindex="0"></div>
<input class="scrub" type="range" min="0" max="0" value="0" aria-label="Show step" disabled>"""


def create(studio: Studio) -> None:
    """Lay out the tab and wire it."""
    chosen = studio.default_model()
    with gr.Row(elem_id="create", elem_classes="studio"):
        with gr.Column(elem_classes="compose"):
            words = prompt(chosen.ideas[0] if chosen.ideas else "")
            gr.HTML('<div id="tokens" aria-live="polite"></div>', padding=False)
            with gr.Row(elem_classes="actions"):
                generate = gr.Button("Generate", variant="primary", elem_id="generate")
                gr.Button("Stop", elem_id="stop", elem_classes="quiet")
            _ideas(chosen.ideas, words.components["prompt"])
        with gr.Column(elem_classes="view"):
            gr.HTML(STAGE, elem_id="preview", padding=False)
            gr.HTML(STATUS, elem_id="status", padding=False)
            gr.HTML(STRIP, elem_id="filmstrip", padding=False)
        with gr.Column(elem_classes="settings"):
            parts = [words, negative(), sampling(chosen.defaults), size(chosen.defaults), seed(), model(studio.models(), chosen.name)]
            count = gr.Slider(1, follow.COUNT_LIMIT, 1, step=1, label="Pictures", elem_id="count", interactive=True, buttons=[])
    _wire(studio, parts, count, generate)


def _ideas(ideas: tuple[str, ...], box: Component) -> None:
    """One button for each of the model's own ideas; a click writes it into the prompt."""
    with gr.Row(elem_classes="ideas"):
        for idea in ideas:
            gr.Button(idea, size="sm", elem_classes="chip").click(None, None, box, js=f"() => {idea!r}", show_progress="hidden")


def _wire(studio: Studio, parts: list[Part], count: Component, generate: gr.Button) -> None:
    controls = {name: control for part in parts for name, control in part.components.items()} | {"count": count}
    names, boxes = list(controls), list(controls.values())
    ticket = gr.JSON(visible=False)
    kept = gr.BrowserState({}, **REMEMBERED)

    def press(*values: Any) -> tuple[dict[str, Any], Any]:
        return follow.submit(studio, lambda given: read(parts, given), dict(zip(names, values, strict=True)))

    def arrive(saved: Any) -> list[Any]:
        return [*restored(parts, names, saved), follow.latest(studio)]

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    pressed = generate.click(press, boxes, [ticket, controls["seed"]], queue=False, **quiet)
    pressed.then(None, ticket, None, js="(ticket) => stepwise.follow(ticket)", **quiet)
    for control in boxes:
        # In the browser alone: nothing travels while somebody types.
        control.change(None, boxes, kept, js=f"(...values) => stepwise.remember({names!r}, values)", **quiet)  # type: ignore[attr-defined]
    page = gr.context.Context.root_block
    assert page is not None
    arrived = page.load(arrive, kept, [*boxes, ticket], queue=False, **quiet)
    arrived.then(None, ticket, None, js="(ticket) => stepwise.arrive(ticket)", **quiet)


def read(parts: list[Part], values: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a request from the values of the controls."""
    fields: dict[str, Any] = {}
    for part in parts:
        fields |= part.read(values)
    return fields


def restored(parts: list[Part], names: list[str], saved: Any) -> list[Any]:
    """What each control shows after a reload: what the browser kept, where it still makes sense."""
    shown: dict[str, Any] = {name: gr.skip() for name in names}
    if not isinstance(saved, dict) or not set(names) <= set(saved):
        return list(shown.values())
    try:
        request = Request.parse(read(parts, saved))
    except UserError:
        return list(shown.values())
    for part in parts:
        shown |= part.show(request)
    shown["schedule"] = offer(request.sampler or "", request.schedule or "")
    shown |= {name: saved[name] for name in ("seed", "seed-mode", "count")}
    return list(shown.values())
