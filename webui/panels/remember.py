"""What a tab's controls show survives a reload: the browser keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from webui.engine.samplers import SAMPLERS
from webui.errors import UserError
from webui.panels.part import Part
from webui.request import Request
from webui.studio import Studio

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {"queue": False, "preprocess": False, **QUIET}
"""Values come as the browser sends them: `Request` judges them in our own sentences, where Gradio would answer with an error of its own."""


def remember(tab: str, controls: Mapping[str, Component], show: Callable[..., list[Any]], outputs: list[Component]) -> Dependency:
    """Keep what a tab's controls show in the browser, and hand it to `show` when the page comes again; that says what `outputs` show.

    Plain `localStorage`, by the tab's script: `gr.BrowserState` reads nothing as long as its tab has not been opened.
    """
    boxes, saved = list(controls.values()), gr.JSON(visible=False)
    script = f"(...values) => stepwise.{tab}.remember({json.dumps(list(controls))}, values)"
    for control in boxes:
        # In the browser alone: nothing travels while somebody types.
        control.change(None, boxes, None, js=script, **QUIET)  # type: ignore[attr-defined]
    page = gr.context.Context.root_block
    assert page is not None
    return page.load(show, saved, outputs, js=f"() => [stepwise.{tab}.kept()]", **AT_ONCE)


def fields(parts: list[Part], values: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a request from the values of the controls."""
    read: dict[str, Any] = {}
    for part in parts:
        read |= part.read(values)
    return read


def known(studio: Studio, saved: Any) -> dict[str, Any]:
    """What the browser kept, without the names of a model or a sampler that exists no longer."""
    kept = dict(saved) if isinstance(saved, dict) else {}
    there = {"model": list(studio.models()), "sampler": list(SAMPLERS)}
    return {name: value for name, value in kept.items() if value in there.get(name, [value])}


def restored(parts: list[Part], saved: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> what its control shows after a reload: what the browser kept, group by group, where it still makes sense."""
    shown: dict[str, Any] = {name: gr.skip() for part in parts for name in part.components}
    for part in parts:
        if not set(part.components) <= set(saved):
            continue
        try:
            request = Request.parse(part.read(saved))
        except UserError:
            continue
        shown |= part.show(request)
        if "seed" in part.components:
            # A new seed each time is no field of a request; the last one is shown all the same.
            shown |= {"seed": saved["seed"], "seed-mode": saved["seed-mode"]}
    return shown
