"""The cookie that holds a session. No script of a page reads it, and no other website's request carries it along."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie

from starlette.types import Scope

from webui.server.answer import Header
from webui.server.head import scheme, values

SECONDS = 30 * 86400
"""How long a browser keeps it."""


def cookie(scope: Scope, value: str) -> Header:
    """The header that gives a browser its session."""
    # Not Strict: such a cookie is not sent back when the link is followed from a message.
    secure = "; Secure" if scheme(scope) == "https" else ""
    return b"set-cookie", f"{_name(scope)}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={SECONDS}{secure}".encode()


def cookies(scope: Scope) -> Iterator[str]:
    """Sessions that a browser holds; more than one if somebody planted one for another path."""
    name = _name(scope)
    for header in values(scope, b"cookie"):
        for pair in header.split(";"):
            try:
                found = SimpleCookie(pair).get(name)
            except CookieError:
                continue
            if found is not None:
                yield found.value


def _name(scope: Scope) -> str:
    """With the port in it: browsers send a host's cookies to all its ports."""
    return f"stepwise-{(scope.get('server') or ('', 0))[1]}"
