"""A request as the end of an address, `#recipe=1&prompt=a%20red%20boat&steps=20`: no secret is in it, no browser sends it to a server."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from webui.errors import InvalidRequest
from webui.request import Request

VERSION = 1
"""Rises when a reader that does not know a new field would open other settings."""

LONGEST = 100_000
"""Characters; the longest prompts, each sign encoded, fit."""

TEXTS = ("prompt", "negative", "sampler", "schedule", "model", "vae")
"""Fields that are text; the others are numbers, or in JSON."""

DAMAGED = "This link to a picture's settings is damaged. Copy it again, whole."
NEWER = "This link was made by a newer version of Stepwise. Update this one to open it."


def fragment(request: Request) -> str:
    """The end of the address that opens the studio with these settings."""
    fields = {name: value for name in Request.model_fields if (value := getattr(request, name)) not in (None, "", ())}
    fields |= {"styles": json.dumps(request.styles, ensure_ascii=False)} if request.styles else {}
    return "#" + urlencode({"recipe": VERSION} | fields, quote_via=quote)


def opened(text: str) -> Request:
    """The settings in the end of an address, which may come from anybody.

    Raises:
        InvalidRequest: it is damaged, newer than this studio, or one of the settings is wrong.
    """
    try:
        pairs = parse_qsl(text.removeprefix("#")[:LONGEST], keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise InvalidRequest(DAMAGED) from None
    fields = dict(pairs)
    version = fields.pop("recipe", "")
    if len(text) > LONGEST or len(fields) + 1 < len(pairs) or not version.isdecimal() or not version.isascii():
        raise InvalidRequest(DAMAGED)
    if version != str(VERSION):
        raise InvalidRequest(NEWER)
    return Request.parse(
        {name: value if name in TEXTS else _names(value) if name == "styles" else _number(value) for name, value in fields.items()}
    )


def _number(text: str) -> Any:
    """The number that a text is; anything else is left for `Request` to judge."""
    return json.loads(text) if re.fullmatch(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,12})?", text) else text


def _names(text: str) -> Any:
    """The list that a text is; anything else is left for `Request` to judge."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
