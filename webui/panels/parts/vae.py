"""The autoencoder that makes the pixels: the model's own, or another that fits it."""

from __future__ import annotations

import gradio as gr

from webui.panels.offered import Offered
from webui.panels.part import Part
from webui.request import title


def vae(offered: Offered, prefix: str = "") -> Part:
    """A list of those that fit the model; out of sight where there is none."""
    box = gr.Dropdown(**offered.vae(""), label=title("vae"), elem_id=f"{prefix}vae", interactive=True, min_width=120)
    return Part({"vae": box}, lambda values: {"vae": values["vae"] or None}, lambda request: {"vae": request.vae or ""})
