"""REST over comparisons, below /api/comparisons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query
from fastapi import Request as Http
from fastapi.responses import Response
from starlette.exceptions import HTTPException

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
    router, all_of_them = APIRouter(prefix="/comparisons"), studio.comparisons
    estimates, drawings, films = (asyncio.Semaphore(1) for _ in range(3))

    async def made(line: asyncio.Semaphore, http: Http, make: Callable[..., Made], *arguments: Any, **more: Any) -> Made:
        """What takes a moment to compute, in a thread: one of its line at a time, so that the engine keeps its cores.

        A film takes many moments, so what is quick does not wait behind it; and nothing is made for somebody who has gone.
        """
        await http.body()  # what comes after it is that somebody has gone
        async with line:
            if await http.is_disconnected():
                raise HTTPException(408, "Nobody waits for this any more.")
            return await asyncio.to_thread(make, *arguments, **more)

    @router.post("", status_code=202, openapi_extra=_body("request", "axes"))
    async def begin(http: Http, by: By) -> dict[str, Any]:
        """Begin a comparison. An axis is {"field": "steps", "values": [4, 8, 16, 32]} or {"field": "steps", "text": "4-40/4"}."""
        given = await an_object(http)
        return shown(await asyncio.to_thread(lambda: all_of_them.begin(Comparison.parse(given), by)))

    @router.post("/estimate", openapi_extra=_body("request", "axes"))
    async def estimate(http: Http, by: By) -> dict[str, Any]:
        """What a comparison would cost, in steps and in seconds of this machine; nothing is run."""
        given = await an_object(http)
        return (await made(estimates, http, lambda: all_of_them.estimate(Comparison.parse(given), by)))._asdict()

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
    async def curve(id: str, http: Http, by: By) -> dict[str, Any]:
        """How far each step count's picture is from the longest run's, and what that says."""
        compared = all_of_them.get(id, by)
        told = await made(drawings, http, curves, compared, lambda name: studio.pictures.file(name, by), all_of_them.distances)
        found = [drawn(one) for one in told]
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
    async def sheet(id: str, http: Http, by: By) -> Response:
        """The contact sheet, with heads, labels and the settings inside."""
        return _file(await made(drawings, http, takeaway.sheet, all_of_them.get(id, by), all_of_them.store), id, "sheet.png")

    @router.get("/{id}/difference.png")
    async def difference(id: str, a: int, b: int, http: Http, by: By) -> Response:
        """Where the pictures of cells `a` and `b` differ; cells are counted from 0, row by row."""
        apart = await made(drawings, http, takeaway.difference_map, all_of_them.get(id, by), a, b, all_of_them.store)
        return _file(apart, id, f"difference-{a}-{b}.png")

    @router.get("/{id}/strip.png")
    async def strip(id: str, cell: int, http: Http, by: By) -> Response:
        """From noise to picture in six frames of one cell."""
        return _file(
            await made(drawings, http, takeaway.six_frames, all_of_them.get(id, by), cell, all_of_them.store), id, f"strip-{cell}.png"
        )

    @router.get("/{id}/animation.{kind}")
    async def animation(
        id: str, kind: Literal["webp", "gif"], http: Http, by: By, cell: int | None = None, pace: Pace = "step"
    ) -> Response:
        """The denoising of one cell, or of the whole sheet if none is named; `by` step for step, or by share of each run."""
        compared = all_of_them.get(id, by)
        film = await made(films, http, takeaway.animation, compared, cell, kind, all_of_them.store, share=pace == "share")
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
