"""REST over what lies in the models' folders: behind the Models tab, and for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from webui.engine.catalogue import Model
from webui.engine.stock import prompt_word
from webui.engine.thumbnail import thumbnail
from webui.errors import InvalidRequest, NotFound
from webui.server.asking import Owner
from webui.studio import Studio

MOST = 200
"""Entries in one answer."""

KINDS = ("model", "lora", "embedding", "vae", "parts")
"""In the order in which they are listed."""


def models(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/models")

    @routes.get("")
    def offered() -> dict[str, Any]:
        """The models, with what each proposes."""
        return {"models": [model.model_dump(exclude={"path", "stamp", "latents"}) for model in studio.models().values()]}

    @routes.get("/list")
    def listed(search: str = "", kind: str = "", start: int = 0, count: int = 60) -> dict[str, Any]:
        """Everything that lies in the models' folders, LoRAs and what cannot be used included: those that hold all words of `search`."""
        if kind not in ("", *KINDS):
            raise InvalidRequest(f"kind is one of {', '.join(KINDS)}.", "kind")
        if not (start >= 0 and 1 <= count <= MOST):
            raise InvalidRequest(f"start is at least 0, and count from 1 to {MOST}.", "count")
        there = studio.stock.models()
        summing, loaded, word = studio.stock.sum_up(), studio.loaded(), prompt_word(there)
        found = [one for one in there.values() if kind in ("", one.kind) and _holds(one, search.casefold().split())]
        # What cannot be used comes last, whatever it was to be.
        found.sort(key=lambda one: (one.kind == "model" and not one.usable, KINDS.index(one.kind), one.title.casefold()))
        return {
            "revision": studio.stock.revision,
            "total": len(found),
            "kinds": {name: sum(one.kind == name for one in there.values()) for name in KINDS},
            "summing": summing,
            "entries": [described(one, word) | {"loaded": loaded.get(one.name, "")} for one in found[start : start + count]],
        }

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
    fields = {"name", "title", "kind", "family", "bytes", "parameters", "reason", "summary", "licence", "words", "sha256", "usable"}
    fields |= {"lender", "fetch"}
    return {field: getattr(model, field) for field in sorted(fields)} | {
        "hash": model.body[:12] if model.kind == "lora" else model.sha256[:10],
        "word": word(model),
        "thumbnail": bool(model.thumbnail),
    }


def _holds(model: Model, words: list[str]) -> bool:
    text = " ".join((model.name, model.title, model.family, model.sha256, *model.words)).casefold()
    return all(word in text for word in words)
