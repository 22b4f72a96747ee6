"""Nobody but this machine's own browser gets in, through any route."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.access.access import Access
from webui.panels.page import look
from webui.people import OWNER
from webui.server.answer import Header
from webui.server.app import mount
from webui.server.entrance import Entrance, Visitor
from webui.server.guard import Guard
from webui.server.serve import listen

PATHS = (
    "/",
    "/api/health",
    "/api/jobs",
    "/api/docs",
    "/gradio_api/info",
    "/config",
    "/theme.css",
    "/pictures/a/b.png",
    "/gradio_api/queue/join",
)


def host_of(client: httpx.Client) -> str:
    return client.base_url.netloc.decode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.com", "127.0.0.1", "127.0.0.1.evil.com", "192.168.1.5:7860", "[::1]", "", "localhost:1"])
def test_another_host_is_refused_on_every_route(client: httpx.Client, path: str, host: str) -> None:
    answer = client.get(path, headers={"host": host})
    assert answer.status_code in (400, 421) and "Stepwise" not in answer.text.replace("the studio's", "")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
def test_names_of_this_machine_are_answered(client: httpx.Client, name: str) -> None:
    port = urlsplit(str(client.base_url)).port
    assert client.get("/api/health", headers={"host": f"{name}:{port}"}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.com", "null", "http://127.0.0.1:1", "file://", "http://127.0.0.1.evil.com"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_another_origin_is_refused_and_never_told_it_may_read(client: httpx.Client, origin: str, method: str) -> None:
    for path in ("/api/jobs/x", "/gradio_api/upload", "/gradio_api/info"):
        answer = client.request(method, path, headers={"origin": origin})
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "CROSS-SITE", ""])
def test_another_site_may_lead_here_and_nothing_else(client: httpx.Client, site: str) -> None:
    assert client.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"}).status_code == 200
    for mode in ("cors", "no-cors", "websocket", "same-origin"):
        assert client.get("/api/health", headers={"sec-fetch-site": site, "sec-fetch-mode": mode}).status_code == 403
    for method in ("POST", "DELETE", "PUT", "OPTIONS"):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
        assert client.request(method, "/api/jobs", headers=headers).status_code == 403, "a form is a navigation that writes"


def test_its_own_page_may_write(client: httpx.Client) -> None:
    headers = {"origin": f"http://{host_of(client)}", "sec-fetch-site": "same-origin"}
    assert client.post("/api/tokens", json={"prompt": "a"}, headers=headers).status_code == 200


@pytest.mark.parametrize("path", [*PATHS, "/nothing/here"])
def test_every_answer_carries_the_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"] and "server" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://example.com/x",
        "/gradio_api/file=HTTPS://example.com",
        "/gradio_api/proxy=http://example.com/x",
        "/gradio_api/file%3Dhttp://a",
    ],
)
def test_it_fetches_nothing_from_elsewhere(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 403


@pytest.mark.parametrize("name", ["/etc/passwd", "/proc/self/environ", "../../etc/passwd", "pyproject.toml"])
def test_gradios_file_route_serves_no_file_of_the_machine(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/gradio_api/file={name}")
    assert answer.status_code in (403, 404) and "root:" not in answer.text


def probe(secret: Path, *, hole: bool = False) -> str:
    """What a page with a file input says when it is asked for a file of the machine by its path; `hole` undoes what `mount` does."""
    with gr.Blocks(analytics_enabled=False) as page:
        box, out = gr.File(), gr.File()
        gr.Button("go").click(lambda path: path, box, out, api_name="echo")
    app: Any = mount(FastAPI(), page, look())
    if hole:
        page.has_launched = False
    listener = listen(0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
        file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
        while not server.started:
            time.sleep(0.02)
        event = client.post("/gradio_api/call/echo", json={"data": [file]}).json()["event_id"]
        told = client.get(f"/gradio_api/call/echo/{event}").text
        server.should_exit = True
    thread.join(timeout=10)
    listener.close()
    return told


def test_a_mounted_page_copies_no_file_of_the_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Outside of the working folder and of Gradio's cache, where nothing may be read.
    secret = Path("/etc/passwd")
    refused, hole = probe(secret), probe(secret, hole=True)
    assert "event: error" in refused and "passwd" not in refused
    assert "event: complete" in hole, "Gradio has closed the hole itself: has_launched is no longer needed in webui/server/app.py"


def guarded(app: ASGIApp) -> tuple[Guard, list[tuple[bytes, bytes]]]:
    """An app behind the guard, and the headers with which the owner gets in."""
    access = Access(None)
    guard = Guard(app, lambda _: ["localhost:1"], Entrance(access, lambda: False), access.guests)
    return guard, [(b"host", b"localhost:1"), (b"cookie", f"stepwise-1={access.guests.begin(OWNER)}".encode())]


def test_a_websocket_from_another_site_or_without_a_session_is_closed() -> None:
    sent: list[Message] = []

    async def app(*_: object) -> None:
        raise AssertionError("it got in")

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def story() -> None:
        guard, owners = guarded(app)
        ours = [(b"origin", b"http://localhost:1")]
        for headers in (
            owners,
            [*owners, (b"origin", b"https://evil.com")],
            [owners[0], *ours],
            [owners[0], (b"cookie", b"stepwise-1=x"), *ours],
        ):
            scope: Scope = {"type": "websocket", "path": "/ws", "headers": headers, "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2)}
            await guard(scope, receive, send)

    asyncio.run(story())
    assert [message["type"] for message in sent] == ["websocket.close"] * 4


def call(app: ASGIApp, *heard: Message, method: str = "POST", path: str = "/x", more: Sequence[Header] = ()) -> list[Message]:
    """What a guarded app says to a request whose body comes in these messages."""
    said: list[Message] = []
    rest = iter(heard)

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        return next(rest)

    guard, headers = guarded(app)
    headers += more
    scope: Scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers, "server": ("127.0.0.1", 1)}
    asyncio.run(guard(scope, receive, send))
    return said


def part(body: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body that it was given."""
    message = await receive()
    assert not message.get("more_body")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"access-control-allow-origin", b"*"), (b"server", b"x")]})
    await send({"type": "http.response.body", "body": message["body"]})


