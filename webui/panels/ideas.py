"""Prompts that a model paints well, one click each."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from webui.engine.catalogue import Model


def ideas(model: Model, most: int, box: Component) -> list[Component]:
    """`most` buttons, as many as any model has ideas; a click writes what the button says into the prompt."""
    with gr.Row(elem_classes="ideas", elem_id="ideas"):
        buttons: list[Component] = [gr.Button(**_face(model, k), size="sm", elem_classes="chip") for k in range(most)]
    for button in buttons:
        button.click(None, button, box, js="(idea) => idea", show_progress="hidden")  # type: ignore[attr-defined]
    return buttons


def ideas_of(model: Model, most: int) -> list[Any]:
    """The same buttons for another model."""
    return [gr.update(**_face(model, k)) for k in range(most)]


def _face(model: Model, number: int) -> dict[str, Any]:
    there = number < len(model.ideas)
    return {"value": model.ideas[number] if there else "", "visible": there}
