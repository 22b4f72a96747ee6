"""Prompt and negative prompt."""

from __future__ import annotations

import gradio as gr

from webui.panels.offered import HIDDEN
from webui.panels.part import Part, plain
from webui.request import PROMPT_LENGTH, help_text, title


def prompt(first: str, prefix: str = "") -> Part:
    """The prompt; `first` is what it says before anybody has typed. `prefix` begins the ids of a tab's controls."""
    box = gr.Textbox(
        first,
        label=title("prompt"),
        placeholder="What do you want to see?",
        lines=3,
        max_lines=8,
        max_length=PROMPT_LENGTH,
        elem_id=f"{prefix}prompt",
        interactive=True,
    )
    return plain({"prompt": box})


def negative(prefix: str = "", *, there: bool = True) -> Part:
    """The negative prompt; out of sight where the model takes none."""
    box = gr.Textbox(
        label=title("negative"),
        placeholder=help_text("negative").split(".")[0],
        lines=1,
        max_lines=4,
        max_length=PROMPT_LENGTH,
        elem_id=f"{prefix}negative",
        interactive=True,
        visible=True if there else HIDDEN,
    )
    return plain({"negative": box})
