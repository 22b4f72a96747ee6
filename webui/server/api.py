"""REST over the studio. The page uses it too: for live events, tokens, frames and Stop."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi import Request as Http
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from webui.engine.samplers import SAMPLERS, SCHEDULES
from webui.errors import InvalidRequest, NotFound, UserError
from webui.events import Event, Finished, Step
from webui.jobs.job import Job
from webui.request import PROMPT_LENGTH, Request
from webui.studio import BATCH_LIMIT, Studio

log = logging.getLogger(__name__)

PACE = 0.1
"""Seconds between two messages to one follower; what happened meanwhile travels together."""

MOST_NEW = 16
"""Frames in one message. A follower on a slow link misses frames rather than falling behind; they are on the picture's sheet."""

FOREVER = "private, max-age=31536000, immutable"
"""A picture never changes under its name."""


def routes(studio: Studio) -> APIRouter:
    """All routes of our own."""
    api = APIRouter()

    @api.get("/api/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @api.get("/api/status")
    def status() -> dict[str, Any]:
        return studio.status().model_dump()

    @api.get("/api/models")
    def models() -> dict[str, Any]:
        return {"models": [model.model_dump(exclude={"path"}) for model in studio.models().values()]}

    @api.get("/api/samplers")
    def samplers() -> dict[str, Any]:
        return {"samplers": {name: list(row.schedules) for name, row in SAMPLERS.items()}, "schedules": list(SCHEDULES)}

    @api.post("/api/tokens")
    async def tokens(http: Http) -> dict[str, int]:
        values = _object(await http.body())
        prompt, model = values.get("prompt", ""), values.get("model")
        if not isinstance(prompt, str) or len(prompt) > PROMPT_LENGTH or not (model is None or isinstance(model, str)):
            raise InvalidRequest("Send a prompt and, if you like, a model's name.")
        counted = studio.tokens(model, prompt.encode(errors="replace").decode())
        return {"count": counted.total, "window": counted.window, "windows": counted.windows}

    @api.post("/api/jobs", status_code=202)
    async def submit(http: Http) -> dict[str, Any]:
        values = _object(await http.body())
        count = values.pop("count", 1)
        if type(count) is not int or not 1 <= count <= BATCH_LIMIT:
            raise InvalidRequest(f"count must be a whole number from 1 to {BATCH_LIMIT}.", "count")
        request = Request.parse_json(json.dumps(values))
        jobs = await asyncio.to_thread(studio.submit, request.series(count))
        return {"group": jobs[0].group, "jobs": [_described(job) for job in jobs]}

    @api.get("/api/jobs/{id}")
    def job(id: str) -> dict[str, Any]:
        return _described(studio.job(id))

    @api.get("/api/jobs/{id}/events")
    async def events(id: str, start: int = 0) -> StreamingResponse:
        return _stream(studio, [studio.job(id)], max(0, start))

    @api.delete("/api/jobs/{id}")
    def cancel(id: str) -> dict[str, Any]:
        studio.cancel([studio.job(id).id])
        return _described(studio.job(id))

    @api.get("/api/groups/{group}/events")
    async def group_events(group: str) -> StreamingResponse:
        return _stream(studio, _group(studio, group))

    @api.delete("/api/groups/{group}")
    def cancel_group(group: str) -> dict[str, Any]:
        jobs = _group(studio, group)
        studio.cancel([job.id for job in jobs])
        return {"jobs": [_described(job) for job in jobs]}

    @api.get("/pictures/{day}/{name}")
    def picture(day: str, name: str) -> FileResponse:
        file = studio.picture(f"{day}/{name}")
        return FileResponse(file, headers={"Cache-Control": FOREVER, "Content-Disposition": "inline"})

    return api


def answer_errors(app: FastAPI) -> None:
    """Every error in one shape: `{"error": {"code", "message", "field"?}}`."""

    @app.exception_handler(UserError)
    async def ours(_: Http, error: UserError) -> Response:
        return JSONResponse(error.payload(), error.status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Http, error: RequestValidationError) -> Response:
        # Never echo the input: what cannot be encoded would turn the answer itself into an error.
        fields = sorted({str(problem["loc"][-1])[:60] for problem in error.errors()})
        return JSONResponse(InvalidRequest(f"Not understood: {', '.join(fields)}.").payload(), 422)

    @app.exception_handler(HTTPException)
    async def plain(_: Http, error: HTTPException) -> Response:
        return JSONResponse({"error": {"code": "http", "message": str(error.detail)}}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def bug(_: Http, error: Exception) -> Response:
        id = uuid.uuid4().hex[:8]
        log.error("error %s", id, exc_info=error)
        message = f"Something went wrong in the studio. The log has the details under {id}."
        return JSONResponse({"error": {"code": "internal", "message": message}}, 500)


def _object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; NaN, infinity, doubled keys and anything else that JSON does not have are refused."""

    def refuse(word: str) -> float:
        raise ValueError(word)

    def single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("doubled key")
        return dict(pairs)

    try:
        values = json.loads(body, parse_constant=refuse, object_pairs_hook=single)
        json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidRequest('Send a JSON object such as {"prompt": "a red sailboat"}.') from None
    if not isinstance(values, dict):
        raise InvalidRequest('Send a JSON object such as {"prompt": "a red sailboat"}.')
    return values


def _group(studio: Studio, group: str) -> list[Job]:
    jobs = studio.group(group)
    if not jobs:
        raise NotFound("There are no such jobs.")
    return jobs


def _described(job: Job) -> dict[str, Any]:
    last = job.last
    described = {"id": job.id, "group": job.group, "state": last.kind, "request": job.request.model_dump()}
    return described | ({"picture": last.picture, "seconds": last.seconds} if isinstance(last, Finished) else {})


def _stream(studio: Studio, jobs: Sequence[Job], start: int = 0) -> StreamingResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(studio, jobs, start), media_type="text/event-stream", headers=headers)


async def _lines(studio: Studio, jobs: Sequence[Job], start: int) -> AsyncIterator[str]:
    """Server-sent events: first the jobs, then what happens to them, several events in one message."""
    yield _message("jobs", [_described(job) for job in jobs])
    news: asyncio.Queue[tuple[int, Event] | None] = asyncio.Queue()
    readers = [asyncio.create_task(_read(studio, number, job, start, news)) for number, job in enumerate(jobs)]
    left = len(readers)
    try:
        while left:
            batch = [await news.get()]
            while not news.empty():
                batch.append(news.get_nowait())
            left -= batch.count(None)
            events = [pair for pair in batch if pair is not None]
            if events:
                yield _message("events", [_shown(number, event) for number, event in _thinned(events)])
                await asyncio.sleep(PACE)
        yield _message("end", [])
    finally:
        for reader in readers:
            reader.cancel()


async def _read(studio: Studio, number: int, job: Job, start: int, news: asyncio.Queue[tuple[int, Event] | None]) -> None:
    last = job.last
    if isinstance(last, Finished) and not job.frames:
        # From the journal: its frames are on the picture's sheet.
        frames = await asyncio.to_thread(_stored_frames, studio, last.picture)
        for i, frame in enumerate(frames, 1):
            news.put_nowait((number, Step(i=i, n=job.request.steps, preview=frame, seconds=last.seconds * i / len(frames))))
    async for event in job.follow(start):
        news.put_nowait((number, event))
    news.put_nowait(None)


def _stored_frames(studio: Studio, picture: str) -> tuple[bytes, ...]:
    try:
        return studio.frames(picture)
    except NotFound:
        return ()


def _thinned(events: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
    """All events, but no more than the newest previews when a follower has fallen behind a live job."""
    steps = [at for at, (_, event) in enumerate(events) if isinstance(event, Step)]
    if len(steps) <= MOST_NEW or isinstance(events[-1][1], Finished):
        return events
    bare = set(steps[:-MOST_NEW])
    return [
        (number, event.model_copy(update={"preview": None}) if at in bare and isinstance(event, Step) else event)
        for at, (number, event) in enumerate(events)
    ]


def _shown(number: int, event: Event) -> dict[str, Any]:
    """An event as the page reads it; `job` is the job's number in its group."""
    shown = event.model_dump(exclude={"preview"}) | {"job": number}
    if isinstance(event, Step) and event.preview is not None:
        shown["preview"] = base64.b64encode(event.preview).decode()
    return shown


def _message(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
