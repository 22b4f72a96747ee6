"""One gate in front of every route, http and websocket: who is asking, from where, and how much.

Gradio has no Host check, and answers any website's requests once its own Host is not localhost (DNS rebinding); its JSON routes take bodies
of any size. All of that is decided here, before any other code of the server sees the request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 1_000_000
"""Bytes of a body."""

UPLOAD_LIMIT = 20_000_000
UPLOADS = "/gradio_api/upload"

FORBIDDEN = ("/file=http", "/proxy=")
"""Gradio would fetch addresses for whoever asks."""

FORGED = (b"forwarded", b"x-forwarded-", b"x-real-", b"x-gradio-server")
"""Beginnings of headers that claim another address. Gradio would believe them, and no proxy stands between us and the browser."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'"
)
"""Gradio's page needs inline scripts and eval; nothing may come from, or go to, another host."""

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Refusal(Exception):
    """Why a request does not pass."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class ClientGone(Exception):
    """The connection ended in the middle of a body."""


class Guard:
    """A pure ASGI gate around `app`. `hosts` are the only values of the Host header that are answered."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self.app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            self._admit(scope)
            if scope["type"] == "http":
                receive = await _bounded(scope, receive)
        except Refusal as refusal:
            await _refuse(scope, send, refusal)
        except ClientGone:
            return
        else:
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if not name.startswith(FORGED)]}
            answer = Answer(send)
            try:
                await self.app(scope, receive, answer)
            except Exception:
                # What has been answered has been logged (`answers.py`); uvicorn would cut the connection under the next request.
                if not answer.complete:
                    raise

    def _admit(self, scope: Scope) -> None:
        """Raise what is wrong with the request's head."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise Refusal(421, "host", "This address is not one of the studio's. Open the address that it printed at its start.")
        origins = _values(scope, b"origin")
        foreign = any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins)
        foreign |= any(site not in ("same-origin", "none") for site in _values(scope, b"sec-fetch-site")) and not _visit(scope)
        if foreign or (scope["type"] == "websocket" and not origins):
            raise Refusal(403, "origin", "This request comes from another website.")
        path = unquote(scope["path"]).lower().replace("\\", "/")
        if any(part in path for part in FORBIDDEN):
            raise Refusal(403, "path", "The studio fetches nothing from elsewhere.")


def _visit(scope: Scope) -> bool:
    """Whether somebody follows a link to us: the one thing that another website may start."""
    return scope["type"] == "http" and scope["method"] == "GET" and _values(scope, b"sec-fetch-mode") == ["navigate"]


async def _bounded(scope: Scope, receive: Receive) -> Receive:
    """The body, read up to the limit and then replayed: nothing behind the guard ever holds more, or half of one."""
    limit = UPLOAD_LIMIT if scope["path"] == UPLOADS else BODY_LIMIT
    too_large = Refusal(413, "too_large", f"A request may have at most {limit // 1_000_000} MB.")
    if any(not value.isdecimal() or int(value) > limit for value in _values(scope, b"content-length")):
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
            break
    replay: list[Message] = [{"type": "http.request", "body": bytes(body)}]

    async def again() -> Message:
        return replay.pop() if replay else await receive()

    return again


class Answer:
    """A response on its way out: it carries our headers, and none lets another website read it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in HEADERS}
            kept = [(name, value) for name, value in message.get("headers", []) if _allowed(name.lower()) and name.lower() not in ours]
            message = {**message, "headers": [*kept, *HEADERS]}
        await self._send(message)
        self.complete = message["type"] == "http.response.body" and not message.get("more_body")


def _allowed(header: bytes) -> bool:
    return not header.startswith(b"access-control-") and header != b"server"


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"error": {"code": refusal.code, "message": refusal.message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await Answer(send)({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