def test_a_body_in_parts_arrives_whole() -> None:
    start, body = call(echo, part(b"a"), part(b""), part(b"bc", more=False))
    assert body["body"] == b"abc" and start["status"] == 200
    assert not {b"access-control-allow-origin", b"server"} & {name for name, _ in start["headers"]}


def test_half_a_body_is_not_run() -> None:
    assert call(echo, part(b'{"prompt": "a"}'), {"type": "http.disconnect"}) == []


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(("path", "limit"), [("/x", 1_000_000), ("/gradio_api/upload", 20_000_000), ("/gradio_api/upload/", 1_000_000)])
def test_bodies_end_at_their_limit_whatever_the_method(method: str, path: str, limit: int) -> None:
    assert call(echo, part(b"a" * limit, more=False), method=method, path=path)[0]["status"] == 200
    assert call(echo, part(b"a" * limit), part(b"b"), method=method, path=path)[0]["status"] == 413


def test_the_sign_in_page_takes_no_more_than_its_form() -> None:
    form = [(b"content-type", b"application/x-www-form-urlencoded")]
    (start, body) = call(echo, part(b"key=" + b"a" * 10_000), path="/sign-in", more=form)
    assert start["status"] == 413 and b"10 kB" in body["body"]


def test_a_bug_that_was_answered_does_not_cut_the_connection_and_another_does() -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        raise RuntimeError("answered and logged by the app")

    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("in the middle")

    assert len(call(late, part(b"", more=False))) == 2
    with pytest.raises(RuntimeError, match="in the middle"):
        call(early, part(b"", more=False))


def test_a_refusal_is_json_with_a_sentence(client: httpx.Client) -> None:
    answer = client.get("/", headers={"host": "evil.com"})
    assert json.loads(answer.text)["error"]["message"].endswith(".")


@pytest.mark.parametrize("program", [False, True])
def test_a_session_that_ends_while_its_body_is_on_the_way_does_nothing_more(program: bool) -> None:
    access = Access(None)
    secret = access.links(OWNER)["maker"]
    entered = access.enter(secret, None, local=True)
    assert entered is not None
    said: list[Message] = []

    async def app(*_: object) -> None:
        raise AssertionError("it got in")

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        access.renew(OWNER)
        return part(b"", more=False)

    mine = (b"authorization", f"Bearer {secret}".encode()) if program else (b"cookie", f"stepwise-1={entered[0]}".encode())
    headers = [(b"host", b"localhost:1"), mine]
    scope: Scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": headers, "server": ("127.0.0.1", 1)}
    guard = Guard(app, lambda _: ["localhost:1"], Entrance(access, lambda: False), access.guests)
    asyncio.run(guard(scope, receive, send))
    assert said[0]["status"] == 401


def test_bodies_that_are_still_coming_are_among_what_one_guest_may_have_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.access.guests.TOLD", 3)
    access = Access(None)
    entered = access.enter(access.links(OWNER)["maker"], None, local=True)
    assert entered is not None
    statuses: list[int] = []

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    async def story() -> None:
        rest = asyncio.Event()

        async def receive() -> Message:
            await rest.wait()
            return part(b"", more=False)

        headers = [(b"host", b"localhost:1"), (b"cookie", f"stepwise-1={entered[0]}".encode())]
        scope: Scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": headers, "server": ("127.0.0.1", 1)}
        guard = Guard(echo, lambda _: ["localhost:1"], Entrance(access, lambda: False), access.guests)
        held = [asyncio.create_task(guard(scope, receive, send)) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert statuses == [429, 429]
        rest.set()
        await asyncio.gather(*held)
        assert statuses == [429, 429, 200, 200, 200]

    asyncio.run(story())


def visitor_of(access: Access, path: str = "/", **headers: str) -> Visitor | None:
    """Who opens a page on this machine, and what their browser is told."""
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    ends = {"client": ("127.0.0.1", 2), "server": ("127.0.0.1", 1)}
    scope: Scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": sent, **ends}
    return Entrance(access, lambda: False).visitor(scope)


def test_whoever_comes_again_keeps_the_cookie() -> None:
    access = Access(None)
    entered = access.enter(access.links(OWNER)["maker"], None, local=True)
    assert entered is not None
    again, beside = (visitor_of(access, path, cookie=f"stepwise-1={entered[0]}") for path in ("/", "/theme.css"))
    assert again is not None and beside is not None and beside.headers == ()
    ((name, value),) = again.headers
    assert name == b"set-cookie" and value.startswith(f"stepwise-1={entered[0]}; ".encode()) and b"Max-Age=2592000" in value


@pytest.mark.parametrize("dest", ["iframe", "frame", "embed", "object"])
def test_a_frame_in_another_website_begins_no_owners_session(dest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.server.account.own", lambda _: True)
    access = Access(None)
    headers = {"sec_fetch_mode": "navigate", "sec_fetch_site": "cross-site"}
    framed = visitor_of(access, sec_fetch_dest=dest, **headers)
    opened = visitor_of(access, sec_fetch_dest="document", **headers)
    assert framed is not None and framed.headers == () and opened is not None and len(opened.headers) == 1
    assert len(access.guests._sessions) == 1
