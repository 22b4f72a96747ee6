"""Listening and serving, on loopback only."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from webui.errors import UserError
from webui.server.protocol import DeadlineProtocol

HOST = "127.0.0.1"

QUEUE = 128
"""Connections that wait to be accepted."""

GRACE = 1
"""Seconds that open requests have after Ctrl+C: followers of a job would stay for ever."""


def listen(port: int) -> socket.socket:
    """The studio's socket. A browser that comes before the page is ready waits in its queue.

    Raises:
        UserError: somebody else has the port.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        # So that a restart need not wait for old connections. On Windows it would mean sharing the port with anybody.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # At once: until one of them listens, two studios may bind the same port.
        listener.listen(QUEUE)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"Port {port} is taken, perhaps by a studio that runs already. Choose another with --port.") from None
        raise UserError(f"Port {port} cannot be used: {error.strerror}. Choose another with --port.") from None
    return listener


def hosts(port: int) -> tuple[str, ...]:
    """The Host headers under which a browser on this machine asks for us."""
    names = ("127.0.0.1", "localhost", "[::1]")
    return tuple(f"{name}:{port}" for name in names) + (names if port == 80 else ())


def configured(app: ASGIApp) -> uvicorn.Config:
    """How the app is served."""
    return uvicorn.Config(
        app,
        http=DeadlineProtocol,
        ws="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=GRACE,
    )


class Server(uvicorn.Server):
    """Lets followers go before it waits for open requests: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, release: Callable[[], None]) -> None:
        super().__init__(config)
        self._release = release

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._release()
        await super().shutdown(sockets)


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[str], None], release: Callable[[], None]) -> None:
    """Serve until Ctrl+C or a termination signal.

    `ready` hears the address once the page answers, in a thread of its own: it may open a browser in this very terminal and wait for it.
    `release` ends what followers wait for.
    """
    server = Server(configured(app), release)
    # uvicorn sends itself the signal again once it has ended; by default that would end the process before anything else is put away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            address = f"http://{HOST}:{listener.getsockname()[1]}/"
            threading.Thread(target=ready, args=(address,), name="ready", daemon=True).start()
        await serving

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return
