"""A response on its way out, and the headers that every one of them carries."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

from starlette.types import Message, Scope, Send

from webui.server.head import Refusal

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'"
)
"""Gradio's page needs inline scripts and eval; nothing may come from, or go to, another host."""

Header = tuple[bytes, bytes]

HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Answer:
    """A response: it carries our headers, and none lets another website read it.

    Args:
        more: headers of this one alone.
        own: names of headers that it may word in its own way.
    """

    def __init__(self, send: Send, more: Iterable[Header] = (), own: Iterable[str] = ()) -> None:
        self._send = send
        self._more = tuple(more)
        kept = {name.lower().encode() for name in own}
        self._ours = tuple((name, value) for name, value in HEADERS if name not in kept)
        self.started = self.complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in self._ours}
            kept = [(name, value) for name, value in message.get("headers", []) if _allowed(name.lower()) and name.lower() not in ours]
            message = {**message, "headers": [*kept, *self._ours, *self._more]}
            self.started = True
        await self._send(message)
        self.complete = message["type"] == "http.response.body" and not message.get("more_body")

    async def cut(self) -> None:
        """End a response in its middle."""
        if self.started and not self.complete:
            await self({"type": "http.response.body", "body": b""})


def _allowed(header: bytes) -> bool:
    return not header.startswith(b"access-control-") and header != b"server"


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer with the reason why a request does not pass."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"error": {"code": refusal.code, "message": refusal.message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    if refusal.wait:
        headers.append((b"retry-after", str(math.ceil(refusal.wait)).encode()))
    await Answer(send)({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
