"""Steps, guidance, sampler and schedule."""

from __future__ import annotations

from typing import Any

import gradio as gr

from webui.engine.samplers import AUTOMATIC, SAMPLERS
from webui.panels.part import Part, plain
from webui.request import Defaults, bounds, title


def sampling(defaults: Defaults) -> Part:
    """Two sliders and two lists; the second offers only what the first takes."""
    steps = gr.Slider(*bounds("steps"), defaults.steps, step=1, label=title("steps"), elem_id="steps", interactive=True, buttons=[])
    guidance = gr.Slider(
        *bounds("guidance"), defaults.guidance, step=0.5, label=title("guidance"), elem_id="guidance", interactive=True, buttons=[]
    )
    with gr.Row(elem_classes="pair"):
        sampler = gr.Dropdown(
            list(SAMPLERS), value=defaults.sampler, label=title("sampler"), elem_id="sampler", interactive=True, min_width=120
        )
        schedule = gr.Dropdown(
            list(SAMPLERS[defaults.sampler].schedules),
            value=defaults.schedule,
            label=title("schedule"),
            elem_id="schedule",
            interactive=True,
            min_width=120,
        )
    sampler.input(offer, [sampler, schedule], schedule, show_progress="hidden", queue=False, api_visibility="private")
    return plain({"steps": steps, "guidance": guidance, "sampler": sampler, "schedule": schedule})


def offer(sampler: str, schedule: str) -> Any:
    """The schedules that a sampler takes; the present one stays if it can."""
    offered = SAMPLERS[sampler].schedules if sampler in SAMPLERS else (AUTOMATIC,)
    return gr.update(choices=list(offered), value=schedule if schedule in offered else AUTOMATIC)
