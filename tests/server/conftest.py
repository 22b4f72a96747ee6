"""A real server with the real page over the fake engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from tests.fake import FakeWorker, write_model
from webui.panels.page import build, look
from webui.server.app import create
from webui.server.protocol import DeadlineProtocol
from webui.server.serve import Server, hosts, listen
from webui.settings import Settings
from webui.studio import Studio


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """http://127.0.0.1:port of a running studio; one for all tests of a file."""
    folder = tmp_path_factory.mktemp("studio")
    write_model(folder / "models" / "fake")
    studio = Studio(Settings(models=folder / "models", outputs=folder / "outputs"), FakeWorker(pace=0.01))
    studio.start()
    listener = listen(0)
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        create(studio, build, look(), hosts(port)), http=DeadlineProtocol, log_level="critical", timeout_graceful_shutdown=1
    )
    server = Server(config, studio.release)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
    for _ in range(600):
        try:
            client.get("/api/health")
            break
        except httpx.TransportError:
            threading.Event().wait(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)
    studio.close()
    listener.close()


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    """A client of the running server."""
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client
