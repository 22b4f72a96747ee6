"""The model that makes the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import gradio as gr

from webui.engine.catalogue import Model
from webui.panels.part import Part, plain
from webui.request import title


def model(models: Mapping[str, Model], chosen: str, prefix: str = "") -> Part:
    """A list of the models by their titles."""
    box = gr.Dropdown(
        choices(models), value=chosen, label=title("model"), elem_id=f"{prefix}model", interactive=True, scale=2, min_width=150
    )
    return plain({"model": box})


def choices(models: Mapping[str, Model]) -> list[tuple[str, str]]:
    """What the list shows, and the name that stands for it. Of two with one title each says where it lies."""
    titles = Counter(entry.title for entry in models.values())
    return [(entry.title if titles[entry.title] == 1 else f"{entry.title} ({name})", name) for name, entry in models.items()]
