"""A studio that is shared on the local network, for which another loopback address stands in, and the people at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from webui.panels.page import build, look
from webui.server.app import create
from webui.server.guard import Guard
from webui.server.lan import Lan
from webui.server.listen import hosts, listen
from webui.server.serve import Server, configured
from webui.studio import Studio

NETWORK = "127.0.0.2"
"""Stands for the machine's address on the local network: for the studio it is any other address than the owner's 127.0.0.1."""

NAVIGATE = {"accept": "text/html,*/*", "sec-fetch-mode": "navigate", "sec-fetch-site": "none"}


class Shared(NamedTuple):
    """A running studio that can be shared."""

    studio: Studio
    app: Guard
    lan: Lan
    owner: httpx.Client
    """The owner's browser, on 127.0.0.1."""
    port: int

    def share(self) -> dict[str, Any]:
        """Open the studio for the network; what the Share tab then shows."""
        state: dict[str, Any] = self.owner.put("/api/share", json={"on": True}).raise_for_status().json()
        return state

    def client(self, host: str = "", **more: Any) -> httpx.Client:
        """A browser that knows nothing of the studio yet."""
        return httpx.Client(base_url=f"http://{host or NETWORK}:{self.port}", timeout=60, **more)

    def guest(self, role: str = "maker") -> httpx.Client:
        """A browser that has opened the link."""
        with self.client() as opening:
            answer = opening.get(self.share()["links"][role]["url"], headers=NAVIGATE, follow_redirects=True)
            assert answer.status_code == 200 and "key=" not in str(answer.url)
            return self.client(cookies=opening.cookies)


@contextmanager
def shared(studio: Studio, *, address: str = NETWORK, sign: Path | None = None) -> Iterator[Shared]:
    """Serve a studio, not shared yet."""
    listener = listen(0)
    port = listener.getsockname()[1]
    lan = Lan(port, address, sign=sign)
    app = create(studio, build, look(), hosts(port), lan)
    server = Server(configured(app), studio.release)
    lan.attach(server.serve_at)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as owner:
        owner.get("/", headers=NAVIGATE).raise_for_status()
        yield Shared(studio, app, lan, owner, port)
    server.should_exit = True
    thread.join(timeout=10)
    listener.close()


def until(limit: float, condition: Any) -> bool:
    """Whether something becomes true within `limit` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
