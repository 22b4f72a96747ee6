"""Rows 68 to 102 of the project's table of bad input: paths and HTTP, over a running, shared studio.

Each row is asked by nobody (no session), by a guest on the network, and by the owner in front of the machine.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.fake import frame
from tests.server.sharing import NAVIGATE, NETWORK, Shared, shared, until
from tests.server.test_hostile import routes, sent
from webui.access.shown import Record
from webui.studio import Studio

DAY = "2026-02-02"
JOB = {"prompt": "a", "steps": 2, "model": "fake"}
JSON = {"content-type": "application/json"}
KINDS = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain")


class Row(NamedTuple):
    """One thing that somebody sends, and what they may be answered."""

    number: int
    path: str
    answers: set[int]
    method: str = "GET"
    headers: dict[str, str] = {}  # noqa: RUF012
    body: bytes | None = None


def paths(number: int, *tails: str) -> list[Row]:
    """Below /pictures, none of these is a picture."""
    return [Row(number, f"/pictures/{tail}", {404}) for tail in tails]


HOSTS = (
    "evil.com", "127.0.0.1.evil.com:{port}", "localhost.:{port}", "2130706433:{port}", "0x7f000001:{port}", "localhost:99999",
    "0.0.0.0:{port}", "evil@localhost:{port}", "[::2]:{port}", "127.1:{port}", "[::1]",
)  # fmt: skip
ORIGINS = ("https://evil.com", "null", "http://{host}:1", "https://{host}:{port}", "http://{host}", "file://", "")
SITES = ("cross-site", "CROSS-SITE", "same-site", "", "anything")
MANY = "bytes=" + ",".join(f"{k}-{k}" for k in range(0, 20_000, 2))[:60_000]

ROWS = [
    *paths(
        68, "../x.png", f"..%2f{DAY}/a.png", "%2e%2e/a.png", "..%5ca.png", "%5c..%5ca.png", "//etc/passwd", "file:///etc/passwd",
        f"{DAY}/%00.png", f"{DAY}/a.png%00", "%252e%252e/a.png", "%c0%ae%c0%ae/a.png",
        f"{DAY}/..%2f..%2f..%2f..%2fetc%2fpasswd", f"{DAY}\\a.png",
    ),
    *paths(69, "..%2foutputs-secret/a.png", "%2e%2e%2foutputs-secret%2fa.png"),
    *paths(70, f"{DAY}/link.png", f"{DAY}/passwd.png", f"{DAY}/loop.png", "linked/a.png"),
    *paths(71, f"{DAY}/pipe.png", f"{DAY}/folder.png", f"{DAY}/.hidden.png", f"{DAY}/a.png.tmp", f"{DAY}/a.sqlite", f"{DAY}/a.json",
           ".stepwise/people.sqlite", ".stepwise/self-signed.pem", ".stepwise/journal.sqlite"),
    *[Row(72, f"/gradio_api/{tail}", {403}) for tail in ("file=http://127.0.0.1/x", "file=HTTPS://a.b", "proxy=http://a.b", "file%3Dhttp://a")],
    *[
        Row(73, f"/pictures/{DAY}/a.png", answers, headers={"range": asked})
        for asked, answers in (("bytes=0-0", {206}), (MANY, {200, 206, 400, 416}), ("bytes=9-1", {400, 416}), (f"bytes={'9' * 30}-", {416}))
    ],
    Row(74, f"/pictures/{DAY}/a.png", {200}, "HEAD"),
    *paths(75, "windows/win.ini", "C:/a.png", f"{DAY}/a.png::$DATA", f"{DAY}/NUL", f"{DAY}/a.png."),
    Row(76, "/api/jobs", {405}, "PUT"),
    Row(76, "/api/me", {405}, "PATCH"),
    *[
        Row(77, "/api/jobs", {400, 413, 415, 422}, "POST", {"content-type": kind} | more, body)
        for kind, more, body in (
            ("application/json", {}, b"{"),
            ("text/plain", {}, b'{"prompt": "a"}'),
            ("application/json", {}, '{"prompt": "a"}'.encode("utf-16")),
            ("application/json", {"content-encoding": "gzip"}, b"\x1f\x8b\x08" + b"\0" * 100),
            ("", {}, b'{"prompt": "a"}'),
        )
    ],
    Row(78, "/api/jobs", {422}, "POST", {"content-type": "application/json"}, b"[" * 100_000),
    Row(78, "/api/jobs", {422}, "POST", {"content-type": "application/json"}, b'{"seed": ' + b"9" * 5000 + b"}"),
    Row(81, "/api/jobs/a%0d%0aSet-Cookie:%20a=b", {404}),
    Row(81, "/pictures/a%0d%0aX:%20y/b.png", {404}),
    *[Row(82, "/api/health", {400, 421}, headers={"host": host}) for host in HOSTS],
    Row(83, "/api/jobs", {421}, "POST", {"host": "evil.com:{port}", "origin": "http://evil.com:{port}"} | JSON, b"{}"),
    *[
        Row(84, path, {403}, method, {"origin": origin})
        for origin in ORIGINS
        for method, path in (("POST", "/api/jobs"), ("DELETE", "/api/jobs/x"), ("POST", "/gradio_api/queue/join"), ("PUT", "/api/me"))
    ],
    *[Row(84, "/api/jobs", {403}, "POST", {"sec-fetch-site": site}) for site in SITES],
    *[
        Row(86, path, {403}, "POST", {"content-type": kind, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, b"a=b")
        for kind in KINDS
        for path in ("/", "/api/jobs", "/api/share/links", "/gradio_api/upload", "/sign-in")
    ],
    *[
        Row(87, path, {403}, "OPTIONS", {"origin": "http://evil.com", "access-control-request-method": "POST"})
        for path in ("/api/jobs", "/gradio_api/queue/join", "/")
    ],
    Row(89, "/api/health", {403}, headers={
        "origin": "http://evil.com", "connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }),
    *[Row(95, f"/?next={target}", {200}) for target in ("//evil", "/%5Cevil", "////evil", "javascript:alert(1)")],
    *[Row(99, "/gradio_api/run/predict", {200, 400, 404, 422, 500}, "POST", JSON, body) for body in (
        b'{"fn_index": 9999, "data": [], "session_hash": "x"}', b'{"fn_index": -1, "data": []}',
        b'{"fn_index": 0, "data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]}',
        b'{"data": [' + b"1," * 100_000 + b"1]}")],
    *[Row(100, path, {404}) for path in (
        "/docs", "/redoc", "/openapi.json", "/monitoring", "/gradio_api/vibe-code/", "/gradio_api/dev/reload", "/gradio_api/openapi.json")],
    Row(101, "/api/health", {200}, headers={"accept-encoding": "nonsense;q=9"}),
    Row(101, "/api/health", {200}, headers={"connection": "upgrade", "upgrade": "h2c"}),
    Row(101, "/api/health", {405}, "TRACE"),
    Row(101, "/", {404, 405}, "OPTIONS"),
]  # fmt: skip
"""What a guest and the owner are answered. Without a session it is 401, or what the request's head alone deserves."""

