"""Sharing over a running server: links, roles, passwords, who sees what, and how it ends."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.sharing import NAVIGATE, NETWORK, Shared, shared, until
from webui.people import COLOURS
from webui.server.tls import fingerprint
from webui.studio import Studio

LONG = {"prompt": "a red sailboat", "steps": 150, "model": "fake"}
SHORT = LONG | {"steps": 2}


@pytest.fixture(scope="module")
def door(studio: Studio) -> Iterator[Shared]:
    """A studio that is shared."""
    with shared(studio) as door:
        door.share()
        yield door


@pytest.fixture
def no_password(door: Shared) -> Iterator[None]:
    """The password that a test sets is gone after it."""
    yield
    door.owner.put("/api/share", json={"password": ""}).raise_for_status()


def submit(client: httpx.Client, values: dict[str, Any]) -> dict[str, Any]:
    """The one job that this browser asks for."""
    job: dict[str, Any] = client.post("/api/jobs", json=values).raise_for_status().json()["jobs"][0]
    return job


def picture(client: httpx.Client, job: str) -> str:
    """The path of a job's picture once there is one."""
    assert until(60, lambda: client.get(f"/api/jobs/{job}").json()["state"] == "finished")
    return f"/pictures/{client.get(f'/api/jobs/{job}').json()['picture']}"


def test_what_is_uploaded_does_not_stay(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(door: Shared) -> Path:
        answer = door.owner.post("/gradio_api/upload", files={"files": (f"{door.port}.txt", f"of {door.port}".encode())})
        return Path(answer.raise_for_status().json()[0])

    monkeypatch.setattr("webui.panels.page.UPLOADS", (1, 1))
    with shared(studio) as quick:
        old = upload(quick)
        assert old.read_bytes() and until(10, lambda: not old.exists())
    monkeypatch.undo()
    with shared(studio) as usual:
        kept = upload(usual)
        time.sleep(1.5)
        assert kept.is_file()
    assert not kept.exists(), "the studio has ended"


# --- the link ---


def test_the_link_is_traded_for_a_session_and_the_clean_address(door: Shared) -> None:
    link = door.share()["links"]["maker"]["url"]
    assert link.startswith(f"http://{NETWORK}:{door.port}/?key=") and len(link.partition("key=")[2]) == 32
    with door.client() as browser:
        assert browser.get("/").status_code == 401
        answer = browser.get(f"{link}&__theme=dark", headers=NAVIGATE)
        assert answer.status_code == 303 and answer.headers["location"] == "/?__theme=dark" and answer.text == ""
        assert answer.headers["referrer-policy"] == "no-referrer" and answer.headers["cache-control"] == "no-store"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"stepwise-{door.port}=") and link.partition("key=")[2] not in cookie
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; ")) and "Secure" not in cookie and "Domain" not in cookie
        page = browser.get("/")
        assert (
            page.status_code == 200
            and link.partition("key=")[2] not in page.text
            and browser.cookies[f"stepwise-{door.port}"] not in page.text
        )
        me = browser.get("/api/me").json()
        assert me["role"] == "maker" and re.fullmatch(r"Guest \d+", me["name"])


@pytest.mark.parametrize("next", ["//evil.com", "/\\evil.com", "////evil.com", "javascript:alert(1)", "https://evil.com"])
def test_a_link_leads_nowhere_else(door: Shared, next: str) -> None:
    secret = door.share()["links"]["viewer"]["url"].partition("key=")[2]
    with door.client() as browser:
        answer = browser.get("/", params={"key": secret, "next": next, "_target_url": next}, headers=NAVIGATE)
        assert answer.status_code == 303 and answer.headers["location"].startswith("/?next=")


