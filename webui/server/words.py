"""REST over styles and wildcards: makers use them, the owner of the studio keeps them."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi import Request as Http

from webui.errors import NotAllowed
from webui.people import Person
from webui.prompts.styles import Style
from webui.server.asking import By
from webui.server.docs import body_of
from webui.server.objects import an_object
from webui.studio import Studio

OWNERS = "Only the owner of the studio keeps styles. Everybody who makes pictures may use them."


def wording(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    kept = studio.words.styles

    @routes.get("/styles")
    def styles() -> dict[str, Any]:
        """The styles, in the order of styles.csv: texts that a request puts around its prompts by naming them."""
        return {"styles": [style.model_dump() for style in kept.all().values()]}

    @routes.put("/styles", openapi_extra=body_of(Style))
    async def save(http: Http, by: By) -> dict[str, Any]:
        """Keep a style, over the one of its name if there is one. The owner's alone. {prompt} in its texts is where the request's go."""
        _owners(by)
        await asyncio.to_thread(kept.save, Style.parse(await an_object(http)))
        return styles()

    @routes.delete("/styles")
    def delete(name: str, by: By) -> dict[str, Any]:
        """Forget a style. The owner's alone."""
        _owners(by)
        kept.delete(name)
        return styles()

    @routes.get("/wildcards")
    def wildcards() -> dict[str, Any]:
        """The names that a prompt may draw from, written as __name__."""
        return {"wildcards": studio.words.wildcards.names()}

    return routes


def _owners(by: Person) -> None:
    if not by.owns:
        raise NotAllowed(OWNERS)