HEAD_ALONE = {403, 421, 400}


@pytest.fixture(scope="module")
def door(studio: Studio) -> Iterator[Shared]:
    """A shared studio with a picture that is shown to all, among things that are none of anybody's business."""
    outputs = studio.settings.outputs
    day, sibling = outputs / DAY, outputs.with_name("outputs-secret")
    for folder in (day, sibling, day / "folder.png"):
        folder.mkdir()
    frame(1, 1).save(day / "a.png")
    frame(1, 1).save(sibling / "a.png")
    for name in (".hidden.png", "a.json", "a.sqlite", "a.png.tmp"):
        (day / name).write_bytes(b"secret")
    (outputs / ".stepwise" / "self-signed.pem").write_bytes(b"secret")
    os.mkfifo(day / "pipe.png")
    (day / "link.png").symlink_to(sibling / "a.png")
    (day / "passwd.png").symlink_to("/etc/passwd")
    (day / "loop.png").symlink_to(day / "loop.png")
    (outputs / "linked").symlink_to(sibling)
    for name in [path.name for path in day.iterdir()]:
        studio.access.shown.set(f"{DAY}/{name}", Record(f"job {name}", "owner", True))
    with shared(studio) as door:
        door.share()
        yield door


@pytest.fixture(scope="module")
def people(door: Shared) -> Iterator[dict[str, httpx.Client]]:
    """Nobody on the network, nobody on loopback, a guest, the owner."""
    with door.client() as stranger, door.client("127.0.0.1") as neighbour, door.guest() as guest:
        yield {"stranger": stranger, "neighbour": neighbour, "guest": guest, "owner": door.owner}


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.number} {row.method} {row.path} {row.headers} {row.body}"[:90].encode().decode("ascii", "replace")
)
@pytest.mark.parametrize("who", ["stranger", "neighbour", "guest", "owner"])
def test_a_row_is_answered_as_the_table_says(door: Shared, people: dict[str, httpx.Client], row: Row, who: str) -> None:
    client = people[who]
    fill = {"port": door.port, "host": client.base_url.host}
    headers = {name: value.format(**fill) for name, value in row.headers.items()}
    began = time.monotonic()
    answer = client.request(row.method, row.path, headers=headers, content=row.body)
    known = who in ("guest", "owner")
    assert answer.status_code in (row.answers if known else {401} | (row.answers & HEAD_ALONE)), answer.text[:300]
    assert time.monotonic() - began < 5
    assert not [name for name in answer.headers if name.startswith("access-control-")] and "server" not in answer.headers
    assert "Traceback" not in answer.text and "root:" not in answer.text and str(door.studio.settings.outputs) not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff" and "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.content != b"secret"
    assert answer.headers.get("location") in (None, "/")
    # The page renews the cookie that a person has; nothing gives another.
    kept, page = client.cookies.get(f"stepwise-{door.port}"), row.method == "GET" and row.path.partition("?")[0] == "/"
    given = answer.headers.get("set-cookie", "").partition(";")[0]
    assert given == (f"stepwise-{door.port}={kept}" if known and page and answer.status_code == 200 else "")


