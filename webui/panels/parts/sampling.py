"""Steps, guidance, sampler and schedule."""

from __future__ import annotations

from typing import Any

import gradio as gr

from webui.engine.samplers import AUTOMATIC, SAMPLERS
from webui.panels.part import Part, plain
from webui.request import Defaults, bounds, title


def sampling(defaults: Defaults, prefix: str = "") -> Part:
    """Two sliders and two lists; the second offers only what the first takes."""
    steps = gr.Slider(
        *bounds("steps"), defaults.steps, step=1, label=title("steps"), elem_id=f"{prefix}steps", interactive=True, buttons=[]
    )
    guidance = gr.Slider(
        *bounds("guidance"), defaults.guidance, step=0.5, label=title("guidance"), elem_id=f"{prefix}guidance", interactive=True, buttons=[]
    )
    with gr.Row(elem_classes="pair"):
        sampler = gr.Dropdown(
            list(SAMPLERS), value=defaults.sampler, label=title("sampler"), elem_id=f"{prefix}sampler", interactive=True, min_width=120
        )
        schedule = gr.Dropdown(
            list(_schedules(defaults.sampler)),
            value=defaults.schedule,
            label=title("schedule"),
            elem_id=f"{prefix}schedule",
            interactive=True,
            min_width=120,
        )
    # As the browser sends them: Gradio checks a choice against lists that it forgets when the studio is started again.
    sampler.input(offer, [sampler, schedule], schedule, show_progress="hidden", queue=False, preprocess=False, api_visibility="private")
    return plain({"steps": steps, "guidance": guidance, "sampler": sampler, "schedule": schedule})


def offer(sampler: str, schedule: str) -> Any:
    """The schedules that a sampler takes; the present one stays if it can."""
    offered = _schedules(sampler)
    return gr.update(choices=list(offered), value=schedule if schedule in offered else AUTOMATIC)


def _schedules(sampler: str) -> tuple[str, ...]:
    # A model's card may name a sampler that we do not have: the studio says so when it is asked to use it.
    return SAMPLERS[sampler].schedules if sampler in SAMPLERS else (AUTOMATIC,)