def test_each_browser_is_another_person_and_the_same_browser_stays_the_same(door: Shared) -> None:
    link = door.share()["links"]["viewer"]["url"]
    with door.guest() as one, door.guest() as other:
        first = one.get("/api/me").json()
        assert first["id"] != other.get("/api/me").json()["id"]
        before = one.cookies[f"stepwise-{door.port}"]
        one.get(link, headers=NAVIGATE)
        assert one.get("/api/me").json() == first, "who may make pictures and opens the other link still may"
        assert one.cookies[f"stepwise-{door.port}"] == before
    with door.guest("viewer") as looker:
        me = looker.get("/api/me").json()
        assert me["role"] == "viewer"
        looker.get(door.share()["links"]["maker"]["url"], headers=NAVIGATE)
        assert looker.get("/api/me").json() == me | {"role": "maker", "may": "may make pictures"}


def test_a_session_that_somebody_planted_is_not_taken_over(door: Shared) -> None:
    with door.client(cookies={f"stepwise-{door.port}": "planted"}) as browser:
        assert browser.get("/api/me").status_code == 401
        answer = browser.get(door.share()["links"]["maker"]["url"], headers=NAVIGATE)
        assert answer.status_code == 303 and "planted" not in answer.headers["set-cookie"]
        headers = {"cookie": f"stepwise-{door.port}=planted; {answer.headers['set-cookie'].partition(';')[0]}"}
        assert httpx.get(f"{browser.base_url}/api/me", headers=headers).status_code == 200, "one planted for another path locks nobody out"


def test_new_links_put_all_guests_out_at_once_and_cut_what_they_follow(door: Shared) -> None:
    old = door.share()["links"]
    with door.guest() as guest, door.guest("viewer") as looker, door.client() as program:
        me = guest.get("/api/me").json()
        job = submit(guest, LONG)["id"]
        heard: list[float] = []

        def follow(client: httpx.Client, path: str, headers: dict[str, str]) -> None:
            with client.stream("GET", path, headers=headers) as answer:
                assert answer.status_code == 200
                heard.append(0.0)
                for _ in answer.iter_raw():
                    pass
            heard.append(time.monotonic())

        bearer = {"authorization": f"Bearer {old['maker']['url'].partition('key=')[2]}"}
        waiting = submit(program.__class__(base_url=program.base_url, headers=bearer), LONG)["id"]
        followers = [
            threading.Thread(target=follow, args=(guest, f"/api/jobs/{job}/events", {})),
            threading.Thread(target=follow, args=(program, f"/api/jobs/{waiting}/events", bearer)),
        ]
        for follower in followers:
            follower.start()
        assert until(30, lambda: len(heard) == 2)
        began = time.monotonic()
        fresh = door.owner.post("/api/share/links").raise_for_status().json()["links"]
        for follower in followers:
            follower.join(10)
        assert len(heard) == 4 and max(heard) - began < 1
        for client in (guest, looker):
            assert client.get("/api/me").status_code == 401 and client.post("/api/jobs", json=SHORT).status_code == 401
        assert program.get("/api/me", headers=bearer).status_code == 401
        assert {row["url"] for row in old.values()}.isdisjoint(row["url"] for row in fresh.values())
        assert guest.get(old["maker"]["url"], headers=NAVIGATE).status_code == 401
        assert door.owner.get("/api/me").json()["role"] == "owner"
        guest.get(fresh["maker"]["url"], headers=NAVIGATE)
        assert guest.get("/api/me").json() == me and guest.get(f"/api/jobs/{job}").status_code == 200, "their jobs are still theirs"
        for one in (job, waiting):
            door.owner.delete(f"/api/jobs/{one}").raise_for_status()


