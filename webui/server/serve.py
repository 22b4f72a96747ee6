"""Serving: on loopback, and on the local network for as long as the studio is shared."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from webui.errors import UserError
from webui.server.head import LOOPBACK
from webui.server.lan import Lan
from webui.server.listen import QUEUE, hosts, listen
from webui.server.protocol import DeadlineProtocol

__all__ = ["Server", "configured", "hosts", "listen", "serve"]

GRACE = 1
"""Seconds that open requests have after Ctrl+C: followers of a job would stay for ever."""


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
    """Opens and closes listeners while it runs, and lets followers go before it waits for open requests: they would never end."""

    def __init__(self, config: uvicorn.Config, release: Callable[[], None]) -> None:
        super().__init__(config)
        self._release = release

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._release()
        await super().shutdown(sockets)

    async def serve_at(self, address: str, context: ssl.SSLContext | None) -> Opened:
        """One more listener, on the port of the first one.

        Raises:
            UserError: somebody else has the port there.
        """
        port = self.servers[0].sockets[0].getsockname()[1]

        def protocol() -> asyncio.Protocol:
            return DeadlineProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        server = await asyncio.get_running_loop().create_server(protocol, sock=listen(port, address), ssl=context, backlog=QUEUE)
        self.servers.append(server)
        return Opened(self, server, address)


class Opened:
    """A listener beside the first one."""

    def __init__(self, server: Server, opened: asyncio.Server, address: str) -> None:
        self._server, self._opened, self._address = server, opened, address

    def close(self) -> None:
        """Stop listening, and cut the connections that came in through it."""
        self._opened.close()
        self._server.servers.remove(self._opened)
        for connection in list(self._server.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None and (transport.get_extra_info("sockname") or ("",))[0] == self._address:
                transport.abort()


def serve(
    app: ASGIApp,
    listener: socket.socket,
    ready: Callable[[str], None],
    release: Callable[[], None],
    lan: Lan | None = None,
    *,
    shared: bool = False,
) -> None:
    """Serve until Ctrl+C, or a termination signal that the process takes as Ctrl+C: uvicorn sends it once more when it has ended.

    Args:
        ready: hears the address once the page answers, in a thread of its own: it may open a browser in this very terminal and wait for it.
        release: ends what followers wait for.
        lan: opens and closes listeners on the local network.
        shared: whether it does so at once.

    Raises:
        UserError: the studio cannot be shared.
    """
    server = Server(configured(app), release)

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        failed: UserError | None = None
        if server.started:
            try:
                if lan is not None:
                    lan.attach(server.serve_at)
                if lan is not None and shared:
                    await lan.start()
                address = f"http://{LOOPBACK}:{listener.getsockname()[1]}/"
                threading.Thread(target=ready, args=(address,), name="ready", daemon=True).start()
            except UserError as error:
                failed, server.should_exit = error, True
        await serving
        if failed is not None:
            raise failed

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return
