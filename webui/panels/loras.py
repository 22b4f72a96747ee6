"""The frame of the list of LoRAs, which the page's script fills from the prompt."""

from __future__ import annotations

import gradio as gr


def loras(prefix: str = "") -> None:
    """An empty list, and a choice of what can be added; out of sight as long as there is none."""
    gr.HTML(
        f"""<div id="{prefix}loras" role="group" aria-label="LoRAs" hidden><ul></ul>
<div class="add" hidden><select aria-label="LoRA to add"></select><button type="button">Add LoRA</button></div></div>""",
        padding=False,
    )
