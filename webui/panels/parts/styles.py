"""Styles: texts that are kept under a name, put around the prompts."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from webui.panels.offered import HIDDEN
from webui.panels.part import Part
from webui.request import STYLES, title


def styles(names: Sequence[str], prefix: str = "") -> Part:
    """Any number of styles, in the order in which they were chosen; out of sight where there is none. `prefix` begins the ids."""
    box = gr.Dropdown(
        list(names),
        value=[],
        multiselect=True,
        max_choices=STYLES,
        label=title("styles"),
        elem_id=f"{prefix}styles",
        interactive=True,
        visible=True if names else HIDDEN,
    )
    return Part(
        {"styles": box},
        lambda values: {"styles": tuple(values["styles"] or ())},
        lambda request: {"styles": list(request.styles)},
    )
