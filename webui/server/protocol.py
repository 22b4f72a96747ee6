"""HTTP/1.1 with deadlines. uvicorn waits for ever for the rest of a request, and for somebody to read what it answers: a few hundred of
either use up all connections.
"""

from __future__ import annotations

import asyncio
import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from webui.server.account import CONNECTION

HEAD_SECONDS = 15.0
BODY_SECONDS = 120.0

UNREAD_SECONDS = 60.0
"""What is answered and not read may wait so long, and besides as long as it takes at `SLOWEST`."""

SLOWEST = 8192
"""Bytes a second."""

UNSENT = 16_384
"""Bytes that may wait in the kernel for a slow link. Its own limit is megabytes: frames would stand in line there for many seconds."""

UNFINISHED = {h11.IDLE: HEAD_SECONDS, h11.SEND_BODY: BODY_SECONDS}
"""States of the other side in which the next move is its own."""


class DeadlineProtocol(H11Protocol):
    """Closes a connection whose request does not arrive whole in time, or whose answer is not read."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _awaited: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # So that `pause_writing` hears of every byte that is left here: a few, below Python's limits, would keep a closed connection too.
        transport.set_write_buffer_limits(high=1, low=0)
        line = transport.get_extra_info("socket")
        if line is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        self.app_state = {**self.app_state, CONNECTION: {}}
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read()
        patience = UNREAD_SECONDS + self.transport.get_write_buffer_size() / SLOWEST
        self._unread = self.loop.call_later(patience, self.transport.abort)

    def resume_writing(self) -> None:
        self._read()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._read()
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

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _stop(self) -> None:
        self._awaited = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
