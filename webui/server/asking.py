"""Who is asking: the guard found out before any route was reached."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from webui.errors import NotAllowed
from webui.people import Person

OWNERS = "Only the owner of the studio does that."


def person(http: Request) -> Person:
    """The person behind a request."""
    asking: Person = http.scope["person"]
    return asking


def owner(http: Request) -> Person:
    """The owner of the studio.

    Raises:
        NotAllowed: somebody else asks.
    """
    asking = person(http)
    if not asking.owns:
        raise NotAllowed(OWNERS)
    return asking


By = Annotated[Person, Depends(person)]
"""A route's parameter of this type is who is asking."""

Owner = Annotated[Person, Depends(owner)]
"""A route with such a parameter is the owner's alone."""
