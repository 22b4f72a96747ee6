"""From a press on Generate to a ticket: the group of jobs that the page's script then follows over the studio's event stream.

The page does not pull frames through Gradio's queue: that one has no back-pressure, and would send the whole filmstrip with every step. The
script reads `/api/groups/<group>/events` instead, which sends each frame once and lets a slow reader miss some.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from webui.errors import InvalidRequest, UserError
from webui.panels.part import whole
from webui.people import Person
from webui.request import Request
from webui.studio import Studio

log = logging.getLogger(__name__)

COUNT_LIMIT = 8
"""Most pictures of one press."""


Ticket = dict[str, Any]
"""What the page's script gets: something to follow, or `{"error", "field"}`."""


def ticket(ask: Callable[[], Ticket]) -> Ticket:
    """What `ask` returns; what it raises is a sentence, and a bug's details are in the log under the id that the sentence says."""
    try:
        return ask()
    except UserError as error:
        return {"error": error.message, "field": error.field}
    except Exception as error:
        id = uuid.uuid4().hex[:8]
        log.error("error %s", id, exc_info=error)
        return {"error": f"Something went wrong in the studio. The log has the details under {id}.", "field": None}


def submit(
    studio: Studio, read: Callable[[Mapping[str, Any]], dict[str, Any]], values: Mapping[str, Any], by: Person
) -> tuple[Ticket, Any]:
    """A ticket for the page's script, and the seed to show: `{"group"}` or `{"error", "field"}`."""
    seed = values["seed"]

    def ask() -> Ticket:
        nonlocal seed
        count = whole(values["count"])
        if type(count) is not int or not 1 <= count <= COUNT_LIMIT:
            raise InvalidRequest(f"Pictures must be a whole number from 1 to {COUNT_LIMIT}.", "count")
        jobs = studio.submit(Request.parse(read(values)).series(count), by)
        seed = jobs[0].request.seed
        return {"group": jobs[0].group}

    return ticket(ask), seed


def latest(studio: Studio, by: Person) -> Ticket:
    """The ticket of what this person submitted last: a reload, a second tab or another device follows it again."""
    jobs = studio.latest(by)
    return {"group": jobs[0].group} if jobs else {}
