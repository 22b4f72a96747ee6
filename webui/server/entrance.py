"""Who a request comes from, and how somebody without a session gets one: the link, the password, the sign-in page."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from webui.access.access import Access
from webui.errors import NotAllowed
from webui.people import OWNER, Person
from webui.server import account, signin
from webui.server.answer import Header
from webui.server.cookie import cookie, cookies
from webui.server.head import Refusal, forwarded, local, values, visit

KEY = "key"
"""The parameter of a link that holds its secret."""

SIGN_IN = "/sign-in"
FORM = "application/x-www-form-urlencoded"

UNSTORED = {"cache-control": "no-store"}

NOT_VALID = "This link is not valid, or not any more. Ask the owner of the studio for the new one."
NOT_RIGHT = "That is not the password."
SIGN_IN_FIRST = "Open the studio's link first: it signs you in. Programs send its secret as a bearer token."


class Visitor(NamedTuple):
    """Somebody who may come in."""

    person: Person
    headers: tuple[Header, ...] = ()
    """What the answer carries, to tell the browser who it is from now on."""


class Entrance:
    """Finds the person behind a request.

    Args:
        shared: whether others can reach the studio now.
        strict: whether even this machine is asked for a link while they cannot. Otherwise the account that the studio runs under is its
            owner there, as it is the owner of its files.
    """

    def __init__(self, access: Access, shared: Callable[[], bool], *, strict: bool = False) -> None:
        self._access = access
        self._shared = shared
        self._strict = strict
        self._trying = asyncio.Lock()

    def visitor(self, scope: Scope) -> Visitor | None:
        """Who this is; nobody if it is not known.

        Raises:
            Refusal: a bearer token is wrong, or comes too soon after wrong ones.
        """
        here = local(scope)
        bearer = [value[7:].strip() for value in values(scope, b"authorization") if value[:7].lower() == "bearer "]
        if bearer:
            return Visitor(self._program(scope, bearer[0], here))
        for value in cookies(scope):
            person = self._access.session(value, local=here)
            if person is not None:
                # Sent again whenever the page is opened: browsers keep it for a while, and its person is to stay for as long as they come.
                opened = (scope["type"], scope.get("method"), scope["path"]) == ("http", "GET", "/")
                return Visitor(person, (cookie(scope, value),) if opened else ())
        if here and not self._strict and not self._shared() and not forwarded(scope) and account.own(scope):
            # A browser is given a session, so that it stays the owner's when the studio is shared. Not for a frame in another website: the
            # cookie is not sent from there, and each look at it would be one more session in place of the owner's own.
            owner = self._access.guests.person(OWNER.id)
            page = visit(scope) and values(scope, b"sec-fetch-dest") in ([], ["document"])
            return Visitor(owner, (cookie(scope, self._access.guests.begin(owner)),) if page else ())
        return None

    def _program(self, scope: Scope, token: str, here: bool) -> Person:
        self._not_too_soon(scope)
        person = self._access.program(token, local=here)
        if person is None:
            self._access.slowdown.wrong(_place(scope))
            raise Refusal(401, "sign_in", SIGN_IN_FIRST)
        return person

    async def answer(self, scope: Scope, body: Callable[[], Awaitable[bytes]]) -> Response | None:
        """What is answered to a request about signing in; `None` if it is about something else.

        Raises:
            Refusal, ClientGone
        """
        try:
            return await self._answer(scope, body)
        except Refusal as refusal:
            if not refusal.wait:
                raise
            return self.ask(scope, refusal=refusal)

    async def _answer(self, scope: Scope, body: Callable[[], Awaitable[bytes]]) -> Response | None:
        if scope["path"] == SIGN_IN and scope["method"] == "POST":
            if [value.partition(";")[0].strip().lower() for value in values(scope, b"content-type")] != [FORM]:
                raise Refusal(415, "unsupported_media_type", "Send the form of the sign-in page.")
            fields = parse_qs((await body()).decode("latin-1"), keep_blank_values=True)
            return await self._signed(scope, {name: found[0] for name, found in fields.items()})
        if scope["path"] == SIGN_IN and scope["method"] == "GET" and self.visitor(scope) is not None:
            return RedirectResponse("/", 303)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        keys = [value for name, value in query if name == KEY]
        if scope["path"] == "/" and scope["method"] == "GET" and keys:
            rest = urlencode([(name, value) for name, value in query if name != KEY])
            return self._opened(scope, keys[0], f"/?{rest}" if rest else "/")
        return None

    def ask(self, scope: Scope, wrong: str = "", refusal: Refusal | None = None) -> Response:
        """The sign-in page, with what was wrong or why it cannot be used now.

        Raises:
            Refusal: a program is told the same in JSON.
        """
        refusal = refusal or Refusal(401, "sign_in", wrong or SIGN_IN_FIRST)
        if "text/html" not in "".join(values(scope, b"accept")):
            raise refusal
        waits = any(self._access.waits(value) for value in cookies(scope))
        text = signin.page(local=local(scope), password=waits, wrong=refusal.message if refusal.wait else wrong)
        # With no referrer at all the browser would not say where its form comes from, and the guard would refuse it.
        headers = {"referrer-policy": "same-origin", "content-security-policy": signin.POLICY, "cache-control": "no-store"}
        return HTMLResponse(text, refusal.status, headers | ({"retry-after": str(math.ceil(refusal.wait))} if refusal.wait else {}))

    async def _signed(self, scope: Scope, fields: dict[str, str]) -> Response:
        """The sign-in page's form."""
        if KEY in fields:
            return self._opened(scope, _secret_of(fields[KEY]), "/")
        waiting = [value for value in cookies(scope) if self._access.waits(value)]
        if not waiting:
            return self.ask(scope, NOT_VALID)
        # One at a time: a try takes 32 MiB, and whoever sends a hundred at once must find all but the first five slowed down.
        async with self._trying:
            self._not_too_soon(scope)
            session = await asyncio.to_thread(self._access.answer, waiting[0], fields.get("password", ""))
            if session is None:
                self._access.slowdown.wrong(_place(scope))
                return self.ask(scope, NOT_RIGHT)
            self._access.slowdown.right(_place(scope))
        return self._in(scope, session, "/")

    def _opened(self, scope: Scope, key: str, target: str) -> Response:
        """A link was opened."""
        self._not_too_soon(scope)
        here = local(scope)
        known = [value for value in cookies(scope) if self._access.guests.former(value)]
        try:
            entered = self._access.enter(key, known[0] if known else None, local=here)
        except NotAllowed as error:
            return self.ask(scope, error.message)
        if entered is None:
            if any(self._access.session(value, local=here) for value in known):
                return RedirectResponse(target, 303, UNSTORED)
            self._access.slowdown.wrong(_place(scope))
            return self.ask(scope, NOT_VALID)
        session, waits = entered
        if not waits:
            self._access.slowdown.right(_place(scope))
        return self._in(scope, session, target)

    def _in(self, scope: Scope, session: str, target: str) -> Response:
        response = RedirectResponse(target, 303, UNSTORED)
        response.raw_headers.append(cookie(scope, session))
        return response

    def _not_too_soon(self, scope: Scope) -> None:
        # Nobody but this machine's own people reach the owner's listener, and they are never locked out.
        wait = 0.0 if local(scope) else self._access.slowdown.wait(_place(scope))
        if wait > 0:
            raise Refusal(429, "too_soon", f"Too many wrong tries from your device. Try again in {int(wait) + 1} s.", wait)


def _place(scope: Scope) -> str:
    return str((scope.get("client") or ("", 0))[0])


def _secret_of(text: str) -> str:
    """The secret in a link that was pasted whole, or what was pasted."""
    found = parse_qs(urlsplit(text.strip()).query).get(KEY)
    return found[0] if found else text.strip()
