"""One gate in front of every route, http and websocket: who is asking, from where, and how much. Whatever is not known is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container

from starlette.types import ASGIApp, Receive, Scope, Send

from webui.access.guests import Guests
from webui.errors import UserError
from webui.server.answer import Answer, refuse
from webui.server.body import FORM_LIMIT, ClientGone, body_of, bounded
from webui.server.entrance import SIGN_IN_FIRST, Entrance, Visitor
from webui.server.head import FORGED, Refusal, admit, used


class Guard:
    """A pure ASGI gate around `app`.

    Args:
        hosts: the values of the Host header that are answered to this request.
        entrance: finds out who is asking; the app finds the person in `scope["person"]`.
        guests: tell when a person's sessions end, and with them what is being sent to them.
    """

    def __init__(self, app: ASGIApp, hosts: Callable[[Scope], Container[str]], entrance: Entrance, guests: Guests) -> None:
        self.app = app
        self._hosts = hosts
        self._entrance = entrance
        self._guests = guests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            admit(scope, self._hosts(scope))
            visitor = await self._visitor(scope, receive, send)
            if visitor is None:
                return
            used(scope, visitor.person)
            await self._pass(scope, receive, send, visitor)
        except Refusal as refusal:
            await refuse(scope, send, refusal)
        except UserError as error:
            await refuse(scope, send, Refusal(error.status, error.code, error.message))
        except ClientGone:
            return

    async def _visitor(self, scope: Scope, receive: Receive, send: Send) -> Visitor | None:
        """Who may come in; without anybody, the request has been answered."""
        if scope["type"] != "http":
            visitor = self._entrance.visitor(scope)
            if visitor is None:
                raise Refusal(403, "sign_in", "")
            return visitor
        response = await self._entrance.answer(scope, lambda: body_of(scope, receive, FORM_LIMIT))
        if response is None:
            visitor = self._entrance.visitor(scope)
            if visitor is not None:
                return visitor
            response = self._entrance.ask(scope)
        await response(scope, receive, Answer(send, own=response.headers.keys()))
        return None

    async def _pass(self, scope: Scope, receive: Receive, send: Send, visitor: Visitor) -> None:
        person = visitor.person
        headers = [(name, value) for name, value in scope["headers"] if not name.startswith((*FORGED, b"cookie", b"authorization"))]
        answer = Answer(send, visitor.headers)
        loop = asyncio.get_running_loop()
        task: asyncio.Future[None] | None = None

        def stop() -> None:
            if task is not None:
                task.cancel()

        with self._guests.told(person, lambda: loop.call_soon_threadsafe(stop)):
            if scope["type"] == "http":
                # Among what is told: a body holds its connection, and memory, too.
                receive = await bounded(scope, receive)
            # Once more, now that nothing is missed: the body may have taken its time, and the session may have ended meanwhile.
            if not person.owns and self._entrance.visitor(scope) is None:
                raise Refusal(401, "sign_in", SIGN_IN_FIRST)
            task = asyncio.ensure_future(self._run({**scope, "headers": headers, "person": person}, receive, answer))
            try:
                await task
            except asyncio.CancelledError:
                ours = asyncio.current_task()
                if ours is not None and ours.cancelling():
                    raise
                if not answer.started:
                    await refuse(scope, send, Refusal(401, "sign_in", SIGN_IN_FIRST))
                await answer.cut()

    async def _run(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        try:
            await self.app(scope, receive, answer)
        except Exception:
            # What has been answered has been logged (`answers.py`); uvicorn would cut the connection under the next request.
            if not answer.complete:
                raise
