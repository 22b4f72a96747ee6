"""Every error that leaves the server in one shape: `{"error": {"code", "message", "field"?}}`."""

from __future__ import annotations

import logging
import uuid
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from webui.errors import InvalidRequest, UserError

log = logging.getLogger(__name__)


def answer_errors(app: FastAPI) -> None:
    """For an app of ours: what a person can mend is a sentence; everything else is logged, and answered with the id that the log has."""

    @app.exception_handler(UserError)
    async def ours(_: Request, error: UserError) -> JSONResponse:
        return JSONResponse(error.payload(), error.status)

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).name.lower()
        return JSONResponse({"error": {"code": code, "message": str(error.detail)}}, error.status_code, error.headers)

    answer_bugs(app)


def answer_bugs(app: FastAPI) -> None:
    """For an app that has an answer of its own to what a person can mend: no echo of wrong input, no word of what went wrong inside."""

    @app.exception_handler(Exception)
    async def bug(_: Request, error: Exception) -> JSONResponse:
        id = uuid.uuid4().hex[:8]
        log.error("error %s", id, exc_info=error)
        message = f"Something went wrong in the studio. The log has the details under {id}."
        return JSONResponse({"error": {"code": "internal", "message": message}}, 500)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # FastAPI's own answer repeats the input, and where that cannot be encoded (NaN, half a character) it becomes an error itself.
        fields = sorted({str(problem["loc"][-1])[:60] for problem in error.errors()})
        return JSONResponse(InvalidRequest(f"Not understood: {', '.join(fields)}.").payload(), 422)
