"""The Compare tab: several pictures from the same noise, side by side and live."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.comparison import LINES, Comparison
from webui.panels import follow
from webui.panels.adopt import ADOPTED, adopted, chosen, defaults_of, offered_by, proposed, relist, schedules, shown_with
from webui.panels.asking import person
from webui.panels.follow import Ticket
from webui.panels.loras import loras
from webui.panels.offered import Offered
from webui.panels.part import Part
from webui.panels.parts.axis import NOTHING, Varying, axis, faces, first, left
from webui.panels.parts.model import model
from webui.panels.parts.prompt import negative, prompt
from webui.panels.parts.sampling import sampling
from webui.panels.parts.seed import seed
from webui.panels.parts.size import size
from webui.panels.parts.vae import vae
from webui.panels.remember import AT_ONCE, QUIET, fields, known, remember, restored
from webui.panels.renewed import renews
from webui.panels.styling import known_styles, styling
from webui.people import Person
from webui.request import Request, help_text
from webui.studio import Studio

PREFIX = "compare-"
"""Begins the ids of this tab, as Create has controls of the same names."""


AXES = ("columns", "rows")

SIZE = '<div id="compare-size" role="status"></div>'
QUESTION = """<div id="compare-question" role="alertdialog" aria-label="A large job" hidden><p></p>
<button type="button" class="tool" id="compare-yes">Run it</button>
<button type="button" class="tool" id="compare-no">Not now</button></div>"""

MARKUP = Path(__file__).parent / "markup"
"""The frames that the tab's script draws into."""


def compare(studio: Studio) -> None:
    """Lay out the tab and wire it."""
    usual, models = studio.default_model(), studio.models()
    offered = offered_by(studio, usual)
    with gr.Row(elem_id="compare", elem_classes="studio"):
        with gr.Column(elem_classes="compose"):
            words = prompt(usual.ideas[0] if usual.ideas else "", PREFIX)
            gr.HTML('<div id="compare-tokens" class="tokens"></div>', padding=False)
            chosen_styles = styling(studio, PREFIX)
            loras(PREFIX)
            axes = [axis("columns", "Compare", models, offered, "steps", PREFIX), axis("rows", "and", models, offered, NOTHING, PREFIX)]
            gr.HTML(SIZE, padding=False)
            with gr.Row(elem_classes="actions"):
                generate = gr.Button("Generate", variant="primary", elem_id="compare-generate")
                gr.Button("Stop", elem_id="compare-stop", elem_classes="idle")
            gr.HTML(QUESTION, padding=False)
        with gr.Column(elem_classes="view"):
            gr.HTML(_markup("head"), padding=False)
            with gr.Column(elem_id="compare-well"):
                gr.HTML(_markup("well"), padding=False, elem_classes="well-html")
                slider = gr.ImageSlider(elem_id="compare-slider", label="A and B", show_label=False, interactive=False, buttons=[])
            gr.HTML(_markup("foot"), padding=False)
        with gr.Column(elem_classes="settings"):
            parts = [
                words,
                chosen_styles,
                negative(PREFIX, there=offered.negative),
                size(offered, PREFIX),
                sampling(offered, PREFIX),
                seed(PREFIX),
            ]
            with gr.Row(elem_classes="pair"):
                parts += [model(models, usual.name, PREFIX), vae(offered, PREFIX)]
    controls = {name: control for part in parts for name, control in part.components.items()}
    controls |= {name: control for one in axes for name, control in one.components.items()}
    _press(studio, parts, axes, controls, generate)
    _vary(studio, axes, controls)
    applied = gr.Textbox(usual.name, visible=False)
    _remember(studio, parts, axes, controls, applied, usual.name)
    _adopt(studio, controls, applied)
    renews(studio, controls, partial(_offered, studio), PREFIX)
    schedules(controls, partial(_offered, studio))
    # In the browser alone: the pictures are there already.
    pair = _trigger("pair")
    pair.click(None, None, slider, js="() => stepwise.look.pair()", **QUIET)


def _offered(studio: Studio, shown: Mapping[str, Any]) -> Offered:
    """What can be set: by the models that are compared, or else by the one that is chosen."""
    names = next((shown.get(f"{name}-values") for name in AXES if shown.get(name) == "model"), None)
    compared = [model for name, model in studio.models().items() if name in names] if isinstance(names, list) else []
    return offered_by(studio, *(compared or [chosen(studio, shown.get("model"))]))


def _markup(part: str) -> str:
    return (MARKUP / f"compare-{part}.html").read_text()


def _trigger(name: str) -> gr.Button:
    """A button for the page's script, which nobody sees."""
    return gr.Button(name, elem_id=f"{PREFIX}{name}", elem_classes="trigger")


