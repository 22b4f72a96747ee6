"""Styles: texts that are kept under a name, put around the prompts."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from webui.panels.part import Part
from webui.request import STYLES, title


def styles(names: Sequence[str], prefix: str = "") -> Part:
    """Any number of styles, in the order in which they were chosen. `prefix` begins the ids of a tab's controls."""
    box = gr.Dropdown(
        list(names),
        value=[],
        multiselect=True,
        max_choices=STYLES,
        label=title("styles"),
        elem_id=f"{prefix}styles",
        interactive=True,
    )
    return Part(
        {"styles": box},
        lambda values: {"styles": tuple(values["styles"] or ())},
        lambda request: {"styles": list(request.styles)},
    )
