"""`webui models add`, as somebody types it, against a hub in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.downloads.hub import Hub, serving, weights


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one LoRA."""
    hub = Hub()
    with serving(hub):
        hub.repository("ann/ink", {"ink.safetensors": weights(200_000)}, licence="cc0-1.0")
        yield hub


def add(hub: Hub, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, with nobody at the keyboard."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "webui", "models", "add", *arguments, "--models", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, stdin=subprocess.DEVNULL)


def test_it_says_what_it_is_fetches_only_when_told_and_goes_on_after_a_drop(hub: Hub, tmp_path: Path) -> None:
    asked = add(hub, tmp_path, "ann/ink")
    assert asked.returncode == 2 and "ann/ink: 0.4 MB in 1 files, licence: cc0-1.0." in asked.stderr and "say --yes" in asked.stderr
    assert list(tmp_path.iterdir()) == []
    hub.cut_after = 100_000
    done = add(hub, tmp_path, "ann/ink", "--yes")
    assert done.returncode == 0 and done.stdout == "loras/ink.safetensors\n"
    assert (tmp_path / "loras" / "ink.safetensors").read_bytes() == weights(200_000)
