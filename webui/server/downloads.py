"""REST over downloads of models: the owner's alone, and nothing without being asked."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi import Request as Http

from webui.downloads.downloads import Downloads
from webui.downloads.starters import STARTERS
from webui.errors import InvalidRequest
from webui.server.asking import Owner
from webui.server.objects import an_object


def downloads(there: Downloads) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/downloads")

    def state() -> dict[str, Any]:
        return {"downloads": [one.model_dump() for one in there.list()]}

    @routes.get("")
    def listed(by: Owner) -> dict[str, Any]:
        """The downloads and how far they are; and good first models, by the memory that they take."""
        return state() | {"starters": [one._asdict() for one in STARTERS]}

    @routes.post("/look")
    async def look(http: Http, by: Owner) -> dict[str, Any]:
        """What {"source": an id of the Hugging Face hub, or an address} would bring: its files, size and licence. Fetches none of them."""
        offer = await asyncio.to_thread(there.look, await _text(http, "source"))
        lacking = await asyncio.to_thread(there.lacking, offer)
        files = [{"path": file.path, "bytes": file.bytes, "sha256": file.sha256} for file in offer.files]
        return offer.model_dump(exclude={"files"}) | {"bytes": offer.bytes, "files": files, "lacking": lacking}

    @routes.post("", status_code=202)
    async def start(http: Http, by: Owner) -> dict[str, Any]:
        """Fetch what was looked at: {"id": the offer's}. What is paused or has failed is gone on with."""
        await asyncio.to_thread(there.start, await _text(http, "id"))
        return state()

    @routes.post("/{id}/pause")
    def pause(id: str, by: Owner) -> dict[str, Any]:
        """Stop a download for now; what has come is kept."""
        there.pause(id)
        return state()

    @routes.delete("/{id}")
    def remove(id: str, by: Owner) -> dict[str, Any]:
        """Stop a download and throw away what has come; or take one that is done off the list."""
        there.remove(id)
        return state()

    return routes


async def _text(http: Http, field: str) -> str:
    values = await an_object(http)
    if set(values) != {field} or not isinstance(values[field], str):
        raise InvalidRequest(f'Send {{"{field}": "..."}}, a text.', field)
    text: str = values[field]
    return text
