"""The choice of styles on the page, and where the owner keeps them: a form that a script draws from REST, where rights are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.errors import UserError
from webui.panels.part import Part
from webui.panels.parts.styles import styles
from webui.panels.remember import AT_ONCE
from webui.studio import Studio

EDIT = """<button type="button" id="styles-edit" class="link owners" aria-expanded="false" aria-controls="styles-keeper">Edit styles
</button>"""
KEEPER = """<form id="styles-keeper" class="owners" aria-label="Styles" hidden></form>"""


def styling(studio: Studio, prefix: str = "") -> Part:
    """The choice."""
    return styles(names(studio), prefix)


def keeper(studio: Studio, box: Component) -> None:
    """The place where styles are kept, and the way in which the choice hears of it."""
    gr.HTML(KEEPER, elem_id="styles-place", padding=False)
    again = gr.Button("styles-again", elem_id="styles-again", elem_classes="trigger")
    again.click(lambda chosen: known_styles(studio, {"styles": chosen})["styles"], box, box, **AT_ONCE)


def known_styles(studio: Studio, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What the controls show, with the styles that there are now; those that are gone are not chosen any longer."""
    there, chosen = names(studio), shown.get("styles")
    kept = [name for name in chosen if name in there] if isinstance(chosen, list) else []
    return {**shown, "styles": gr.update(choices=there, value=kept)}


def names(studio: Studio) -> list[str]:
    """Of all styles; none where their file is damaged: the sentence about that comes when somebody wants to keep one."""
    try:
        return list(studio.words.styles.all())
    except UserError:
        return []
