"""REST over comparisons, below /api/comparisons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query
from fastapi import Request as Http
from fastapi.responses import Response

from webui.comparison import Comparison
from webui.comparisons import takeaway
from webui.comparisons.comparisons import Compared
from webui.comparisons.curves import Curve, curves
from webui.errors import InvalidRequest
from webui.server.asking import By
from webui.server.feed import described
from webui.server.objects import an_object
from webui.studio import Studio

Made = TypeVar("Made")

Pace = Annotated[Literal["step", "share"], Query(alias="by")]

VALUES = 'Send the new columns as {"values": [48, 64]}.'


def comparisons(studio: Studio) -> APIRouter:
    """The routes."""
    router, all_of_them, one_by_one = APIRouter(prefix="/comparisons"), studio.comparisons, asyncio.Semaphore(1)

    async def made(make: Callable[..., Made], *arguments: Any, **more: Any) -> Made:
        """What takes a moment to compute, in a thread: one at a time, so that the engine keeps its cores."""
        async with one_by_one:
            return await asyncio.to_thread(make, *arguments, **more)

    @router.post("", status_code=202, openapi_extra=_body("request", "axes"))
    async def begin(http: Http, by: By) -> dict[str, Any]:
        """Begin a comparison. An axis is {"field": "steps", "values": [4, 8, 16, 32]} or {"field": "steps", "text": "4-40/4"}."""
        comparison = Comparison.parse(await an_object(http))
        return shown(await asyncio.to_thread(all_of_them.begin, comparison, by))

    @router.post("/estimate", openapi_extra=_body("request", "axes"))
    async def estimate(http: Http) -> dict[str, Any]:
        """What a comparison would cost, in steps and in seconds of this machine; nothing is run."""
        return all_of_them.estimate(Comparison.parse(await an_object(http)))._asdict()

    @router.get("")
    def listed(by: By) -> dict[str, Any]:
        """All comparisons, newest first."""
        return {
            "comparisons": [
                {
                    "id": entry.id,
                    "created": entry.created.isoformat(timespec="seconds"),
                    "title": entry.comparison.title,
                    "cells": len(entry.comparison.columns) * len(entry.comparison.rows),
                    "state": "finished" if finished else "running",
                }
                for entry, finished in all_of_them.of(by)
            ]
        }

    @router.get("/{id}")
    def one(id: str, by: By) -> dict[str, Any]:
        """One comparison, with a job per cell, row by row."""
        return shown(all_of_them.get(id, by))

    @router.get("/{id}/curve")
    async def curve(id: str, by: By) -> dict[str, Any]:
        """How far each step count's picture is from the longest run's, and what that says."""
        compared = all_of_them.get(id, by)
        found = [drawn(one) for one in await made(curves, compared, lambda name: studio.pictures.file(name, by), all_of_them.distances)]
        return found[0] if len(found) == 1 and not found[0]["head"] else {"rows": found}

    @router.post("/{id}/columns", status_code=202, openapi_extra=_body("values"))
    async def extend(id: str, http: Http, by: By) -> dict[str, Any]:
        """Add columns; what is there already is not run again."""
        values = (await an_object(http)).get("values")
        if not isinstance(values, list) or not values:
            raise InvalidRequest(VALUES, "values")
        return shown(await asyncio.to_thread(all_of_them.extend, id, values, by))

    @router.post("/{id}/again", status_code=202)
    def again(id: str, by: By) -> dict[str, Any]:
        """A new comparison of the same settings."""
        return shown(all_of_them.again(id, by))

    @router.delete("/{id}")
    def stop(id: str, by: By) -> dict[str, Any]:
        """Stop the cells that are not finished; the others stay."""
        return shown(all_of_them.stop(id, by))

    @router.get("/{id}/sheet.png")
    async def sheet(id: str, by: By) -> Response:
        """The contact sheet, with heads, labels and the settings inside."""
        return _file(await made(takeaway.sheet, all_of_them.get(id, by), all_of_them.store), id, "sheet.png")

    @router.get("/{id}/difference.png")
    async def difference(id: str, a: int, b: int, by: By) -> Response:
        """Where the pictures of cells `a` and `b` differ; cells are counted from 0, row by row."""
        return _file(await made(takeaway.difference_map, all_of_them.get(id, by), a, b, all_of_them.store), id, f"difference-{a}-{b}.png")

    @router.get("/{id}/strip.png")
    async def strip(id: str, cell: int, by: By) -> Response:
        """From noise to picture in six frames of one cell."""
        return _file(await made(takeaway.six_frames, all_of_them.get(id, by), cell, all_of_them.store), id, f"strip-{cell}.png")

    @router.get("/{id}/animation.{kind}")
    async def animation(id: str, kind: Literal["webp", "gif"], by: By, cell: int | None = None, pace: Pace = "step") -> Response:
        """The denoising of one cell, or of the whole sheet if none is named; `by` step for step, or by share of each run."""
        film = await made(takeaway.animation, all_of_them.get(id, by), cell, kind, all_of_them.store, share=pace == "share")
        return _file(film, id, f"animation.{kind}" if cell is None else f"animation-{cell}.{kind}")

    return router


def _file(content: bytes, id: str, name: str) -> Response:
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'inline; filename="comparison-{id[:4]}-{name}"'}
    return Response(content, media_type=f"image/{name.rpartition('.')[2]}", headers=headers)


def shown(compared: Compared) -> dict[str, Any]:
    """A comparison as REST shows it."""
    entry, comparison = compared.entry, compared.comparison
    return {
        "id": entry.id,
        "group": entry.id,
        "created": entry.created.isoformat(timespec="seconds"),
        "title": comparison.title,
        "request": comparison.request.model_dump(),
        "axes": [axis.model_dump() for axis in comparison.axes],
        "columns": comparison.columns,
        "rows": comparison.rows,
        "cells": [{"row": cell.row, "column": cell.column, "values": cell.values, "job": described(job)} for cell, job in compared.cells],
        "state": "finished" if compared.finished else "running",
    }


def drawn(curve: Curve) -> dict[str, Any]:
    """A curve as REST shows it."""
    points = [
        {name: round(value, 5) if isinstance(value, float) else value for name, value in one._asdict().items()} for one in curve.points
    ]
    return {"head": curve.head, "curve": points, "sentence": curve.answer.sentence, "settled": curve.answer.settled}


def _body(*names: str) -> dict[str, Any]:
    """The OpenAPI description of a body that is read by hand."""
    kinds = {"request": "object", "axes": "array", "values": "array"}
    properties = {name: {"type": kinds[name], "description": HELP[name]} for name in names}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object", "properties": properties}}}}}


HELP = {
    "request": "What all cells have in common: the fields of a job.",
    "axes": 'One or two of {"field", "values"}: the first gives the columns, the second the rows.',
    "values": "More values for the columns.",
}
