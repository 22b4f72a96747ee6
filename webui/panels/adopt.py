"""A change of model: what still shows the old model's defaults shows the new one's; what somebody has set stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from webui.panels.part import whole
from webui.panels.parts.sampling import offer
from webui.request import Defaults
from webui.studio import Studio


def defaults_of(studio: Studio, name: str) -> Defaults:
    """The defaults of a model; the default model's where it is gone."""
    return studio.models().get(name, studio.default_model()).defaults


def adopted(before: Defaults, after: Defaults, values: Mapping[str, Any]) -> dict[str, Any]:
    """Request field -> what its control shows now. `values` is what the controls showed, by field."""
    kept = {name: values[name] for name in Defaults.model_fields if whole(values[name]) != getattr(before, name)}
    shown = {name: kept.get(name, getattr(after, name)) for name in Defaults.model_fields}
    updates: dict[str, Any] = {name: gr.skip() if name in kept else shown[name] for name in shown}
    # Another sampler may not take the schedule that was kept.
    return updates | {"schedule": offer(shown["sampler"], shown["schedule"])}
