"""Bodies of requests, up to a limit. Gradio's JSON routes would take them of any size."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope

from webui.server.head import UPLOADS, Refusal, values

BODY_LIMIT = 1_000_000
"""Bytes of a body."""

UPLOAD_LIMIT = 20_000_000

FORM_LIMIT = 10_000
"""For the sign-in page's form, which anybody may send."""


class ClientGone(Exception):
    """The connection ended in the middle of a body."""


async def body_of(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body, of at most `limit` bytes.

    Raises:
        Refusal: it is too large.
        ClientGone: it never came whole.
    """
    most = f"{limit // 1_000_000} MB" if limit >= 1_000_000 else f"{limit // 1000} kB"
    too_large = Refusal(413, "too_large", f"A request may have at most {most}.")
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
    limit = UPLOAD_LIMIT if scope["path"] == UPLOADS else BODY_LIMIT
    replay: list[Message] = [{"type": "http.request", "body": await body_of(scope, receive, limit)}]

    async def again() -> Message:
        return replay.pop() if replay else await receive()

    return again
