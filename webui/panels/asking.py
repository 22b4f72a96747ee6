"""Who presses a button of the page: the guard found out before Gradio saw the request."""

from __future__ import annotations

import gradio as gr

from webui.people import Person


def person(request: gr.Request) -> Person:
    """The person behind a call of one of the page's functions."""
    assert request.request is not None
    asking: Person = request.request.scope["person"]
    return asking
