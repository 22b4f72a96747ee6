"""A real server with the real page over the fake engine; one for all tests of a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.fake import FakeWorker, write_model
from webui.panels.page import build, look
from webui.server.app import create
from webui.server.guard import Guard
from webui.server.serve import Server, configured, hosts, listen
from webui.settings import Settings
from webui.studio import Studio


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio whose engine takes 10 ms a step."""
    folder = tmp_path_factory.mktemp("studio")
    write_model(folder / "models" / "fake")
    studio = Studio(Settings(models=folder / "models", outputs=folder / "outputs"), FakeWorker(pace=0.01))
    studio.start()
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def served(studio: Studio) -> Iterator[tuple[Guard, str]]:
    """The app, and the address at which it is served."""
    listener = listen(0)
    port = listener.getsockname()[1]
    app = create(studio, build, look(), hosts(port))
    server = Server(configured(app), studio.release)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield app, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)
    listener.close()


@pytest.fixture(scope="module")
def address(served: tuple[Guard, str]) -> str:
    """http://127.0.0.1:port of the running server."""
    return served[1]


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    """A client of the running server."""
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client
