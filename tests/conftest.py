"""Every test runs without a network and with its folders in a temporary place."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake import FakeWorker, write_model
from webui.settings import Settings
from webui.studio import Studio

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
# Before anything imports torch: threads that spin while they wait make a busy machine many times slower.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio's cache goes to a temporary place, and settings of the person's own environment do not reach the tests."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
    for name in [name for name in os.environ if name.startswith("STEPWISE_") and name != "STEPWISE_REQUIRE_CHROMIUM"]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this machine fails the test that makes it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = "127.0.0.1" if address[0] == "localhost" else address[0]
            assert ipaddress.ip_address(host).is_loopback, f"the test wants to reach {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with one model, "fake", that only the fake engine can run; the built-in one is out of sight."""
    monkeypatch.setattr("webui.studio.builtin_models", lambda: tmp_path / "none")
    write_model(tmp_path / "models" / "fake")
    return Settings(models=tmp_path / "models", outputs=tmp_path / "outputs")


@pytest.fixture
def worker() -> FakeWorker:
    """An engine that is ready at once."""
    return FakeWorker()


@pytest.fixture
def studio(settings: Settings, worker: FakeWorker) -> Iterator[Studio]:
    """A running studio over the fake engine."""
    studio = Studio(settings, worker)
    studio.start()
    yield studio
    studio.close()
