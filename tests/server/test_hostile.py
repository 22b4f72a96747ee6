"""What a hostile neighbour sends: raw requests, forged calls of the page's own functions, odd paths. Nothing of it is a 500, or gets in."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.routing import Mount, Route

from tests.fake import frame
from webui.server.guard import Guard
from webui.studio import Studio

PORT = "{port}"
GET = f"GET /api/health HTTP/1.1\r\nHost: localhost:{PORT}\r\n"
POST = f"POST /api/jobs HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Type: application/json\r\n"
BODY = '{"prompt": "smuggled"}'

RAW: dict[str, tuple[str, set[int]]] = {
    "fine": (f"{GET}Connection: close\r\n\r\n", {200}),
    "no host": ("GET /api/health HTTP/1.1\r\n\r\n", {400}),
    "no host in the old version": ("GET /api/health HTTP/1.0\r\n\r\n", {421}),
    "two hosts": (f"{GET}Host: evil.com\r\n\r\n", {400, 421}),
    "absolute address": (f"GET http://evil.com/api/health HTTP/1.1\r\nHost: localhost:{PORT}\r\n\r\n", {404}),
    "a number as host": (f"GET /api/health HTTP/1.1\r\nHost: 2130706433:{PORT}\r\n\r\n", {421}),
    "a hexadecimal host": (f"GET /api/health HTTP/1.1\r\nHost: 0x7f.1:{PORT}\r\n\r\n", {421}),
    "any address": (f"GET /api/health HTTP/1.1\r\nHost: 0.0.0.0:{PORT}\r\n\r\n", {421}),
    "a dot after the host": (f"GET /api/health HTTP/1.1\r\nHost: localhost.:{PORT}\r\n\r\n", {421}),
    "a name in front of the host": (f"GET /api/health HTTP/1.1\r\nHost: evil@localhost:{PORT}\r\n\r\n", {421}),
    "another port": ("GET /api/health HTTP/1.1\r\nHost: localhost:99999\r\n\r\n", {421}),
    "rebound": (f"GET /api/health HTTP/1.1\r\nHost: evil.com:{PORT}\r\nOrigin: http://evil.com:{PORT}\r\n\r\n", {421}),
    "a proxy's word": (f"GET /api/health HTTP/1.1\r\nHost: evil.com\r\nX-Forwarded-Host: localhost:{PORT}\r\n\r\n", {421}),
    "two origins": (f"{GET}Origin: http://localhost:{PORT}\r\nOrigin: http://evil.com\r\n\r\n", {403}),
    "origin on https": (f"{GET}Origin: https://localhost:{PORT}\r\n\r\n", {403}),
    "origin without a port": (f"{GET}Origin: http://localhost\r\n\r\n", {403}),
    "origin by another name of ours": (f"{GET}Origin: http://127.0.0.1:{PORT}\r\n\r\n", {403}),
    "empty origin": (f"{GET}Origin: \r\n\r\n", {403}),
    "websocket from elsewhere": (
        f"{GET}Origin: http://evil.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        {403},
    ),
    "large header": (f"{GET}X: {'a' * 1_000_000}\r\n\r\n", {400}),
    "many headers": (GET + "X: a\r\n" * 200_000 + "\r\n", {400}),
    "negative length": (f"{POST}Content-Length: -1\r\n\r\n", {400}),
    "two lengths": (f"{POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\n", {400}),
    "a length that is no number": (f"{POST}Content-Length: 0x10\r\n\r\n", {400}),
    "a length that is too large": (f"{POST}Content-Length: 1000001\r\n\r\n", {413}),
    "an enormous length": (f"{POST}Content-Length: {'9' * 19}\r\n\r\n", {413}),
    "length and chunks": (f"{POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 422}),
    "a broken chunk": (f"{POST}Transfer-Encoding: chunked\r\n\r\nZZ\r\n", {400}),
    "an upload that is too large": (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Length: 20000001\r\n\r\n",
        {413},
    ),
    "a large body of a request that has none": (
        f"GET /api/health HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Length: 1000001\r\n\r\n",
        {413},
    ),
    "a form": (
        f"POST /api/jobs HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Type: text/plain\r\nContent-Length: {len(BODY)}\r\n"
        f"Origin: null\r\n\r\n{BODY}",
        {403},
    ),
    "text": (
        f"POST /api/jobs HTTP/1.1\r\nHost: localhost:{PORT}\r\nContent-Type: text/plain\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}",
        {415},
    ),
    "garbage": ("\x00\x01\x02\r\n\r\n", {400}),
    "the oldest version": ("GET /\r\n\r\n", {400}),
    "TLS": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", {400}),
    "a line break in the path": (f"GET /api/jobs/a\rb HTTP/1.1\r\nHost: localhost:{PORT}\r\n\r\n", {400}),
    "an encoded line break": (f"GET /api/jobs/a%0d%0aSet-Cookie:%20a HTTP/1.1\r\nHost: localhost:{PORT}\r\n\r\n", {404}),
    "overlong UTF-8": (f"GET /pictures/%c0%ae%c0%ae/%c0%ae.png HTTP/1.1\r\nHost: localhost:{PORT}\r\n\r\n", {404}),
    "options of all": (f"OPTIONS * HTTP/1.1\r\nHost: localhost:{PORT}\r\n\r\n", {404, 405}),
    "trace": (f"TRACE /api/health HTTP/1.1\r\nHost: localhost:{PORT}\r\n\r\n", {405}),
    "connect": (f"CONNECT evil.com:443 HTTP/1.1\r\nHost: localhost:{PORT}\r\n\r\n", {404, 405}),
    "an unknown method": (f"BREW /api/jobs HTTP/1.1\r\nHost: localhost:{PORT}\r\n\r\n", {405}),
}


def sent(address: str, text: str) -> tuple[int, str]:
    """The status and the whole answer to a raw request."""
    host, port = urlsplit(address).hostname, urlsplit(address).port
    with socket.create_connection((host or "", port or 0), timeout=60) as line:
        with contextlib.suppress(OSError):  # answered and closed before it had heard all
            line.sendall(text.replace(PORT, str(port)).encode("latin-1"))
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while not whole(answer) and (part := line.recv(65536)):
                answer += part
    status = re.match(rb"HTTP/1.1 (\d{3}) ", answer)
    return int(status[1]) if status else 0, answer.decode("latin-1")


def whole(answer: bytes) -> bool:
    """Whether an answer that says its length is all there."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


