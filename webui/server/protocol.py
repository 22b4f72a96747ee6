"""HTTP/1.1 with deadlines. uvicorn waits for ever for the rest of a request: a few hundred half-sent ones use up all connections."""

from __future__ import annotations

import asyncio
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from webui.server.account import CONNECTION

HEAD_SECONDS = 15.0
BODY_SECONDS = 120.0

UNSENT = 16_384
"""Bytes that may wait in the kernel for a slow link. Its own limit is megabytes: frames would stand in line there for many seconds."""

UNFINISHED = {h11.IDLE: HEAD_SECONDS, h11.SEND_BODY: BODY_SECONDS}
"""States of the other side in which the next move is its own."""


class DeadlineProtocol(H11Protocol):
    """Closes a connection whose request does not arrive whole in time."""

    _deadline: asyncio.TimerHandle | None = None
    _awaited: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        line = transport.get_extra_info("socket")
        if line is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        self.app_state = {**self.app_state, CONNECTION: {}}
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Arm the deadline when an unfinished state begins, disarm it when that ends; more bytes alone do not extend it."""
        state = self.conn.their_state
        if state is self._awaited:
            return
        self._stop()
        if state in UNFINISHED:
            self._awaited = state
            self._deadline = self.loop.call_later(UNFINISHED[state], self.transport.close)

    def _stop(self) -> None:
        self._awaited = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
