"""The Share tab: its script draws it from REST, where every right is checked."""

from __future__ import annotations

import gradio as gr

from webui.studio import Studio


def share(studio: Studio) -> None:
    """Lay out the tab."""
    gr.HTML('<div id="share"></div>', elem_id="share-panel", padding=False)
