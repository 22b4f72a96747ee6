"""The seed: a new one each time, or kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from webui.panels.part import Part, whole
from webui.request import Request, title

NEW, KEEP = "New each time", "Keep"


def seed(prefix: str = "") -> Part:
    """A number that shows the seed of the last picture, and whether the next one keeps it."""
    with gr.Row(elem_classes="pair"):
        number = gr.Number(None, label=title("seed"), precision=0, minimum=0, elem_id=f"{prefix}seed", interactive=True, min_width=110)
        mode = gr.Radio([NEW, KEEP], value=NEW, label="Next seed", elem_id=f"{prefix}seed-mode", interactive=True, min_width=150)
    # Whoever types a seed means to use it.
    number.input(None, None, mode, js=f"() => {KEEP!r}", show_progress="hidden")
    return Part({"seed": number, "seed-mode": mode}, _read, _show)


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"seed": whole(values["seed"]) if values["seed-mode"] == KEEP else None}


def _show(request: Request) -> dict[str, Any]:
    return {"seed": request.seed, "seed-mode": NEW if request.seed is None else KEEP}
