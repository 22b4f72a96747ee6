"""The choice of styles on the page, and where the owner keeps them: a form that a script draws from REST, where rights are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from webui.errors import UserError
from webui.panels.offered import HIDDEN
from webui.panels.part import Part
from webui.panels.parts.styles import styles
from webui.panels.remember import AT_ONCE
from webui.studio import Studio

EDIT = """<button type="button" id="styles-edit" class="link owners" aria-expanded="false" aria-controls="styles-keeper">
<span class="some">Edit styles</span><span class="none">Make a style</span></button>"""
KEEPER = """<form id="styles-keeper" class="owners" aria-label="Styles" hidden></form>"""


def styling(studio: Studio, prefix: str = "") -> Part:
    """The choice, and a trigger by which it hears of new styles."""
    part = styles(names(studio), prefix)
    box, again = part.components["styles"], gr.Button(elem_id=f"{prefix}styles-again", elem_classes="trigger")
    again.click(lambda chosen: known_styles(studio, {"styles": chosen})["styles"], box, box, **AT_ONCE)
    return part


def keeper() -> None:
    """The place where styles are kept."""
    gr.HTML(KEEPER, elem_id="styles-place", padding=False)


def known_styles(studio: Studio, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What the controls show, with the styles that there are now; those that are gone are not chosen any longer."""
    there, chosen = names(studio), shown.get("styles")
    kept = [name for name in chosen if name in there] if isinstance(chosen, list) else []
    return {**shown, "styles": gr.update(choices=there, value=kept, visible=True if there else HIDDEN)}


def names(studio: Studio) -> list[str]:
    """Of all styles; none where their file is damaged: the sentence about that comes when somebody wants to keep one."""
    try:
        return list(studio.words.styles.all())
    except UserError:
        return []
