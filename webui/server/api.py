"""REST over the studio. The page uses it too: for live events, tokens, frames and Stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi import Request as Http
from fastapi.responses import FileResponse, HTMLResponse, Response, StreamingResponse

from webui import __version__
from webui.engine.samplers import SAMPLERS, SCHEDULES
from webui.errors import InvalidRequest, NotAllowed, NotFound
from webui.events import Finished
from webui.jobs.job import Job
from webui.people import Person
from webui.request import Request
from webui.server.answers import answer_errors
from webui.server.asking import By
from webui.server.comparisons import comparisons
from webui.server.docs import body_of, page_of
from webui.server.feed import described, feed
from webui.server.models import models
from webui.server.objects import an_object
from webui.studio import BATCH_LIMIT, Studio, may_act

FOREVER = "private, max-age=31536000, immutable"
"""A picture never changes under its name."""

COUNT = {"count": {"type": "integer", "minimum": 1, "maximum": BATCH_LIMIT, "default": 1, "description": "Pictures, of seeds one apart."}}


def rest(studio: Studio, *more: APIRouter) -> FastAPI:
    """Everything below /api, as an app of its own: what it does not know is answered by it too, not by the page behind it."""
    api = FastAPI(title="Stepwise", version=__version__, openapi_url="/openapi.json", docs_url=None, redoc_url=None, redirect_slashes=False)
    answer_errors(api)
    for routes in more:
        api.include_router(routes)

    @api.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page_of(api.openapi()))

    @api.get("/health")
    def health() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok"}

    @api.get("/status")
    def status() -> dict[str, Any]:
        """How the engine is; `models` is another number whenever a model came or went, `memory` whenever one in the engine's memory did."""
        studio.stock.models()
        memory = f"{studio.residents.revision} {studio.usual.name}"
        return studio.status().model_dump() | {"models": studio.stock.revision, "memory": memory}

    @api.get("/loras")
    def loras(model: str | None = None) -> dict[str, Any]:
        """The LoRAs that a model takes, under the names that a prompt calls them by: `<lora:name:0.8>`."""
        found = studio.loras(model or None)
        return {"loras": [{"name": name, "title": lora.title, "family": lora.family, "bytes": lora.bytes} for name, lora in found.items()]}

    @api.get("/vaes")
    def vaes(model: str | None = None) -> dict[str, Any]:
        """The VAEs that fit a model, by the names that a request calls them: `"vae": name` in place of the model's own."""
        return {"vaes": [{"name": vae.name, "title": vae.title, "bytes": vae.bytes} for vae in studio.vaes(model or None).values()]}

    @api.get("/samplers")
    def samplers() -> dict[str, Any]:
        """The samplers, with the schedules that each of them takes."""
        return {"samplers": {name: list(row.schedules) for name, row in SAMPLERS.items()}, "schedules": list(SCHEDULES)}

    @api.post("/tokens", openapi_extra=body_of(Request))
    async def tokens(http: Http) -> dict[str, Any]:
        """How many tokens a prompt has for each text encoder of a model, and how many fit into one window; the most first.

        `sample`: another seed may draw another prompt. `cut`: what is beyond the window is not read. `problem`: why it cannot be drawn.
        """
        counted = await asyncio.to_thread(studio.tokens, _request(await an_object(http)))
        encoders = [count._asdict() for count in counted.counts]
        most = {"count": counted.total, "window": counted.window, "windows": counted.windows}
        return most | {"encoders": encoders, "sample": counted.sample, "cut": counted.cut, "problem": counted.problem}

    @api.post("/jobs", status_code=202, openapi_extra=body_of(Request, COUNT))
    async def submit(http: Http, by: By) -> dict[str, Any]:
        """Ask for pictures. All are taken, or none; what is taken is on disk before the answer."""
        values = await an_object(http)
        count = values.pop("count", 1)
        if type(count) is not int or not 1 <= count <= BATCH_LIMIT:
            raise InvalidRequest(f"count must be a whole number from 1 to {BATCH_LIMIT}.", "count")
        jobs = await asyncio.to_thread(studio.submit, _request(values).series(count), by)
        return {"group": jobs[0].group, "jobs": [described(job) for job in jobs]}

    @api.get("/jobs/{id}")
    def job(id: str, by: By) -> dict[str, Any]:
        """One job; its picture is at /pictures/ and the path that `picture` says."""
        return described(studio.job(id, by))

    @api.get("/jobs/{id}/events")
    def events(id: str, by: By, start: int = 0) -> StreamingResponse:
        """What happens to one job as server-sent events, from event number `start` on; previews are JPEGs in base64."""
        return _stream(studio, [studio.job(id, by)], max(0, start))

    @api.delete("/jobs/{id}")
    def cancel(id: str, by: By) -> dict[str, Any]:
        """Stop a job: at once if it waits, at its next step if it runs. One that is made, and waits for the disk alone, is given up."""
        studio.cancel([_own(studio.job(id, by), by).id], by, made=True)
        return described(studio.job(id, by))

    @api.post("/jobs/{id}/move")
    async def move(id: str, http: Http, by: By) -> dict[str, Any]:
        """Put a waiting job of yours before another of yours: {"before": its id}, or {"before": null} for the end."""
        values = await an_object(http)
        if set(values) != {"before"} or not isinstance(values["before"], str | None):
            raise InvalidRequest('Send {"before": the id of a waiting job}, or {"before": null} for the end.', "before")
        await asyncio.to_thread(studio.move, id, values["before"], by)
        return queue(by)

    @api.get("/jobs/{id}/picture")
    def download(id: str, by: By) -> Response:
        """A job's picture as a file, also while the disk does not take it."""
        job = studio.job(id, by)
        name = job.last.picture.rpartition("/")[2] if isinstance(job.last, Finished) else f"{job.id[:8]}.png"
        return Response(studio.download(id, by), media_type="image/png", headers={"Content-Disposition": f'attachment; filename="{name}"'})

    @api.get("/queue")
    def queue(by: By) -> dict[str, Any]:
        """What runs and what waits, of everybody: who, how long, in which order; the prompts of others are left out."""
        return {"trouble": studio.trouble, "jobs": [entry.model_dump() for entry in studio.queue(by)]}

    @api.get("/groups/{group}/events")
    def group_events(group: str, by: By) -> StreamingResponse:
        """What happens to the jobs that were asked for together; each event's `job` is the number among them."""
        return _stream(studio, _group(studio, group, by))

    @api.delete("/groups/{group}")
    def cancel_group(group: str, by: By) -> dict[str, Any]:
        """Stop the jobs that were asked for together. What is made already stays."""
        jobs = [_own(job, by) for job in _group(studio, group, by)]
        studio.cancel([job.id for job in jobs], by)
        return {"jobs": [described(job) for job in jobs]}

    api.include_router(comparisons(studio))
    api.include_router(models(studio))
    return api


def pictures(studio: Studio) -> FastAPI:
    """Everything below /pictures: the files of pictures and of their frames."""
    api = FastAPI(openapi_url=None, redirect_slashes=False)
    answer_errors(api)

    @api.api_route("/{day}/{name}", methods=["GET", "HEAD"])
    def picture(day: str, name: str, by: By) -> FileResponse:
        file = studio.pictures.file(f"{day}/{name}", by)
        return FileResponse(file, headers={"Cache-Control": FOREVER, "Content-Disposition": "inline"})

    return api


def _request(values: dict[str, Any]) -> Request:
    # Through JSON once more: there a list is no tuple and a number no truth value.
    return Request.parse_json(json.dumps(values))


def _own(job: Job, by: Person) -> Job:
    if not may_act(by, job):
        raise NotAllowed("This picture is another person's.")
    return job


def _group(studio: Studio, group: str, by: Person) -> list[Job]:
    jobs = studio.group(group, by)
    if not jobs:
        raise NotFound("There are no such jobs.")
    return jobs


def _stream(studio: Studio, jobs: Sequence[Job], start: int = 0) -> StreamingResponse:
    return StreamingResponse(feed(studio, jobs, start), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
