"""The head of a request, judged before anything else: which host is asked for, who sends it, where to.

Gradio has no Host check, and answers any website's requests once its own Host is not localhost (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Container
from urllib.parse import unquote

from starlette.types import Scope

from webui.people import Person

LOOPBACK = "127.0.0.1"
"""Where the owner's listener is; every other address of this machine is the network's."""

UPLOADS = "/gradio_api/upload"

FORBIDDEN = ("/file=http", "/proxy=")
"""Gradio would fetch addresses for whoever asks."""

UNUSED = (
    "/docs", "/redoc", "/openapi.json", "/monitoring", "/login", "/logout", "/pwa_icon", "/gradio_api/openapi.json", "/gradio_api/runs",
    "/gradio_api/dev/", "/gradio_api/vibe", "/gradio_api/undo-vibe", "/gradio_api/deep_link", "/gradio_api/process_recording",
    "/gradio_api/stream/", "/gradio_api/token", "/gradio_api/user", "/gradio_api/custom_component/",
)  # fmt: skip
"""Beginnings of Gradio's paths that the studio does not use; some of them never end, and cost time for as long as somebody listens."""

FORGED = (b"forwarded", b"x-forwarded-", b"x-real-", b"x-gradio-server")
"""Beginnings of headers that claim another address. Gradio would believe them, and no proxy stands between us and the browser."""


class Refusal(Exception):
    """Why a request does not pass."""

    def __init__(self, status: int, code: str, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.wait = status, code, message, wait


def admit(scope: Scope, hosts: Container[str]) -> None:
    """Check a request's head.

    Raises:
        Refusal: what is wrong with it.
    """
    asked = values(scope, b"host")
    if len(asked) != 1 or asked[0].lower() not in hosts:
        raise Refusal(421, "host", "This address is not one of the studio's. Open the address that it printed at its start.")
    origins = values(scope, b"origin")
    foreign = any(origin.lower() != f"{scheme(scope)}://{asked[0].lower()}" for origin in origins)
    foreign |= any(site not in ("same-origin", "none") for site in values(scope, b"sec-fetch-site")) and not visit(scope)
    if foreign or (scope["type"] == "websocket" and not origins):
        raise Refusal(403, "origin", "This request comes from another website.")


def used(scope: Scope, person: Person) -> None:
    """Check that a path, asked for by somebody who may come in, is one that the studio has, and has for them.

    Raises:
        Refusal: it is not.
    """
    path = unquote(scope["path"]).lower().replace("\\", "/")
    if any(part in path for part in FORBIDDEN):
        raise Refusal(403, "path", "The studio fetches nothing from elsewhere.")
    if scope["path"].startswith(UNUSED):
        raise Refusal(404, "not_found", "There is no such page.")
    if scope["path"].startswith(UPLOADS) and not person.makes:
        raise Refusal(403, "not_allowed", "Your link lets you look, not send files.")


def visit(scope: Scope) -> bool:
    """Whether somebody follows a link to us: the one thing that another website may start."""
    return scope["type"] == "http" and scope["method"] == "GET" and values(scope, b"sec-fetch-mode") == ["navigate"]


def scheme(scope: Scope) -> str:
    """http or https; for a websocket, that of the page that opens it."""
    return "https" if scope.get("scheme") in ("https", "wss") else "http"


def local(scope: Scope) -> bool:
    """Whether the request came in through the owner's listener, which nothing but this machine reaches."""
    return (scope.get("server") or ("", 0))[0] == LOOPBACK


def forwarded(scope: Scope) -> bool:
    """Whether a proxy says that it stands in between."""
    return any(name.startswith(FORGED) for name, _ in scope["headers"])


def values(scope: Scope, name: bytes) -> list[str]:
    """All values of a header."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