def test_without_a_session_every_route_answers_401_or_the_sign_in_page(door: Shared, people: dict[str, httpx.Client]) -> None:
    table = sorted(set(routes(door.app.app)))
    assert len(table) > 75 and {
        ("POST", "/gradio_api/upload"),
        ("DELETE", "/api/jobs/x"),
        ("PUT", "/api/share"),
        ("GET", "/theme.css"),
    } <= set(table)
    more = [("GET", path) for path in ("/", "/sign-in", "/nothing", "/api/docs", "/assets/x.js", "/?key=wrong", "/gradio_api/heartbeat/x")]
    for who in ("stranger", "neighbour"):
        client = people[who]
        for method, path in [*table, *more]:
            door.studio.access.slowdown.right("127.0.0.1")
            bare = client.request(method, path)
            assert bare.status_code == 401 and set(bare.json() if method != "HEAD" else {"error": 1}) == {"error"}, (method, path)
            page = client.request(method, path, headers=NAVIGATE)
            assert page.status_code == 401 and len(page.content) < 4000, (method, path)
            assert method == "HEAD" or ("This studio is private" in page.text or "This link is not valid" in page.text), (method, path)
            assert "set-cookie" not in page.headers and "gradio" not in page.text.lower()
            for headers in (
                {"authorization": "Basic YTpi"},
                {"authorization": "Bearer x"},
                {"cookie": f"stepwise-{door.port}=x; access-token=x"},
            ):
                assert client.request(method, path, headers=headers).status_code in (401, 429), (method, path)


def test_every_route_is_behind_the_host_and_origin_of_the_network_too(door: Shared, people: dict[str, httpx.Client]) -> None:
    for method, path in sorted(set(routes(door.app.app))):
        guest = people["guest"]
        assert guest.request(method, path, headers={"host": f"evil.com:{door.port}"}).status_code == 421, path
        assert guest.request(method, path, headers={"origin": "http://evil.com"}).status_code == 403, path


