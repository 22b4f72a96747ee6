"""A change of model: what still shows the old model's defaults shows the new one's; what somebody has set stays, as far as it can."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.engine.catalogue import Model
from webui.panels.offered import Offered
from webui.panels.part import whole
from webui.panels.remember import AT_ONCE, QUIET
from webui.request import Defaults
from webui.studio import Studio

ADOPTED = (*Defaults.model_fields, "negative", "vae")
"""The controls that another model changes."""


def chosen(studio: Studio, name: Any) -> Model:
    """The model of that name; the default model where it is gone."""
    return studio.models().get(name if isinstance(name, str) else "") or studio.default_model()


def defaults_of(studio: Studio, name: Any) -> Defaults:
    """The defaults of a model; the default model's where it is gone."""
    return chosen(studio, name).defaults


def offered_by(studio: Studio, *models: Model) -> Offered:
    """What can be set for these models here."""
    return Offered.by(models, studio.stock.models())


def adopted(before: Defaults, after: Model, values: Mapping[str, Any], offered: Offered) -> dict[str, Any]:
    """Control -> what it shows now. `values` is what the controls showed; `offered` is for the model `after`."""
    kept = {name: values[name] for name in Defaults.model_fields if whole(values[name]) != getattr(before, name)}
    shown = {name: kept.get(name, getattr(after.defaults, name)) for name in Defaults.model_fields}
    faces = offered.faces(shown | {"vae": values.get("vae")})
    return {
        name: gr.update(**({} if name in kept or name not in shown else {"value": shown[name]}) | faces.get(name, {})) for name in ADOPTED
    }


def proposed(model: Model, laid: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What controls show whose values the browser has not kept: what the model proposes, where the page was laid out with another one,
    which was the default then. `laid` is its name."""
    if model.name == laid:
        return {**shown}
    fresh = {"model": model.name, "prompt": model.ideas[0] if model.ideas else gr.skip()} | model.defaults.model_dump()
    return {name: fresh.get(name, value) if value == gr.skip() else value for name, value in shown.items()}


def shown_with(offered: Offered, before: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    """What controls show, with their faces. `shown` holds values and updates, `before` what is there where it holds no value."""
    values = {**before} | {name: value for name, value in shown.items() if not isinstance(value, dict)}
    given = {name: {"value": values[name]} for name in ADOPTED if name in shown and not isinstance(shown[name], dict)}
    faces = offered.faces(values)
    return {**shown} | {name: gr.update(**given.get(name, {}) | faces.get(name, {})) for name in ADOPTED if name in shown}


def schedules(controls: Mapping[str, Component], offered: Callable[[Mapping[str, Any]], Offered]) -> None:
    """Another sampler takes other schedules. `offered` says from what the controls hold what can be set."""

    def offer(*values: Any) -> Any:
        shown = dict(zip(controls, values, strict=True))
        return gr.update(**offered(shown).schedule(shown["sampler"], shown["schedule"]))

    relist(controls["sampler"], offer, list(controls.values()), [controls["schedule"]])


def relist(control: Component, answer: Callable[..., Any], inputs: list[Component], outputs: list[Component]) -> None:
    """Where somebody sets `control`, `answer` says how `outputs` look: lists among them have other choices then.

    None of the lists can be opened until the answer is there: Gradio's page fails where an open list gets fewer choices.
    """
    ids = json.dumps([output.elem_id for output in outputs if isinstance(output, gr.Dropdown)])
    hold = f"(...values) => {{ stepwise.hold({json.dumps(control.elem_id)}, {ids}); return values; }}"
    # As the browser sends them: Gradio checks a choice against lists that it forgets when the studio is started again.
    told = control.input(answer, inputs, outputs, js=hold, **AT_ONCE)  # type: ignore[attr-defined]
    told.then(None, None, None, js=f"() => stepwise.release({ids})", **QUIET)
