"""The Models tab: its script draws it from REST, where every right is checked."""

from __future__ import annotations

import gradio as gr

from webui.studio import Studio


def models(studio: Studio) -> None:
    """Lay out the tab."""
    gr.HTML('<div id="models"></div>', elem_id="models-panel", padding=False)
