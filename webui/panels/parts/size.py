"""Width and height, and the shapes that fit a model."""

from __future__ import annotations

import gradio as gr

from webui.panels.offered import Offered
from webui.panels.part import Part, plain
from webui.request import Defaults, bounds, title

SHAPES = {"Square": (1.0, 1.0), "Portrait": (0.875, 1.125), "Landscape": (1.125, 0.875), "Tall": (0.75, 1.25), "Wide": (1.25, 0.75)}
"""Name -> width and height as shares of the model's own."""

GRAIN = 32
"""Shapes are multiples of this many pixels: every U-Net halves its latents at least twice."""


def shaped(defaults: Defaults, shape: str) -> tuple[int, int]:
    """Width and height in pixels of a shape for a model."""
    across, down = SHAPES[shape]
    return max(64, round(defaults.width * across / GRAIN) * GRAIN), max(64, round(defaults.height * down / GRAIN) * GRAIN)


def size(offered: Offered, prefix: str = "") -> Part:
    """Two numbers, in steps that the model takes."""
    with gr.Row(elem_classes="pair"):
        width, height = (
            gr.Number(
                getattr(offered.defaults, name),
                label=title(name),
                precision=0,
                minimum=int(bounds(name).low),
                maximum=int(bounds(name).high),
                step=offered.multiple,
                elem_id=f"{prefix}{name}",
                interactive=True,
                min_width=80,
            )
            for name in ("width", "height")
        )
    return plain({"width": width, "height": height})
