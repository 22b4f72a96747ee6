"""JSON bodies, read strictly."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request as Http
from starlette.exceptions import HTTPException

from webui.errors import InvalidRequest

AN_OBJECT = 'Send a JSON object such as {"prompt": "a red sailboat"}.'


async def an_object(http: Http) -> dict[str, Any]:
    """The body as a JSON object; NaN, infinity, doubled keys and anything else that JSON does not have are refused.

    Raises:
        InvalidRequest, HTTPException: it is no JSON object, or does not say that it is one.
    """

    def refuse(word: str) -> float:
        raise ValueError(word)

    def single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("doubled key")
        return dict(pairs)

    if http.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON, with the header Content-Type: application/json.")
    try:
        values = json.loads((await http.body()).decode(), parse_constant=refuse, object_pairs_hook=single)
        json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidRequest(AN_OBJECT) from None
    if not isinstance(values, dict):
        raise InvalidRequest(AN_OBJECT)
    return values
