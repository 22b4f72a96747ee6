"""Steps, guidance, sampler and schedule."""

from __future__ import annotations

import gradio as gr

from webui.panels.offered import HIDDEN, Offered
from webui.panels.part import Part, plain
from webui.request import bounds, title


def sampling(offered: Offered, prefix: str = "") -> Part:
    """Two sliders and two lists, as far as the model has them."""
    defaults = offered.defaults
    steps = gr.Slider(
        *bounds("steps"), defaults.steps, step=1, label=title("steps"), elem_id=f"{prefix}steps", interactive=True, buttons=[]
    )
    guidance = gr.Slider(
        *bounds("guidance"),
        defaults.guidance,
        step=0.5,
        label=offered.guidance or title("guidance"),
        elem_id=f"{prefix}guidance",
        interactive=True,
        buttons=[],
        visible=True if offered.guidance else HIDDEN,
    )
    with gr.Row(elem_classes="pair"):
        sampler = gr.Dropdown(
            list(offered.samplers),
            value=defaults.sampler,
            label=title("sampler"),
            elem_id=f"{prefix}sampler",
            interactive=True,
            min_width=120,
        )
        schedule = gr.Dropdown(
            list(offered.schedules(defaults.sampler)),
            value=defaults.schedule,
            label=title("schedule"),
            elem_id=f"{prefix}schedule",
            interactive=True,
            min_width=120,
        )
    return plain({"steps": steps, "guidance": guidance, "sampler": sampler, "schedule": schedule})
