"""Who is asking: the guard found out before any route was reached."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from webui.people import Person


def person(http: Request) -> Person:
    """The person behind a request."""
    asking: Person = http.scope["person"]
    return asking


By = Annotated[Person, Depends(person)]
"""A route's parameter of this type is who is asking."""