def test_a_guest_who_opens_connections_without_end_is_told_so_and_nobody_else_is(door: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.access.guests.TOLD", 12)
    with door.guest() as guest, door.guest() as other, ExitStack() as streams:
        job = guest.post("/api/jobs", json=LONG | {"count": 10}).raise_for_status().json()["jobs"][-1]["id"]
        for _ in range(12):
            opened = streams.enter_context(guest.stream("GET", f"/api/jobs/{job}/events"))
            assert opened.status_code == 200
        for path in (f"/api/jobs/{job}/events", "/", "/gradio_api/queue/data?session_hash=x"):
            refused = guest.get(path)
            assert refused.status_code == 429
            assert refused.json()["error"] == {
                "code": "too_many",
                "message": "You have 12 connections to the studio open, and more are not given to one person. Close some of its tabs.",
            }
        assert other.get("/api/me").status_code == 200
        for _ in range(20):
            assert streams.enter_context(door.owner.stream("GET", f"/api/jobs/{job}/events")).status_code == 200
        opened.close()
        assert until(10, lambda: guest.get("/api/me").status_code == 200)
        door.owner.delete(f"/api/jobs/{job}").raise_for_status()


def test_another_device_becomes_the_same_person_through_a_link_for_one_use(door: Shared) -> None:
    with door.guest() as desk, door.client() as phone, door.client() as third:
        link = desk.post("/api/me/link").raise_for_status().json()["url"]
        phone.get(link, headers=NAVIGATE)
        assert phone.get("/api/me").json() == desk.get("/api/me").json()
        assert third.get(link, headers=NAVIGATE).status_code == 401
        job = submit(desk, SHORT)["id"]
        assert phone.get(f"/api/jobs/{job}").status_code == 200
        assert phone.delete("/api/me").status_code == 200
        assert until(5, lambda: desk.get("/api/me").status_code == phone.get("/api/me").status_code == 401)
    assert door.owner.post("/api/me/link").status_code == 403


# --- secrets ---


@pytest.mark.parametrize("key", ["", "wrong", "a" * 32, "ключ", "%00", "prefix", "a" * 60_000], ids=lambda key: key[:10])
def test_a_wrong_secret_opens_nothing_wherever_it_is_put(door: Shared, key: str) -> None:
    secret = door.share()["links"]["maker"]["url"].partition("key=")[2]
    key = secret[:20] if key == "prefix" else key
    door.studio.access.slowdown.right("127.0.0.1")
    with door.client() as browser:
        posted = browser.post("/sign-in", data={"key": key}, headers=NAVIGATE)
        if len(key) < 60_000:
            assert browser.get("/", params={"key": key}, headers=NAVIGATE).text == posted.text and "Stepwise" in posted.text
        else:
            assert posted.status_code == 413
        bearer = browser.get("/api/me", headers=[(b"authorization", b"Bearer x" + key[:30_000].encode())])
        assert bearer.status_code == 401
        assert browser.get("/api/me", headers=[(b"cookie", f"stepwise-{door.port}={key[:30_000]};".encode())]).status_code == 401
    door.studio.access.slowdown.right("127.0.0.1")


def test_many_wrong_secrets_are_slowed_down_and_nobody_else_is(door: Shared) -> None:
    link = door.share()["links"]["maker"]["url"]
    there = httpx.HTTPTransport(local_address="127.0.0.9")
    with door.client(transport=there) as attacker, door.client() as friend:
        answers = [attacker.get("/", params={"key": f"guess {k}"}, headers=NAVIGATE) for k in range(1000)]
        assert [answer.status_code for answer in answers[:5]] == [401] * 5
        assert {answer.status_code for answer in answers[5:]} <= {401, 429} and [answer.status_code for answer in answers].count(429) > 900
        slowed = attacker.get(link, headers=NAVIGATE)
        assert slowed.status_code == 429 and int(slowed.headers["retry-after"]) >= 1, "even the right one waits"
        assert attacker.get("/api/me", headers={"x-forwarded-for": "127.0.0.8", "authorization": "Bearer x"}).status_code == 429
        assert friend.get(link, headers=NAVIGATE).status_code == 303
        for _ in range(20):
            assert door.owner.get("/", params={"key": "wrong"}).status_code == 303, "a session that there is stays"
            assert httpx.get(f"{door.owner.base_url}/?key=wrong").status_code == 401
        assert httpx.get(f"{door.owner.base_url}/?key={door.studio.access.owner_key}").status_code == 303


def test_the_owners_key_and_session_are_worth_nothing_on_the_network(door: Shared) -> None:
    key, cookie = door.studio.access.owner_key, door.owner.cookies[f"stepwise-{door.port}"]
    with door.client(transport=httpx.HTTPTransport(local_address="127.0.0.10")) as browser:
        assert browser.get("/", params={"key": key}, headers=NAVIGATE).status_code == 401
        for headers in (
            {"authorization": f"Bearer {key}"},
            {"authorization": f"Bearer {cookie}"},
            {"cookie": f"stepwise-{door.port}={cookie}"},
        ):
            assert browser.get("/api/me", headers=headers).status_code == 401
    for headers in (
        {"authorization": f"Bearer {key}"},
        {"authorization": f"Bearer {cookie}"},
        {"cookie": f"stepwise-{door.port}={cookie}"},
    ):
        assert httpx.get(f"{door.owner.base_url}/api/me", headers=headers).json()["role"] == "owner"


def test_the_owner_too_signs_in_while_the_studio_is_shared(door: Shared) -> None:
    with door.client("127.0.0.1") as browser:
        page = browser.get("/", headers=NAVIGATE)
        assert page.status_code == 401 and "owner" in page.text
        assert browser.get("/api/me").status_code == 401
        browser.get("/", params={"key": door.studio.access.owner_key}, headers=NAVIGATE)
        assert browser.get("/api/me").json()["role"] == "owner"


def test_a_program_sends_the_links_secret_as_a_bearer_token(door: Shared) -> None:
    links = door.share()["links"]
    for role, status in (("maker", 202), ("viewer", 403)):
        headers = {"authorization": f"bearer {links[role]['url'].partition('key=')[2]}"}
        with door.client(headers=headers) as program:
            assert program.get("/api/me").json()["role"] == role and program.post("/api/jobs", json=SHORT).status_code == status


# --- the password ---


def test_a_password_is_asked_for_after_the_link(door: Shared, no_password: None) -> None:
    link = door.share()["links"]["maker"]["url"]
    before = door.guest()
    assert door.owner.put("/api/share", json={"password": "short"}).status_code == 422
    assert door.owner.put("/api/share", json={"password": "correct horse"}).json()["password"] is True
    assert before.get("/api/me").status_code == 200, "sessions that there are go on"
    assert before.get(link, headers=NAVIGATE, follow_redirects=True).status_code == 200
    here = httpx.HTTPTransport(local_address="127.0.0.11")
    with door.client(transport=here) as browser:
        assert browser.get(link, headers=NAVIGATE).headers["location"] == "/"
        page = browser.get("/", headers=NAVIGATE)
        assert page.status_code == 401 and 'name="password"' in page.text and 'name="key"' not in page.text
        assert link.partition("key=")[2] not in page.text and browser.get("/api/me").status_code == 401
        assert "not the password" in browser.post("/sign-in", data={"password": "wrong"}, headers=NAVIGATE).text
        pending = browser.cookies[f"stepwise-{door.port}"]
        assert browser.post("/sign-in", data={"password": "correct horse"}).status_code == 303
        assert browser.get("/api/me").json()["role"] == "maker" and browser.cookies[f"stepwise-{door.port}"] != pending
        assert browser.get("/api/me", headers={"authorization": f"Bearer {link.partition('key=')[2]}"}).status_code == 401
    with door.client(transport=httpx.HTTPTransport(local_address="127.0.0.12")) as browser:
        assert browser.post("/sign-in", data={"password": "correct horse"}).status_code == 401, "without the link it opens nothing"
        browser.get(link, headers=NAVIGATE)
        tries = [browser.post("/sign-in", data={"password": f"guess {k}"}).status_code for k in range(12)]
        assert tries[:5] == [401] * 5 and tries.count(429) >= 6
        assert browser.post("/sign-in", data={"password": "correct horse"}).status_code == 429
        assert until(5, lambda: browser.post("/sign-in", data={"password": "correct horse"}).status_code == 303), (
            "slowed down, not shut out"
        )


# --- roles ---

OWNERS_ONLY = [
    ("GET", "/api/share", None),
    ("PUT", "/api/share", {"on": False}),
    ("PUT", "/api/share", {"shown": True}),
    ("PUT", "/api/share", {"password": "12345678"}),
    ("POST", "/api/share/links", None),
    ("DELETE", "/api/people/owner", None),
    ("POST", "/api/models/refresh", None),
    ("GET", "/api/downloads", None),
    ("POST", "/api/downloads/look", {"source": "http://127.0.0.1:9/a.safetensors"}),
    ("POST", "/api/downloads", {"id": "x"}),
    ("POST", "/api/downloads/x/pause", None),
    ("DELETE", "/api/downloads/x", None),
]


@pytest.mark.parametrize("role", ["maker", "viewer"])
@pytest.mark.parametrize(("method", "path", "body"), OWNERS_ONLY)
def test_what_is_the_owners_is_no_guests(door: Shared, role: str, method: str, path: str, body: Any) -> None:
    before = door.share()
    with door.guest(role) as guest:
        answer = guest.request(method, path, json=body)
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "not_allowed"
        assert "key=" not in answer.text
    assert door.share() == before


def test_who_only_looks_makes_nothing_even_by_a_raw_call_of_the_pages_function(door: Shared) -> None:
    with door.guest("viewer") as looker, door.guest() as maker:
        files = {"files": ("a.png", b"x")}
        assert looker.post("/gradio_api/upload", files=files).status_code == 403
        assert maker.post("/gradio_api/upload", files=files).status_code == 200
        assert looker.post("/api/jobs", json=SHORT).json()["error"]["message"].startswith("Your link lets you look")
        sized = {"request": SHORT, "axes": [{"field": "steps", "values": [1, 2]}]}
        assert [client.post("/api/comparisons/estimate", json=sized).status_code for client in (looker, maker)] == [403, 200]
        for client, made in ((looker, False), (maker, True)):
            page = client.get("/config").json()
            boxes = {box["id"]: box["props"] for box in page["components"]}
            (press,) = [
                one
                for one in page["dependencies"]
                if one["targets"] and boxes.get(one["targets"][0][0], {}).get("elem_id") == "generate" and one["backend_fn"]
            ]
            values = [boxes[box].get("value", "" if boxes[box].get("lines") else None) for box in press["inputs"]]
            call = {"fn_index": press["id"], "data": values, "session_hash": "raw", "trigger_id": press["targets"][0][0]}
            answer = client.post("/gradio_api/run/predict", json=call)
            ticket = answer.json()["data"][0]
            assert ("group" in str(ticket)) == made and ("lets you look" in str(ticket)) != made, ticket


def test_ones_jobs_and_pictures_are_ones_own(door: Shared) -> None:
    with door.guest() as one, door.guest() as other:
        job = submit(one, LONG)
        for path in (
            f"/api/jobs/{job['id']}",
            f"/api/jobs/{job['id']}/events",
            f"/api/groups/{job['group']}/events",
        ):
            assert other.get(path).status_code == 404 and "sailboat" not in other.get(path).text
            unknown = other.get(path.replace(job["id"], "0" * 32).replace(job["group"], "0" * 16))
            assert unknown.text == other.get(path).text, "the same whether it is another's or there is none"
        for path in (f"/api/jobs/{job['id']}", f"/api/groups/{job['group']}"):
            assert other.delete(path).status_code == 404
        assert one.get(f"/api/jobs/{job['id']}").json()["state"] != "cancelled"
        assert door.owner.delete(f"/api/jobs/{job['id']}").status_code == 200, "the owner may act on all"
        assert until(10, lambda: one.get(f"/api/jobs/{job['id']}").json()["state"] == "cancelled")
        done = submit(one, SHORT)["id"]
        path = picture(one, done)
        sheet = path.replace(".png", ".steps.jpg")
        assert [client.get(place).status_code for client in (one, door.owner, other) for place in (path, sheet)] == [200] * 4 + [404] * 2
        assert other.get(f"/api{path}").status_code == other.put(f"/api{path}", json={"shown": True}).status_code == 404
        about = one.put(f"/api{path}", json={"shown": True}).raise_for_status().json()
        assert about["shown"] and about["yours"] and about["by"]["id"] == one.get("/api/me").json()["id"]
        assert about["recipe"].startswith("#recipe=1&prompt=a%20red%20sailboat&steps=2&")
        assert other.get(path).status_code == other.get(sheet).status_code == other.get(f"/api/jobs/{done}").status_code == 200
        assert other.put(f"/api{path}", json={"shown": False}).status_code == 403
        assert other.delete(f"/api/jobs/{done}").status_code == 403
        assert other.get(f"/api{path}").json() == about | {"yours": False}
        assert door.owner.put(f"/api{path}", json={"shown": False}).json()["yours"] and other.get(path).status_code == 404
        wrong_ones: list[Any] = [{"shown": 1}, {}, {"shown": True, "more": 1}, []]
        for wrong in wrong_ones:
            assert one.put(f"/api{path}", json=wrong).status_code == 422


def test_who_only_looks_by_now_changes_not_even_what_was_made_before(door: Shared) -> None:
    with door.guest() as guest:
        path = picture(guest, submit(guest, SHORT)["id"])
        door.studio.access.guests.allow(guest.get("/api/me").json()["id"], "viewer")
        answer = guest.put(f"/api{path}", json={"shown": True})
        assert answer.status_code == 403 and "lets you look" in answer.json()["error"]["message"]
        assert guest.get(path).status_code == 200 and not guest.get(f"/api{path}").json()["shown"]


@pytest.mark.parametrize(
    ("name", "colour", "sentence"),
    [
        ("", "teal", "letter"),
        ("\u200b\u202e", "teal", "letter"),
        ("a" * 25, "teal", "24"),
        ("Owner", "teal", "already"),
        ("O w n é r", "teal", "already"),
        ("Ann", "beige", "colours"),
        (3, "teal", "name"),
    ],
)
def test_a_name_that_will_not_do_is_a_sentence(door: Shared, name: Any, colour: str, sentence: str) -> None:
    with door.guest() as guest:
        answer = guest.put("/api/me", json={"name": name, "colour": colour})
        assert answer.status_code == 422 and sentence in answer.json()["error"]["message"]


def test_a_name_is_kept_and_nobody_elses(door: Shared) -> None:
    with door.guest() as one, door.guest() as other:
        assert one.put("/api/me", json={"name": " Zoë  <b>\u202e", "colour": "rose"}).json()["name"] == "Zoë <b>"
        assert one.get("/api/me").json()["shade"] == COLOURS["rose"]
        assert "already" in other.put("/api/me", json={"name": "zoe <B>", "colour": "rose"}).json()["error"]["message"]
        assert "Zoë <b>" in [person["name"] for person in other.get("/api/people").json()["people"]]
        id = one.get("/api/me").json()["id"]
        assert door.owner.delete(f"/api/people/{id}").status_code == 200 and one.get("/api/me").status_code == 401
    assert door.owner.delete("/api/people/unknown").status_code == 404
    assert door.owner.delete("/api/people/owner").status_code == 403


# --- the network ---


@pytest.mark.parametrize(
    "host",
    ["evil.com:{port}", "127.0.0.1:{port}", "localhost:{port}", "0.0.0.0:{port}", f"{NETWORK}.:{{port}}", NETWORK, "2130706434:{port}"],
)
def test_only_the_networks_own_names_are_answered_there(door: Shared, host: str) -> None:
    host = host.format(port=door.port)
    with door.guest() as guest:
        for path in ("/", "/api/me", "/config"):
            assert guest.get(path, headers={"host": host}).status_code == 421
            assert guest.get(path, headers={"host": host, "origin": f"http://{host}"}).status_code == 421, "rebound"


def test_what_this_machine_is_called_is_answered_there(door: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Atelier.lan")
    with door.guest() as guest:
        for name in ("atelier", "ATELIER.local"):
            assert guest.get("/api/me", headers={"host": f"{name}:{door.port}"}).status_code == 200
        assert door.owner.get("/api/me", headers={"host": f"atelier:{door.port}"}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.com", "null", f"https://{NETWORK}", "http://127.0.0.1", f"http://{NETWORK}"])
def test_another_site_cannot_use_a_guests_session(door: Shared, origin: str) -> None:
    with door.guest() as guest:
        for port in ("", f":{door.port + 1}"):
            answer = guest.post("/api/jobs", json=SHORT, headers={"origin": origin + port})
            assert answer.status_code == 403 and not [name for name in answer.headers if name.startswith("access-control-")]
        form = guest.post("/sign-in", data={"key": "x"}, headers={"origin": origin + f":{door.port + 1}"})
        assert form.status_code == 403, "nobody is signed in by another site"


def test_the_switch_closes_the_network_and_cuts_who_is_there(door: Shared) -> None:
    with door.guest() as guest:
        job = submit(guest, LONG)["id"]
        with guest.stream("GET", f"/api/jobs/{job}/events") as answer:
            lines = answer.iter_raw()
            next(lines)
            assert door.owner.put("/api/share", json={"on": False}).json() == {
                "on": False, "links": {}, "password": False, "shown": False, "fingerprint": "",
            }  # fmt: skip
            with pytest.raises(httpx.TransportError):
                for _ in lines:
                    pass
        with pytest.raises(httpx.ConnectError):
            door.client().get("/")
        door.share()
        assert guest.get("/api/me").status_code == 200, "whoever was signed in still is when it opens again"
        door.owner.delete(f"/api/jobs/{job}").raise_for_status()


def test_https_with_a_certificate_of_its_own(studio: Studio, tmp_path: Path) -> None:
    with shared(studio, sign=tmp_path) as door:
        state = door.share()
        link = state["links"]["maker"]["url"]
        assert link.startswith(f"https://{NETWORK}:") and state["fingerprint"] == fingerprint(tmp_path / "self-signed.pem")
        assert (tmp_path / "self-signed.pem").stat().st_mode & 0o077 == 0
        trust = ssl.create_default_context(cafile=str(tmp_path / "self-signed.pem"))
        with httpx.Client(verify=trust, base_url=link.partition("/?")[0], timeout=60) as browser:
            cookie = browser.get(link, headers=NAVIGATE).headers["set-cookie"]
            assert "Secure" in cookie.split("; ")
            origin = link.partition("/?")[0]
            assert browser.post("/api/tokens", json={"prompt": "a"}, headers={"origin": origin}).status_code == 200
            assert browser.post("/api/tokens", json={"prompt": "a"}, headers={"origin": origin.replace("https", "http")}).status_code == 403
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{NETWORK}:{door.port}/")
        first = (tmp_path / "self-signed.pem").read_bytes()
        door.owner.put("/api/share", json={"on": False})
        door.share()
        assert (tmp_path / "self-signed.pem").read_bytes() == first, "the same one as long as it serves"


@pytest.mark.parametrize("address", ["10.9.8.7", "evil.com", "127.0.0.1", "::1", ""])
def test_an_address_that_is_not_this_machines_is_a_sentence(studio: Studio, address: str) -> None:
    with shared(studio, address=address) as door:
        answer = door.owner.put("/api/share", json={"on": True})
        assert answer.status_code == 422 and "not an IPv4 address of this machine" in answer.json()["error"]["message"]
        assert door.owner.get("/api/share").json()["on"] is False
