"""Who somebody is to the studio, and what they may do. There are no accounts: whoever opens the owner's link is a person."""

from __future__ import annotations

import unicodedata
from typing import Literal

from pydantic import BaseModel, ConfigDict

from webui.errors import InvalidRequest

Role = Literal["viewer", "maker", "owner"]

RIGHTS: dict[Role, str] = {
    "viewer": "may look",
    "maker": "may make pictures",
    "owner": "may do everything",
}
"""Roles from the least to the most, and what each may do."""

COLOURS: dict[str, str] = {
    "vermilion": "#d9541e",
    "amber": "#b98600",
    "moss": "#5d8a1f",
    "teal": "#16877c",
    "sky": "#2f7fd0",
    "violet": "#7d5bd0",
    "rose": "#c9437f",
    "slate": "#6a7681",
}
"""A colour to tell people apart by; each is legible on a light page and on a dark one."""

NAME_LENGTH = 24

ONLY_LOOKS = "Your link lets you look, not make pictures. Ask the owner of the studio for the one that does."


class Person(BaseModel):
    """Somebody at the studio. `id` is what jobs carry as their owner."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    colour: str
    role: Role

    @property
    def owns(self) -> bool:
        """Whether this is the owner of the studio, who may do everything."""
        return self.role == "owner"

    @property
    def makes(self) -> bool:
        """Whether this person may make pictures."""
        return self.role != "viewer"


OWNER = Person(id="owner", name="Owner", colour="slate", role="owner")
"""The person in front of the machine."""


def proper_name(text: str) -> str:
    """A nickname as it is kept: no signs that cannot be seen, no space around it.

    Raises:
        InvalidRequest: nothing is left of it, or it is too long.
    """
    name = " ".join("".join(sign for sign in text if unicodedata.category(sign)[0] != "C").split())
    if not any(unicodedata.category(sign)[0] in "LNS" for sign in name):
        raise InvalidRequest("A name needs at least one letter.", "name")
    if len(name) > NAME_LENGTH:
        raise InvalidRequest(f"A name has at most {NAME_LENGTH} characters.", "name")
    return name


def alike(name: str) -> str:
    """What two names have in common that people could mistake for each other."""
    plain = unicodedata.normalize("NFKD", name)
    return "".join(sign for sign in plain if not unicodedata.combining(sign)).casefold().replace(" ", "")
