"""REST over what lies in the models' folders: behind the Models tab, and for programs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi import Request as Http
from fastapi.responses import Response

from webui.engine.catalogue import Model, find
from webui.engine.stock import prompt_word
from webui.engine.thumbnail import thumbnail
from webui.errors import InvalidRequest, ModelError, NotFound
from webui.residents import Resident
from webui.server.asking import Owner
from webui.server.objects import an_object
from webui.studio import Studio

MOST = 200
"""Entries in one answer."""

KINDS = ("model", "lora", "embedding", "vae", "parts")
"""In the order in which they are listed."""

FIELDS = (
    "bytes", "family", "fetch", "guidance", "kind", "lender", "licence", "name", "parameters", "reason", "sha256", "summary", "title",
    "training", "usable", "words",
)  # fmt: skip
"""What an entry says of itself."""

NOWHERE = Resident("", None, "", None)
"""How it stands with what is no model."""


def models(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/models")

    def default() -> str:
        try:
            return studio.default_model().name
        except ModelError:
            return ""

    @routes.get("")
    def offered() -> dict[str, Any]:
        """The models, with what each proposes; `default` is the one that makes a picture where none is named."""
        found = [model.model_dump(exclude={"path", "stamp", "latents"}) for model in studio.models().values()]
        return {"default": default(), "models": found}

    @routes.get("/list")
    def listed(search: str = "", kind: str = "", start: int = 0, count: int = 60) -> dict[str, Any]:
        """Everything that lies in the models' folders, LoRAs and what cannot be used included: those that hold all words of `search`.

        `loaded` says how a model lies in memory, `need` what another one would need of it, `loading` for how many seconds it has been on
        its way, `trouble` why it could not be loaded or let go. `lost` says so where the default model is gone.
        """
        if kind not in ("", *KINDS):
            raise InvalidRequest(f"kind is one of {', '.join(KINDS)}.", "kind")
        if not (start >= 0 and 1 <= count <= MOST):
            raise InvalidRequest(f"start is at least 0, and count from 1 to {MOST}.", "count")
        there = studio.stock.models()
        summing, word, usual = studio.stock.sum_up(), prompt_word(there), default()
        found = [one for one in there.values() if kind in ("", one.kind) and _holds(one, search.casefold().split())]
        # What cannot be used comes last, whatever it was to be.
        found.sort(key=lambda one: (one.kind == "model" and not one.usable, KINDS.index(one.kind), one.title.casefold()))
        found, total = found[start : start + count], len(found)
        how = studio.residents.look([one for one in found if one.kind == "model"])
        return {
            "revision": studio.stock.revision,
            "default": usual,
            "lost": studio.usual.lost(there),
            "total": total,
            "kinds": {name: sum(one.kind == name for one in there.values()) for name in KINDS},
            "summing": summing,
            "weighing": studio.residents.weighing,
            "entries": [described(one, word) | standing(how.get(one.name, NOWHERE), one.name == usual) for one in found],
        }

    @routes.put("/default")
    async def set_default(http: Http, by: Owner) -> dict[str, Any]:
        """Make pictures with {"model": its name} wherever none is named, also after a restart."""
        name = await _name(http)
        model = await asyncio.to_thread(lambda: studio.usual.choose(studio.stock.models(), name))
        return {"default": model.name}

    @routes.post("/load", status_code=202)
    async def load(http: Http, by: Owner) -> dict[str, Any]:
        """Load {"model": its name} into memory before anybody asks for a picture of it. The list says what comes of it."""
        name = await _name(http)
        await asyncio.to_thread(lambda: studio.residents.load(find(studio.stock.models(), name)))
        return {"model": name}

    @routes.post("/unload", status_code=202)
    async def unload(http: Http, by: Owner) -> dict[str, Any]:
        """Let {"model": its name} go from memory, unless pictures are being made with it."""
        name = await _name(http)
        await asyncio.to_thread(studio.residents.unload, name)
        return {"model": name}

    @routes.get("/thumbnail")
    def picture(name: str = "") -> Response:
        """The picture that lies beside a model, small, as a JPEG."""
        model = studio.stock.models().get(name)
        if model is None:
            raise NotFound("There is no such model.")
        return Response(thumbnail(model), media_type="image/jpeg", headers={"cache-control": "private, max-age=86400"})

    @routes.post("/refresh")
    def refresh(by: Owner) -> dict[str, Any]:
        """Look through the models' folders now. What is dropped in is found without this too, as soon as its folder says so."""
        before = studio.stock.models()
        after = studio.stock.refresh()
        new = [name for name, model in after.items() if before.get(name) != model]
        return {"revision": studio.stock.revision, "new": sorted(new)[:MOST], "gone": sorted(before.keys() - after.keys())[:MOST]}

    return routes


def described(model: Model, word: Callable[[Model], str]) -> dict[str, Any]:
    """An entry of the list. Where on the machine it lies is nobody's business."""
    return {field: getattr(model, field) for field in FIELDS} | {
        "hash": model.body[:12] if model.kind == "lora" else model.sha256[:10],
        "defaults": model.defaults.model_dump() if model.usable else None,
        "word": word(model),
        "thumbnail": bool(model.thumbnail),
    }


def standing(how: Resident, usual: bool) -> dict[str, Any]:
    """How it stands with an entry's memory, and whether it is the default."""
    return {
        "default": usual,
        "loaded": how.loaded,
        "loading": how.loading,
        "trouble": how.trouble,
        "need": how.need and how.need.model_dump(),
    }


async def _name(http: Http) -> str:
    values = await an_object(http)
    if set(values) != {"model"} or not isinstance(values["model"], str):
        raise InvalidRequest('Send {"model": "..."}, the name of a model.', "model")
    name: str = values["model"]
    return name


def _holds(model: Model, words: list[str]) -> bool:
    text = " ".join((model.name, model.title, model.family, model.sha256, *model.words)).casefold()
    return all(word in text for word in words)
