"""A hub of models in this process: repositories, addresses, and everything that goes wrong with them."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from huggingface_hub import constants

from webui.downloads import offer

CROSS = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"


def weights(numbers: int = 20_000, key: str = CROSS, **notes: str) -> bytes:
    """A true .safetensors file: a LoRA, unless the key says otherwise."""
    rows = max(1, numbers // 768)
    entries: dict[str, Any] = {key: {"dtype": "F16", "shape": [rows, 768], "data_offsets": [0, rows * 1536]}}
    text = json.dumps(entries | ({"__metadata__": notes} if notes else {})).encode()
    return struct.pack("<Q", len(text)) + text + bytes(k % 251 for k in range(rows * 1536))


class Hub:
    """What is served, and how badly. Change it while it runs."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        """Path on the server -> what lies there."""
        self.repositories: dict[str, dict[str, Any]] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        """Path and headers of each request."""
        self.cut_after: int | None = None
        """The next file breaks off after so many bytes."""
        self.forgets_ranges = False
        self.page: bytes | None = None
        """What comes in place of each file, with no word of its length."""
        self.busy = 0
        """So many requests are answered with 503 first."""
        self.hold = threading.Event()
        """Files stop half-way until this is set."""
        self.hold.set()
        self.headers: dict[str, str] = {}
        self.address = ""

    def repository(self, name: str, files: dict[str, bytes], *, licence: str = "apache-2.0", sha256: dict[str, str] | None = None) -> None:
        """Put up a repository; `sha256` says what the hub claims where that is not true."""
        siblings = []
        for path, data in files.items():
            entry: dict[str, Any] = {"rfilename": path, "size": len(data)}
            if path.endswith(".safetensors"):
                digest = (sha256 or {}).get(path, hashlib.sha256(data).hexdigest())
                entry["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 130}
            siblings.append(entry)
            self.files[f"/{name}/resolve/abc123/{path}"] = data
        self.repositories[name] = {
            "id": name, "sha": "abc123", "siblings": siblings, "cardData": {"license": licence}, "tags": [],
        }  # fmt: skip


def point(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Let this process take a server for the hub; on the machine there is always room."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", address, raising=False)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(offer, "RESERVE", 0)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def serving(hub: Hub, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve it; its address."""
    server = _Server((host, 0), _handler(hub))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    hub.address = f"http://{host}:{server.server_address[1]}"
    yield hub.address
    hub.hold.set()
    server.shutdown()
    server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Somebody hung up: that is what is tested."""


def _handler(hub: Hub) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append((path, dict(self.headers)))
            found = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/.+)?", path)
            if found:
                self._json(hub.repositories.get(found[1]))
            elif path in hub.redirects:
                self._head(302, {"location": hub.redirects[path], "content-length": "0"})
            elif hub.busy:
                hub.busy -= 1
                self._head(503, {"content-length": "0"})
            elif path in hub.files and hub.page is not None:
                self._head(200, {"transfer-encoding": "chunked"})
                self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(hub.page), hub.page))
            elif path in hub.files:
                self._file(hub.files[path])
            else:
                self._head(404, {"content-length": "0"})

        def _json(self, value: dict[str, Any] | None) -> None:
            data = json.dumps(value or {"error": "Repository not found"}).encode()
            more = {} if value else {"x-error-code": "RepoNotFound"}
            self._head(200 if value else 404, {"content-type": "application/json", "content-length": str(len(data)), **more})
            self.wfile.write(data)

        def _file(self, data: bytes) -> None:
            tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
            same = self.headers.get("if-range", tag) in (tag, hub.headers.get("last-modified"))
            start = int(wanted[1]) if wanted and same and not hub.forgets_ranges else 0
            if start >= len(data):
                self._head(416, {"content-length": "0"})
                return
            headers = {"content-length": str(len(data) - start), "etag": tag, **hub.headers}
            if start:
                headers["content-range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self._head(206 if start else 200, headers)
            cut, hub.cut_after = hub.cut_after, None
            for place in range(start, len(data), 4096):
                if cut is not None and place - start >= cut:
                    self.close_connection = True
                    self.wfile.flush()
                    self.connection.close()
                    return
                if place - start >= 8192:
                    hub.hold.wait(20)
                self.wfile.write(data[place : place + 4096])

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    return Handler
