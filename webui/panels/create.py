"""The Create tab: a prompt, a picture, every step between them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.panels import follow
from webui.panels.adopt import ADOPTED, adopted, chosen, defaults_of, offered_by, proposed, relist, schedules, shown_with
from webui.panels.asking import person
from webui.panels.ideas import ideas, ideas_of
from webui.panels.loras import loras
from webui.panels.offered import Offered
from webui.panels.opened import copies, link_button, settings
from webui.panels.part import Part
from webui.panels.parts.model import model
from webui.panels.parts.prompt import negative, prompt
from webui.panels.parts.sampling import sampling
from webui.panels.parts.seed import seed
from webui.panels.parts.size import SHAPES, shaped, size
from webui.panels.parts.vae import vae
from webui.panels.remember import AT_ONCE, QUIET, fields, known, remember, restored
from webui.panels.renewed import renews, takes
from webui.panels.styling import EDIT, keeper, known_styles, styling
from webui.request import Request, help_text
from webui.studio import Studio

STAGE = '<div class="stage" data-count="0"><p class="hint">Your picture appears here, and every step on its way.</p></div>'
STATUS = """<div id="status-text"></div><div id="status-detail"></div><div id="status-file"></div>
<div id="announcement" class="unseen" role="status" aria-live="polite"></div>"""
# Steps follow each other too fast to be read out: a screen reader hears the announcement, which says less.
STRIP = """<div class="strip" role="listbox" aria-label="Steps" tabindex="0"></div>
<input class="scrub" type="range" min="0" max="0" value="0" aria-label="Show step" disabled>"""


def create(studio: Studio) -> None:
    """Lay out the tab and wire it."""
    usual = studio.default_model()
    offered = offered_by(studio, usual)
    with gr.Row(elem_id="create", elem_classes="studio"):
        with gr.Column(elem_classes="compose"):
            words = prompt(usual.ideas[0] if usual.ideas else "")
            gr.HTML(f'<div class="under"><div id="tokens" class="tokens"></div>{EDIT}</div>', padding=False)
            chosen_styles = styling(studio)
            keeper()
            loras()
            with gr.Row(elem_classes="actions"):
                generate = gr.Button("Generate", variant="primary", elem_id="generate")
                gr.Button("Stop", elem_id="stop")
                compare = gr.Button("Compare", elem_id="to-compare")
            chips = ideas(usual, max(len(one.ideas) for one in studio.models().values()), words.components["prompt"])
        with gr.Column(elem_classes="view"):
            gr.HTML(STAGE, elem_id="preview", padding=False)
            gr.HTML(STATUS, elem_id="status", padding=False)
            gr.HTML(STRIP, elem_id="filmstrip", padding=False)
        with gr.Column(elem_classes="settings"):
            without = negative(there=offered.negative)
            shapes = _shapes()
            parts = [words, chosen_styles, without, size(offered), sampling(offered), seed()]
            with gr.Row(elem_classes="pair"):
                parts += [model(studio.models(), usual.name), vae(offered)]
            count = gr.Slider(1, follow.COUNT_LIMIT, 1, step=1, label="Pictures", elem_id="count", interactive=True, buttons=[])
            copy = link_button()
    controls = {name: control for part in parts for name, control in part.components.items()} | {"count": count}
    applied = gr.Textbox(usual.name, visible=False)
    _press(studio, parts, controls, generate)
    compare.click(None, None, None, js="() => stepwise.asking.take(stepwise.create.settings())", **QUIET)
    _remember(studio, parts, controls, chips, applied, usual.name)
    copies(copy, controls)
    _adopt(studio, controls, chips, applied)
    renews(studio, controls, partial(_offered, studio))
    schedules(controls, partial(_offered, studio))
    for name, button in shapes.items():
        outline = partial(_outline, studio, name)
        button.click(outline, controls["model"], [controls["width"], controls["height"]], **AT_ONCE)


def _offered(studio: Studio, shown: Mapping[str, Any]) -> Offered:
    """What can be set for the chosen model."""
    return offered_by(studio, chosen(studio, shown["model"]))


def _shapes() -> dict[str, gr.Button]:
    with gr.Row(elem_classes="shapes"):
        return {name: gr.Button(name, size="sm", elem_id=f"shape-{name.lower()}", elem_classes="chip") for name in SHAPES}


def _outline(studio: Studio, shape: str, name: str) -> tuple[int, int]:
    """Width and height of a shape for the chosen model."""
    return shaped(defaults_of(studio, name), shape)


def _press(studio: Studio, parts: list[Part], controls: Mapping[str, Component], generate: gr.Button) -> None:
    """Generate: a ticket from the studio, which the page's script then follows."""
    ticket = gr.JSON(visible=False)

    def read(given: Mapping[str, Any]) -> dict[str, Any]:
        return _offered(studio, given).without_hidden(fields(parts, given))

    def press(request: gr.Request, *values: Any) -> tuple[dict[str, Any], Any]:
        return follow.submit(studio, read, dict(zip(controls, values, strict=True)), person(request))

    pressed = generate.click(press, list(controls.values()), [ticket, controls["seed"]], **AT_ONCE)
    pressed.success(None, ticket, None, js="(ticket) => stepwise.create.follow(ticket)", **QUIET)
    pressed.failure(None, None, None, js="() => stepwise.create.unanswered()", **QUIET)


def _remember(
    studio: Studio, parts: list[Part], controls: Mapping[str, Component], chips: list[Component], applied: Component, laid: str
) -> None:
    """Settings and the running job survive a reload; those of a link take their place."""
    boxes, ticket = list(controls.values()), gr.JSON(visible=False)

    def arrive(request: gr.Request, saved: Any) -> list[Any]:
        linked, sentence = settings(studio, parts, saved)
        saved, usual = known(studio, saved), studio.default_model().defaults.model_dump()
        shown = known_styles(studio, restored(parts, saved) | linked)
        count = saved["count"] if type(saved.get("count")) in (int, float) else gr.skip()
        model = chosen(studio, linked.get("model", saved.get("model")))
        shown = shown_with(offered_by(studio, model), usual, proposed(model, laid, shown))
        ticket = follow.latest(studio, person(request)) | {"told": sentence}
        return [*shown.values(), count, *ideas_of(model, len(chips)), model.name, ticket]

    arrived = remember("create", controls, arrive, [*boxes, *chips, applied, ticket])
    helps = json.dumps({name: help_text(name) for name in Request.model_fields})
    names = json.dumps(list(controls))
    script = f"(ticket, ...values) => {{ stepwise.create.arrive(ticket, {names}, values, {helps}); stepwise.share.told(ticket); }}"
    arrived.then(None, [ticket, *boxes], None, js=script, **QUIET)


def _adopt(studio: Studio, controls: Mapping[str, Component], chips: list[Component], applied: Component) -> None:
    """Another model brings its own defaults and ideas."""

    def adopt(before: str, *values: Any) -> list[Any]:
        shown = dict(zip(controls, values, strict=True))
        model = chosen(studio, shown["model"])
        updates = adopted(defaults_of(studio, before), model, shown, offered_by(studio, model))
        return [*updates.values(), *ideas_of(model, len(chips)), model.name]

    outputs = [*(controls[name] for name in ADOPTED), *chips, applied]
    relist(controls["model"], adopt, [applied, *controls.values()], outputs)
    takes(controls["model"], adopt, [applied, *controls.values()], outputs)