@pytest.mark.parametrize(
    "text",
    [
        f"GET / HTTP/1.1\nHost: a\nX: {'a' * 200_000}\n\n",
        "GET / HTTP/1.1\nHost: a\n" + "X: a\n" * 10_000 + "\n",
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\nHost: a\nHost: b\n\n",
        "POST /api/jobs HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n",
        "POST /api/jobs HTTP/1.1\nHost: a\nContent-Length: -1\n\n",
        "nonsense\n\n",
        "GET /\n\n",
        "OPTIONS * HTTP/1.1\nHost: a\n\n",
    ],
    ids=["79 large", "79 many", "79 no host", "79 two hosts", "79 smuggling", "79 length", "79 garbage", "101 HTTP/0.9", "101 all"],
)
def test_a_raw_request_from_the_network_is_refused(door: Shared, text: str) -> None:
    status, answer = sent(f"http://{NETWORK}:{door.port}", text.replace("\n", "\r\n"))
    assert status in (400, 421) and "connection: close" in answer.lower()


def test_row_80_half_sent_requests_hold_nobody_up(door: Shared, people: dict[str, httpx.Client]) -> None:
    halves = [socket.create_connection((NETWORK, door.port)) for _ in range(200)]
    for half in halves:
        half.sendall(b"GET / HTTP/1.1\r\nHost: ")
    times = []
    for _ in range(20):
        began = time.monotonic()
        assert people["guest"].get("/api/health").status_code == 200
        times.append(time.monotonic() - began)
    assert sorted(times)[10] < 0.5
    for half in halves:
        half.close()


@pytest.mark.parametrize("mode", ["navigate"])
def test_row_85_a_link_from_another_site_opens_the_page(people: dict[str, httpx.Client], mode: str) -> None:
    for who in ("guest", "owner"):
        answer = people[who].get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": mode})
        assert answer.status_code == 200 and "gradio" in answer.text


def test_row_88_nobody_may_frame_it(people: dict[str, httpx.Client]) -> None:
    for client in people.values():
        assert "frame-ancestors 'none'" in client.get("/", headers=NAVIGATE).headers["content-security-policy"]


def test_row_96_secrets_are_in_no_answer_and_no_picture(door: Shared, people: dict[str, httpx.Client]) -> None:
    guest = people["guest"]
    secrets = [*door.studio.access._links.values(), door.studio.access.owner_key, guest.cookies[f"stepwise-{door.port}"]]
    job = guest.post("/api/jobs", json=JOB).json()["jobs"][0]["id"]
    assert until(60, lambda: guest.get(f"/api/jobs/{job}").json()["state"] == "finished")
    picture = guest.get(f"/api/jobs/{job}").json()["picture"]
    for path in ("/", "/config", "/api/me", "/api/people", f"/api/jobs/{job}", f"/pictures/{picture}", "/api/openapi.json"):
        for client in (guest, door.owner):
            answer = client.get(path)
            assert answer.status_code == 200 and not any(secret.encode() in answer.content for secret in secrets), path
            assert answer.headers["referrer-policy"] == "no-referrer"
    kept = b"".join(path.read_bytes() for path in (door.studio.settings.outputs / ".stepwise").glob("people.sqlite*"))
    assert door.studio.access.owner_key.encode() not in kept and guest.cookies[f"stepwise-{door.port}"].encode() not in kept


def test_row_102_many_at_once_from_one_guest_are_all_answered_with_a_number_or_a_sentence(people: dict[str, httpx.Client]) -> None:
    def ask(answers: list[int]) -> None:
        with httpx.Client(base_url=people["guest"].base_url, cookies=people["guest"].cookies, timeout=60) as client:
            answers.extend(client.post("/api/jobs", json=JOB).status_code for _ in range(30))

    answers: list[int] = []
    threads = [threading.Thread(target=ask, args=(answers,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 300 and set(answers) <= {202, 429}


def test_a_slow_reader_gets_its_picture(people: dict[str, httpx.Client]) -> None:
    with people["guest"].stream("GET", f"/pictures/{DAY}/a.png") as answer:
        parts: list[Any] = list(answer.iter_raw(16))
    assert b"".join(parts).startswith(b"\x89PNG")
