"""REST over comparisons, below /api/comparisons."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi import Request as Http

from webui.comparison import Comparison
from webui.comparisons.comparisons import Compared
from webui.comparisons.curves import Curve, curves
from webui.errors import InvalidRequest
from webui.server.bodies import object_of
from webui.server.feed import described
from webui.studio import OWNER, Studio

VALUES = 'Send the new columns as {"values": [48, 64]}.'


def comparisons(studio: Studio) -> APIRouter:
    """The routes."""
    router, all_of_them = APIRouter(), studio.comparisons

    @router.post("", status_code=202, openapi_extra=_body("request", "axes"))
    async def begin(http: Http) -> dict[str, Any]:
        """Begin a comparison. An axis is {"field": "steps", "values": [4, 8, 16, 32]} or {"field": "steps", "text": "4-40/4"}."""
        comparison = Comparison.parse(await object_of(http))
        return shown(await asyncio.to_thread(all_of_them.begin, comparison, OWNER))

    @router.post("/estimate", openapi_extra=_body("request", "axes"))
    async def estimate(http: Http) -> dict[str, Any]:
        """What a comparison would cost, in steps and in seconds of this machine; nothing is run."""
        return all_of_them.estimate(Comparison.parse(await object_of(http)))._asdict()

    @router.get("")
    def listed() -> dict[str, Any]:
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
                for entry, finished in all_of_them.list(OWNER)
            ]
        }

    @router.get("/{id}")
    def one(id: str) -> dict[str, Any]:
        """One comparison, with a job per cell, row by row."""
        return shown(all_of_them.get(id, OWNER))

    @router.get("/{id}/curve")
    def curve(id: str) -> dict[str, Any]:
        """How far each step count's picture is from the longest run's, and what that says."""
        found = [drawn(one) for one in curves(all_of_them.get(id, OWNER), studio.picture)]
        return found[0] if len(found) == 1 and not found[0]["head"] else {"rows": found}

    @router.post("/{id}/columns", status_code=202, openapi_extra=_body("values"))
    async def extend(id: str, http: Http) -> dict[str, Any]:
        """Add columns; what is there already is not run again."""
        values = (await object_of(http)).get("values")
        if not isinstance(values, list) or not values:
            raise InvalidRequest(VALUES, "values")
        return shown(await asyncio.to_thread(all_of_them.extend, id, values, OWNER))

    @router.post("/{id}/again", status_code=202)
    def again(id: str) -> dict[str, Any]:
        """A new comparison of the same settings."""
        return shown(all_of_them.again(id, OWNER))

    @router.delete("/{id}")
    def stop(id: str) -> dict[str, Any]:
        """Stop the cells that are not finished; the others stay."""
        return shown(all_of_them.stop(id, OWNER))

    return router


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
