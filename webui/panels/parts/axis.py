"""One axis of a comparison: which setting varies, and its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component

from webui.comparison import LINES, NUMBERS
from webui.engine.catalogue import Model
from webui.engine.samplers import SCHEDULES
from webui.panels.offered import Offered
from webui.panels.parts.model import choices
from webui.request import PROMPT_LENGTH, title

NOTHING = ""
"""The second axis is left out."""

VARIED = ("steps", "sampler", "schedule", "guidance", "seed", "model", "prompt", "negative")
"""In the order in which people ask for them."""

OFFERED: Mapping[str, tuple[str, ...]] = {
    "steps": ("1", "2", "4", "6", "8", "12", "16", "20", "24", "32", "40", "50", "64", "100"),
    "guidance": ("1", "1.5", "2", "3", "4", "5", "6", "7", "8", "10", "12", "15"),
}
"""Field -> values to choose from; others can be typed. Those of the others are the models'."""

FIRST: Mapping[str, tuple[str, ...]] = {
    "steps": ("4", "8", "16", "32"),
    "sampler": ("Euler", "Euler a", "DPM++ 2M"),
    "schedule": ("Automatic", "Karras"),
    "guidance": ("2", "4", "7", "10"),
    "seed": ("1", "2", "3", "4"),
}
"""Field -> what is compared before anybody has chosen."""


class Varying(NamedTuple):
    """The controls of one axis, by name: `columns` says which field, `columns-values` and `columns-lines` hold its values."""

    name: str
    components: dict[str, Component]

    def read(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The axis as `Axis.parse` takes it; `None` where it is left out."""
        field = values[self.name]
        if not field:
            return None
        lines = values[f"{self.name}-lines"]
        chips = values[f"{self.name}-values"]
        if field in LINES:
            return {"field": field, "text": lines if isinstance(lines, str) else ""}
        chosen = [str(chip).strip() for chip in chips] if isinstance(chips, list) else []
        if field == "model":  # a folder's name may hold a comma
            return {"field": field, "values": chosen}
        return {"field": field, "text": ", ".join(chosen)}

    def restored(self, models: Mapping[str, Model], offered: Offered, saved: Mapping[str, Any]) -> dict[str, Any]:
        """What the controls show for what a browser kept, where it still makes sense."""
        field = saved.get(self.name)
        if field not in (NOTHING, *VARIED) or (field == NOTHING and self.name == "columns"):
            return {name: gr.skip() for name in self.components}
        chips, lines = saved.get(f"{self.name}-values"), saved.get(f"{self.name}-lines")
        kept = [str(chip) for chip in chips] if isinstance(chips, list) else []
        return {self.name: field} | dict(
            zip(list(self.components)[1:], faces(models, offered, field, kept, lines if isinstance(lines, str) else ""), strict=True)
        )


def axis(name: str, label: str, models: Mapping[str, Model], offered: Offered, field: str, prefix: str) -> Varying:
    """A list of what can vary, and chips or lines for its values. The axis of the rows may be left out."""
    choices = [(title(one), one) for one in VARIED]
    if name == "rows":
        choices.insert(0, ("nothing", NOTHING))
    chips = _chips(models, offered, field)
    with gr.Row(elem_classes="pair axis"):
        which = gr.Dropdown(choices, value=field, label=label, elem_id=f"{prefix}{name}", interactive=True, min_width=116)
        values = gr.Dropdown(
            chips,
            value=first(models, offered, field),
            multiselect=True,
            allow_custom_value=True,
            label=_label(field),
            elem_id=f"{prefix}{name}-values",
            elem_classes="chips",
            interactive=True,
            visible=bool(field),
        )
        lines = gr.Textbox(
            label="Values, one per line",
            lines=3,
            max_lines=8,
            max_length=PROMPT_LENGTH,
            elem_id=f"{prefix}{name}-lines",
            interactive=True,
            visible=False,
        )
    return Varying(name, {name: which, f"{name}-values": values, f"{name}-lines": lines})


def faces(models: Mapping[str, Model], offered: Offered, field: str, chips: list[str], lines: str) -> tuple[Any, Any]:
    """How chips and lines look for a field: one of the two is there, with its values."""
    long = field in LINES
    return (
        gr.update(choices=_chips(models, offered, field), value=chips, label=_label(field), visible=bool(field) and not long),
        gr.update(value=lines, visible=long),
    )


def first(models: Mapping[str, Model], offered: Offered, field: str) -> list[str]:
    """The values that a field begins with."""
    if field == "model":
        return list(models)[:4]
    values = FIRST.get(field, ())
    if field not in ("sampler", "schedule"):
        return list(values)
    there = _chips(models, offered, field)
    usual = [value for value in values if value in there]
    return usual if len(usual) > 1 else there[:3]


def left(models: Mapping[str, Model], offered: Offered, field: str, chips: Any) -> Any:
    """How the values look when another model is chosen: those that it does not have are gone."""
    if field not in ("sampler", "schedule"):
        return gr.skip()
    there = _chips(models, offered, field)
    kept = [chip for chip in chips if chip in there] if isinstance(chips, list) else []
    return gr.update(choices=there, value=kept or first(models, offered, field))


def _label(field: str) -> str:
    return "Values, or a range: 4-40/4" if field in NUMBERS else "Values"


def _chips(models: Mapping[str, Model], offered: Offered, field: str) -> list[Any]:
    if field == "model":
        return list(choices(models))
    if field == "sampler":
        return list(offered.samplers)
    if field == "schedule":
        return [name for name in SCHEDULES if any(name in schedules for schedules in offered.samplers.values())]
    return list(OFFERED.get(field, ()))
