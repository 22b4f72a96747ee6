"""Listening and ending, in a process of its own as the command line does it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from webui.errors import UserError
from webui.server.serve import hosts, listen

ROOT = Path(__file__).parents[2]

PROGRAM = """
import signal, sys, urllib.request
from pathlib import Path
from tests.fake import FakeWorker, write_model
from webui.panels.page import build, look
from webui.server.app import create
from webui.server.serve import hosts, listen, serve
from webui.settings import Settings
from webui.studio import Studio

def ready(url):
    urllib.request.urlopen(url).read()  # as a browser in the same terminal would: it waits for the page
    print(url, flush=True)

signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command does
folder = Path(sys.argv[1])
write_model(folder / "models" / "fake")
studio = Studio(Settings(models=folder / "models", outputs=folder / "outputs"), FakeWorker(pace=0.2))
studio.start()
with listen(0) as listener:
    serve(create(studio, build, look(), hosts(listener.getsockname()[1])), listener, ready, studio.release)
studio.close()
print("closed", flush=True)
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A studio in its own process, and its address once it has printed it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GRADIO_ANALYTICS_ENABLED": "False"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout
    yield process, process.stdout.readline().strip()
    if process.poll() is None:
        process.kill()
    process.communicate()


def watch(address: str, path: str, heard: list[str], first: threading.Event) -> None:
    """Follow an event stream until the server ends it."""
    with contextlib.suppress(httpx.TransportError), httpx.stream("GET", address + path, timeout=120) as answer:
        for line in answer.iter_lines():
            heard.append(line)
            first.set()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_with_a_job_running_and_its_page_open(running: tuple[subprocess.Popen[str], str], how: signal.Signals) -> None:
    process, address = running
    job = httpx.post(f"{address}api/jobs", json={"prompt": "a", "steps": 150, "model": "fake"}, timeout=60).json()["jobs"][0]["id"]
    heard: list[str] = []
    first = threading.Event()
    follower = threading.Thread(target=watch, args=(address, f"api/jobs/{job}/events", heard, first))
    follower.start()
    port = urlsplit(address).port or 0
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as half, httpx.Client() as idle:
        half.sendall(b"GET / HT")
        idle.get(f"{address}api/health")
        assert first.wait(60)
        process.send_signal(how)
        out, err = process.communicate(timeout=120)
    follower.join(60)
    assert process.returncode == 0 and out == "closed\n" and err == ""
    assert not follower.is_alive() and "event: end" not in heard, "the page asks again after a restart"


def test_a_port_that_is_taken_is_a_sentence_that_names_the_flag() -> None:
    with listen(0) as first, pytest.raises(UserError, match=r"taken.*--port"):
        listen(first.getsockname()[1])


def test_a_port_is_free_again_after_its_studio_ended() -> None:
    with listen(0) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            first.accept()[0].close()
    listen(port).close()


def test_only_this_machine_is_listened_to_and_named() -> None:
    with listen(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    assert hosts(7860) == ("127.0.0.1:7860", "localhost:7860", "[::1]:7860")
    assert "localhost" in hosts(80)


def test_small_answers_are_sent_at_once() -> None:
    """Without TCP_NODELAY each answer takes 40 ms more; asyncio sets it only on sockets that say that they are TCP."""

    async def story() -> int:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def met(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            told.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen(0) as listener:
            server = await asyncio.start_server(met, sock=listener)
            _, writer = await asyncio.open_connection(*listener.getsockname())
            value = await told
            writer.close()
            server.close()
        return value

    assert asyncio.run(story())
