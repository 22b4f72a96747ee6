"""The choice of models changes while the page is open: a checkpoint was dropped in, or the Models tab puts one into Create."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.panels.offered import Offered
from webui.panels.parts.model import choices
from webui.panels.remember import AT_ONCE, QUIET
from webui.studio import Studio


def renews(studio: Studio, controls: Mapping[str, Component], offered: Callable[[Mapping[str, Any]], Offered], prefix: str = "") -> None:
    """The lists offer what there is now, when the page's script has heard of something new. What is chosen stays chosen.

    `offered` says from what the controls hold what can be set.
    """

    def again(*values: Any) -> list[Any]:
        shown = dict(zip(controls, values, strict=True))
        return [gr.update(choices=choices(studio.models())), gr.update(**offered(shown).vae(shown["vae"]))]

    lists = [controls["model"], controls["vae"]]
    _trigger(f"{prefix}models-changed").click(again, list(controls.values()), lists, **AT_ONCE)


def takes(control: Component, adopt: Callable[..., Any], inputs: Sequence[Component], outputs: Sequence[Component]) -> None:
    """The model that the Models tab names is chosen as if somebody had chosen it here: it brings its own defaults."""
    chosen = _trigger("model-taken").click(None, None, control, js="() => stepwise.models.taken()", **QUIET)
    chosen.then(adopt, list(inputs), list(outputs), **AT_ONCE)


def _trigger(name: str) -> gr.Button:
    """A button for the page's script, which nobody sees."""
    return gr.Button(name, elem_id=name, elem_classes="trigger")