def _press(studio: Studio, parts: list[Part], axes: list[Varying], controls: Mapping[str, Component], generate: gr.Button) -> None:
    """What it will cost, at every change; and Generate, which asks first where that is a lot."""
    boxes, ticket, estimated = list(controls.values()), gr.JSON(visible=False), gr.JSON(visible=False)

    def asked(values: tuple[Any, ...]) -> Comparison:
        shown = dict(zip(controls, values, strict=True))
        varied = [read for one in axes if (read := one.read(shown))]
        return Comparison.parse({"request": _offered(studio, shown).without_hidden(fields(parts, shown)), "axes": varied})

    def estimate(request: gr.Request, *values: Any) -> Ticket:
        return follow.ticket(lambda: {"sentence": studio.comparisons.estimate(asked(values), person(request)).sentence})

    def begin(by: Person, values: tuple[Any, ...], *, sure: bool) -> tuple[Ticket, Any]:
        seed = dict(zip(controls, values, strict=True))["seed"]

        def ask() -> Ticket:
            nonlocal seed
            comparison = asked(values)
            cost = studio.comparisons.estimate(comparison, by)
            if cost.large and not sure:
                return {"ask": f"{cost.sentence} Run it?"}
            entry = studio.comparisons.begin(comparison, by).entry
            seed = entry.comparison.request.seed if entry.comparison.request.seed is not None else seed
            return {"id": entry.id}

        return follow.ticket(ask), seed

    def asks(request: gr.Request, *values: Any) -> tuple[Ticket, Any]:
        return begin(person(request), values, sure=False)

    def surely(request: gr.Request, *values: Any) -> tuple[Ticket, Any]:
        return begin(person(request), values, sure=True)

    for button, press in ((generate, asks), (_trigger("sure"), surely)):
        pressed = button.click(press, boxes, [ticket, controls["seed"]], **AT_ONCE)
        pressed.success(None, ticket, None, js="(ticket) => stepwise.asking.follow(ticket)", **QUIET)
        pressed.failure(None, None, None, js="() => stepwise.asking.unanswered()", **QUIET)
    sized = _trigger("estimate").click(estimate, boxes, estimated, **AT_ONCE)
    sized.success(None, estimated, None, js="(ticket) => stepwise.asking.sized(ticket)", **QUIET)


def _vary(studio: Studio, axes: list[Varying], controls: Mapping[str, Component]) -> None:
    """Another field brings values of its own; other models, what they have."""

    def fitted(shown: dict[str, Any]) -> list[Any]:
        return list(shown_with(_offered(studio, shown), shown, dict.fromkeys(ADOPTED, gr.skip())).values())

    def begun(name: str, *values: Any) -> list[Any]:
        shown, models = dict(zip(controls, values, strict=True)), studio.models()
        field = shown[name]
        offered = _offered(studio, shown | {f"{name}-values": list(models)})
        begins = first(models, offered, field)
        lines = shown[field] if field in LINES else ""
        return [*faces(models, offered, field, begins, lines), *fitted(shown | {f"{name}-values": begins})]

    def varied(*values: Any) -> list[Any]:
        shown = dict(zip(controls, values, strict=True))
        return fitted(shown) if "model" in (shown["columns"], shown["rows"]) else [gr.skip()] * len(ADOPTED)

    adopting = [controls[name] for name in ADOPTED]
    for one in axes:
        which, chips, lines = one.components.values()
        relist(which, partial(begun, one.name), list(controls.values()), [chips, lines, *adopting])
        relist(chips, varied, list(controls.values()), adopting)


def _remember(
    studio: Studio, parts: list[Part], axes: list[Varying], controls: Mapping[str, Component], applied: Component, laid: str
) -> None:
    """Settings survive a reload, and come from elsewhere: from Create, from a picture, from an earlier comparison."""
    boxes, sent = list(controls.values()), gr.JSON(visible=False)

    def show(saved: Any, *values: Any) -> list[Any]:
        saved, before = known(studio, saved), dict(zip(controls, values, strict=False))
        offered = _offered(studio, before | saved)
        shown = known_styles(studio, restored(parts, saved))
        if not before:  # the page has just come, and no other tab sends its settings
            shown = proposed(chosen(studio, saved.get("model")), laid, shown)
        shown = shown_with(offered, before or studio.default_model().defaults.model_dump(), shown)
        for one in axes:
            shown |= one.restored(studio.models(), offered, saved)
        return [*shown.values(), shown["model"]]

    arrived = remember("compare", controls, show, [*boxes, applied])
    helps = json.dumps({name: help_text(name) for name in Request.model_fields})
    script = f"(...values) => stepwise.compare.arrive({json.dumps(list(controls))}, values, {helps})"
    arrived.then(None, boxes, None, js=script, **QUIET)
    taken = "(...values) => [...stepwise.asking.taken(), ...values.slice(1)]"
    _trigger("take").click(show, [sent, *boxes], [*boxes, applied], js=taken, **AT_ONCE)


def _adopt(studio: Studio, controls: Mapping[str, Component], applied: Component) -> None:
    """Another model brings its own defaults."""

    def adopt(before: str, *values: Any) -> list[Any]:
        shown = dict(zip(controls, values, strict=True))
        model = chosen(studio, shown["model"])
        offered = _offered(studio, shown)
        updates = adopted(defaults_of(studio, before), model, shown, offered)
        chips = [left(studio.models(), offered, shown[name], shown[f"{name}-values"]) for name in AXES]
        return [*updates.values(), *chips, model.name]

    outputs = [*(controls[name] for name in ADOPTED), *(controls[f"{name}-values"] for name in AXES), applied]
    relist(controls["model"], adopt, [applied, *controls.values()], outputs)
