"""From a press on Generate to a ticket: the group of jobs that the page's script then follows over the studio's event stream.

The page does not pull frames through Gradio's queue: that one has no back-pressure, and would send the whole filmstrip with every step. The
script reads `/api/groups/<group>/events` instead, which sends each frame once and lets a slow reader miss some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from webui.errors import UserError
from webui.panels.part import whole
from webui.request import Request
from webui.studio import Studio

COUNT_LIMIT = 8
"""Most pictures of one press."""


def submit(studio: Studio, read: Callable[[Mapping[str, Any]], dict[str, Any]], values: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """A ticket for the page's script, and the seed to show: `{"group"}` or `{"error", "field"}`."""
    try:
        count = whole(values["count"])
        request = Request.parse(read(values))
        jobs = studio.submit(request.series(count if isinstance(count, int) and 1 <= count <= COUNT_LIMIT else 1))
    except UserError as error:
        return {"error": error.message, "field": error.field}, values["seed"]
    return {"group": jobs[0].group}, jobs[0].request.seed


def latest(studio: Studio) -> dict[str, Any]:
    """The ticket of what was submitted last: a reload or a second tab follows it again."""
    jobs = studio.latest()
    return {"group": jobs[0].group} if jobs else {}
