"""Deadlines: a connection whose request does not come is closed, and no other is."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import h11
import httpx
import pytest

from webui.server import protocol


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second for a head, and for a body."""
    monkeypatch.setattr(protocol, "UNFINISHED", {h11.IDLE: 1.0, h11.SEND_BODY: 1.0})


def connected(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), timeout=60)


def host(address: str) -> str:
    return f"Host: {urlsplit(address).netloc}\r\n"


@pytest.mark.parametrize(
    "start", ["", "GET / HT", "POST /api/jobs HTTP/1.1\r\n{host}Content-Length: 100\r\n\r\n{{", "GET / HTTP/1.1\r\nX: "]
)
def test_a_request_that_never_ends_is_closed_and_others_are_served(address: str, start: str) -> None:
    lines = [connected(address) for _ in range(30)]
    for line in lines:
        line.sendall(start.format(host=host(address)).encode())
    assert httpx.get(f"{address}/api/health", timeout=60).status_code == 200
    for line in lines:
        assert line.recv(4096) == b"", "closed, without an answer"
        line.close()


def test_a_byte_now_and_then_gains_no_time(address: str) -> None:
    with connected(address) as line:
        line.sendall(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises(OSError):
            for _ in range(600):
                line.sendall(b"a")
                time.sleep(0.05)


@pytest.mark.parametrize("last", ["", "Connection: close\r\n"])
def test_an_answer_that_nobody_reads_is_cut_off(address: str, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "SLOWEST", 1e9)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", urlsplit(address).port))
        line.sendall(f"GET /config HTTP/1.1\r\n{host(address)}{last}\r\n".encode())
        with pytest.raises(OSError):
            for _ in range(100):
                time.sleep(0.05)
                line.send(b"\r\n")


def test_an_answer_may_take_longer_than_its_request(client: httpx.Client) -> None:
    job = client.post("/api/jobs", json={"prompt": "a", "steps": 150, "model": "fake"}).json()["jobs"][0]["id"]
    told = client.get(f"/api/jobs/{job}/events").text
    assert "event: end" in told and '"kind": "finished"' in told


def test_a_connection_is_used_again_after_a_pause(address: str) -> None:
    with connected(address) as line:
        for _ in range(3):
            line.sendall(f"GET /api/health HTTP/1.1\r\n{host(address)}\r\n".encode())
            answer = b""
            while not answer.endswith(b'{"status":"ok"}'):
                part = line.recv(4096)
                assert part, "closed between two requests"
                answer += part
            time.sleep(1.3)


def test_requests_in_one_piece_and_their_rest_later_are_answered(address: str) -> None:
    with connected(address) as line:
        request = f"GET /api/health HTTP/1.1\r\n{host(address)}\r\n".encode()
        line.sendall(request + request[:10])
        time.sleep(0.1)
        line.sendall(request[10:])
        answer = b""
        while answer.count(b'{"status":"ok"}') < 2:
            part = line.recv(4096)
            assert part, "the second request was dropped"
            answer += part
