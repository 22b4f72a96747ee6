"""Bodies of requests, up to a limit. Gradio's JSON routes would take them of any size."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope

from webui.server.head import UPLOADS, Refusal, values

BODY_LIMIT = 1_000_000
"""Bytes of a body."""

UPLOAD_LIMIT = 20_000_000


class ClientGone(Exception):
    """The connection ended in the middle of a body."""


async def body_of(scope: Scope, receive: Receive) -> bytes:
    """The whole body.

    Raises:
        Refusal: it is too large.
        ClientGone: it never came whole.
    """
    limit = UPLOAD_LIMIT if scope["path"] == UPLOADS else BODY_LIMIT
    too_large = Refusal(413, "too_large", f"A request may have at most {limit // 1_000_000} MB.")
    if any(not value.isdecimal() or int(value) > limit for value in values(scope, b"content-length")):
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large
        if not message.get("more_body"):
            return bytes(body)


async def bounded(scope: Scope, receive: Receive) -> Receive:
    """The body, read up to the limit and then replayed: nothing behind the guard ever holds more, or half of one.

    Raises:
        Refusal, ClientGone
    """
    replay: list[Message] = [{"type": "http.request", "body": await body_of(scope, receive)}]

    async def again() -> Message:
        return replay.pop() if replay else await receive()

    return again