@pytest.mark.parametrize("name", RAW)
def test_a_raw_request_is_answered_as_it_deserves(address: str, name: str) -> None:
    text, allowed = RAW[name]
    status, answer = sent(address, text)
    assert status in allowed, answer[:400]
    assert "access-control-" not in answer.lower() and "\r\nset-cookie: a" not in answer.lower()
    assert "smuggled" not in answer and "Traceback" not in answer


def routes(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of every route, in every app that is mounted."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield from routes(route.app, prefix + route.path.removesuffix("/"))
        elif hasattr(route, "original_router"):  # FastAPI's include_router; its paths carry their prefix
            yield from routes(route.original_router, prefix)
        else:
            assert isinstance(route, Route), f"another kind of route: {route}"
            path = re.sub(r"\{[^}]+\}", "x", prefix + route.path)
            yield from ((method, path) for method in route.methods or ())


def test_every_route_refuses_another_host_and_another_site(served: tuple[Guard, str], client: httpx.Client) -> None:
    table = sorted(set(routes(served[0].app)))
    assert len(table) > 60 and ("POST", "/gradio_api/upload") in table and ("DELETE", "/api/jobs/x") in table
    assert {("POST", "/api/models/refresh"), ("POST", "/api/downloads/look"), ("GET", "/api/comparisons/x")} <= set(table)
    for method, path in table:
        assert client.request(method, path, headers={"host": "evil.com"}).status_code == 421, path
        assert client.request(method, path, headers={"origin": "http://evil.com"}).status_code == 403, path
        answer = client.request(method, path, headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"})
        assert answer.status_code == 403 and not [name for name in answer.headers if name.startswith("access-control-")], path
        if method == "POST":
            form = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "content-type": "application/x-www-form-urlencoded"}
            assert client.post(path, content=b"a=b", headers=form).status_code == 403, path


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("PUT", "/api/jobs", "POST"), ("POST", "/api/health", "GET"), ("GET", "/api/jobs", "POST")]
)
def test_a_wrong_method_is_told_which_are_right(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405 and allowed in answer.headers["allow"]
    assert answer.json()["error"]["code"] == "method_not_allowed"


@pytest.fixture(scope="module")
def picture(studio: Studio) -> str:
    """A picture in outputs/, among things that are none of anybody's business."""
    outputs = studio.settings.outputs
    day, sibling = outputs / "2026-01-01", outputs.with_name("outputs-secret")
    for folder in (day, sibling, day / "folder.png"):
        folder.mkdir()
    frame(1, 1).save(day / "a.png")
    frame(1, 1).save(sibling / "a.png")
    for name in (".hidden.png", "a.json", "a.sqlite", "a.png.tmp", "a.html", "a.svg"):
        (day / name).write_bytes(b"secret")
    os.mkfifo(day / "pipe.png")
    (day / "link.png").symlink_to(sibling / "a.png")
    (day / "passwd.png").symlink_to("/etc/passwd")
    (day / "loop.png").symlink_to(day / "loop.png")
    (outputs / "linked").symlink_to(sibling)
    return "/pictures/2026-01-01/a.png"


@pytest.mark.parametrize(
    "path",
    [
        "2026-01-01/.hidden.png",
        "2026-01-01/a.json",
        "2026-01-01/a.sqlite",
        "2026-01-01/a.png.tmp",
        "2026-01-01/a.html",
        "2026-01-01/a.svg",
        "2026-01-01/folder.png",
        "2026-01-01/pipe.png",
        "2026-01-01/link.png",
        "2026-01-01/passwd.png",
        "2026-01-01/loop.png",
        "2026-01-01/a.png/",
        "2026-01-01/a.png%00.jpg",
        "2026-01-01/a.png::$DATA",
        "2026-01-01/NUL",
        "2026-01-01/" + "a" * 300 + ".png",
        "linked/a.png",
        "..%2foutputs-secret/a.png",
        "%2e%2e/outputs-secret/a.png",
        "2026-01-01/..%2f..%2f..%2foutputs-secret%2fa.png",
        "2026-01-01/%252e%252e%252fa.png",
        "2026-01-01\\a.png",
        "2026-01-01/..%5ca.png",
        "C:/a.png",
        "/etc/passwd",
        "file:///etc/passwd",
        ".stepwise/journal.sqlite",
        "",
    ],
)
def test_only_pictures_are_served(client: httpx.Client, picture: str, path: str) -> None:
    answer = client.get(f"/pictures/{path}")
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "not_found"
    assert str(Path.cwd()) not in answer.text and "/tmp" not in answer.text


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("bytes=0-0", 206),
        ("bytes=-10", 206),
        ("bytes=9-1", (400, 416)),
        ("bytes=99999999999999999999-", 416),
        ("lines=1-2", (200, 400, 416)),
        ("bytes=" + ",".join(f"{k}-{k}" for k in range(0, 20_000, 2))[:60_000], (200, 206, 400, 416)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_ranges(client: httpx.Client, picture: str, asked: str, status: int | tuple[int, ...]) -> None:
    answer = client.get(picture, headers={"range": asked})
    assert answer.status_code in (status if isinstance(status, tuple) else (status,))
    assert len(answer.content) < 100_000


def test_a_picture_has_a_head_and_lasts(client: httpx.Client, picture: str) -> None:
    head, whole = client.head(picture), client.get(picture)
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == str(len(whole.content))
    assert "immutable" in whole.headers["cache-control"] and whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-type"] == "image/png"


def test_the_page_believes_no_proxy(client: httpx.Client) -> None:
    forged = {
        "x-forwarded-host": "evil.com",
        "x-forwarded-proto": "https",
        "x-gradio-server": "http://evil.com",
        "forwarded": "host=evil.com",
    }
    assert client.get("/api/health", headers=forged).status_code == 401, "behind a proxy anybody might be asking: a session tells who it is"
    client.get("/", headers={"sec-fetch-mode": "navigate", "sec-fetch-site": "none"})
    answer = client.get("/", headers=forged)
    assert answer.status_code == 200 and "evil.com" not in answer.text and "https://127" not in answer.text


FORGED: list[Any] = [
    None,
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "http://127.0.0.1:1/x", "url": "http://127.0.0.1:1/x", "meta": {"_type": "gradio.FileData"}},
    {"__type__": "update", "value": 1},
    float("1e308"),
    "a" * 100_000,
    [[[[]]]],
    list(range(10_000)),
]


@pytest.mark.parametrize("value", FORGED, ids=lambda value: ascii(value)[:30])
def test_forged_calls_of_the_pages_functions_do_nothing(
    served: tuple[Guard, str], client: httpx.Client, studio: Studio, value: Any
) -> None:
    page = client.get("/config").json()
    before = len(studio.latest())
    ours = [function for function in page["dependencies"] if function["backend_fn"]]
    assert ours
    for function in [*ours, {"id": 9999, "inputs": [1]}, {"id": -1, "inputs": []}]:
        call = {"fn_index": function["id"], "session_hash": "forged", "event_id": None, "trigger_id": 0}
        for data in ([value] * len(function["inputs"]), [value]):
            answer = client.post("/gradio_api/run/predict", json=call | {"data": data})
            assert "root:" not in answer.text and "Traceback" not in answer.text and str(Path.cwd()) not in answer.text
            assert "a" * 50_000 not in answer.text, "the input is not sent back"
    assert len(studio.latest()) == before, "nothing was submitted"
    (gradio,) = [route.app for route in served[0].app.routes if isinstance(route, Mount) and route.path == ""]  # type: ignore[attr-defined]
    cache = Path(gradio.get_blocks().GRADIO_CACHE)  # type: ignore[attr-defined]
    assert not list(cache.rglob("*passwd*"))


@pytest.mark.parametrize("body", [b'{"data": [NaN]}', b'{"data": ["\\ud800"]}', b"{", b'{"data": 1e999, "fn_index": "a"}', b"[" * 50_000])
@pytest.mark.parametrize("path", ["/gradio_api/run/predict", "/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/call/x"])
def test_gradios_own_routes_do_not_repeat_what_they_cannot_read(client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert "ud800" not in answer.text and "NaN" not in answer.text and "Traceback" not in answer.text
    assert answer.status_code < 500 or (answer.json()["error"] or {"code": "internal"})["code"] == "internal"


def test_a_bug_is_logged_and_only_its_id_is_shown(
    client: httpx.Client, studio: Studio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("the secret is in /root/secret")

    monkeypatch.setattr(studio, "models", broken)
    answer = client.get("/api/models")
    assert answer.status_code == 500 and "secret" not in answer.text and answer.headers["x-content-type-options"] == "nosniff"
    id = re.findall(r"under (\w{8})\.", answer.json()["error"]["message"])[0]
    (record,) = [record for record in caplog.records if id in record.getMessage()]
    assert record.exc_info and "secret" in str(record.exc_info[1])


def test_the_docs_name_every_route_and_every_field(client: httpx.Client) -> None:
    page = client.get("/api/docs").text
    described = client.get("/api/openapi.json").json()
    assert all(path in page for path in described["paths"]) and "http" not in re.sub(r"http-equiv|HTTP", "", page)
    fields = described["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"prompt", "steps", "count"} <= set(fields)
    asked = [one["name"] for methods in described["paths"].values() for way in methods.values() for one in way.get("parameters", ())]
    assert "search" in asked and all(f"?{name}<" in page or f"{{{name}}}" in page for name in asked)
    assert json.dumps(fields["steps"]).count("150") == 1 and "1 to 150" in page
