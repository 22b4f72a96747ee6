"""REST over a running server: every wrong input is a sentence, every job can be followed."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

PROMPT = {"prompt": "a red sailboat", "steps": 4, "model": "fake"}

WRONG_BODIES = [
    b"",
    b"null",
    b"[]",
    b"3",
    b"{",
    b"\xff\xfe",
    b'{"prompt": "a", "prompt": "b"}',
    b'{"steps": NaN}',
    b'{"steps": Infinity}',
    b'{"steps": 1e999}',
    b'{"steps": true}',
    b'{"steps": "20"}',
    b'{"steps": 0}',
    b'{"steps": 20.5}',
    b'{"seed": -1}',
    b'{"seed": -10000000000000000000000}',
    b'{"width": 513}',
    b'{"guidance": -1}',
    b'{"prompt": "\\ud800"}',
    b'{"prompt": null}',
    b'{"unknown": 1}',
    b'{"sampler": "euler"}',
    b'{"sampler": "Euler a", "schedule": "Karras"}',
    b'{"model": "../../etc/passwd"}',
    b'{"count": 0}',
    b'{"count": true}',
    b'{"count": 1000000}',
    b'{"prompt": "' + b"a" * 30_000 + b'"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", WRONG_BODIES, ids=lambda body: ascii(body)[:40])
def test_a_wrong_body_is_422_with_a_sentence(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/api/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert set(error) <= {"code", "message", "field"} and error["message"].endswith((".", "?")) and "Traceback" not in answer.text


def test_a_body_that_is_too_large_is_413(client: httpx.Client) -> None:
    answer = client.post("/api/jobs", content=b'{"prompt": "' + b"a" * 2_000_000 + b'"}')
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "too_large"


def test_a_stream_that_is_too_large_is_413(client: httpx.Client) -> None:
    answer = client.post("/api/jobs", content=(b"x" * 100_000 for _ in range(30)))
    assert answer.status_code == 413


def events(client: httpx.Client, path: str) -> list[tuple[str, list[dict[str, object]]]]:
    """All messages of an event stream until its end."""
    messages = []
    name = ""
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                messages.append((name, json.loads(line.removeprefix("data: "))))
    return messages


def test_a_job_is_followed_from_its_first_event_to_its_last_and_again(client: httpx.Client) -> None:
    made = client.post("/api/jobs", json=PROMPT | {"seed": 5, "count": 2})
    assert made.status_code == 202
    group = made.json()["group"]
    assert [job["request"]["seed"] for job in made.json()["jobs"]] == [5, 6]
    for _ in ("live", "late"):
        messages = events(client, f"/api/groups/{group}/events")
        assert messages[0][0] == "jobs" and messages[-1][0] == "end"
        told = [event for name, batch in messages if name == "events" for event in batch]
        for number in (0, 1):
            kinds = [event["kind"] for event in told if event["job"] == number]
            assert kinds[0] == "queued" and kinds[-1] == "finished" and kinds.count("step") == 4
        assert all(base64.b64decode(str(event["preview"])).startswith(b"\xff\xd8") for event in told if event["kind"] == "step")
    (one,) = [job["id"] for job in made.json()["jobs"][:1]]
    told = client.get(f"/api/jobs/{one}").json()
    assert told["state"] == "finished"
    picture = client.get(f"/pictures/{told['picture']}")
    assert picture.headers["content-type"] == "image/png" and "immutable" in picture.headers["cache-control"]
    later = [event for name, batch in events(client, f"/api/jobs/{one}/events?start=5") if name == "events" for event in batch]
    assert [event["kind"] for event in later] == ["step", "finished"]


def test_a_job_is_cancelled(client: httpx.Client) -> None:
    job = client.post("/api/jobs", json=PROMPT | {"steps": 150}).json()["jobs"][0]
    client.delete(f"/api/jobs/{job['id']}")
    assert events(client, f"/api/jobs/{job['id']}/events")[-2][1][-1]["kind"] == "cancelled"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", ""]
)
def test_only_json_is_taken_as_json(client: httpx.Client, kind: str) -> None:
    answer = client.post("/api/jobs", content=json.dumps(PROMPT), headers={"content-type": kind})
    assert answer.status_code == 415 and "application/json" in answer.json()["error"]["message"]
    fine = client.post("/api/jobs", content=json.dumps(PROMPT), headers={"content-type": "Application/JSON; charset=utf-8"})
    assert fine.status_code == 202


@pytest.mark.parametrize("start", ["a", "1.5", "\ud800".encode("utf-8", "replace").decode(), "9" * 5000])
def test_a_start_that_is_no_number_is_a_sentence(client: httpx.Client, start: str) -> None:
    job = client.post("/api/jobs", json=PROMPT).json()["jobs"][0]["id"]
    answer = client.get(f"/api/jobs/{job}/events", params={"start": start})
    assert answer.status_code == 422 and answer.json()["error"]["message"] == "Not understood: start."


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/unknown",
        "/api/jobs/..%2f",
        "/api/jobs/" + "a" * 5000,
        "/api/jobs/%00",
        "/api/groups/unknown/events",
        "/api/nothing",
        "/api/",
        "/pictures/x",
    ],
)
def test_what_is_unknown_is_404_with_a_sentence(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404 and answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/../../etc/passwd",
        "/pictures/..%2f..%2fetc%2fpasswd",
        "/pictures/%2e%2e/secret.png",
        "/pictures/.stepwise/journal.sqlite",
        "/pictures/2026-01-01/none.png",
        "/pictures/2026-01-01/%00.png",
        "/pictures/2026-01-01/..%5c..%5cx.png",
    ],
)
def test_a_picture_that_is_not_there_is_404(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404 and "root:" not in answer.text and "SQLite" not in answer.text


def test_models_samplers_status_and_tokens(client: httpx.Client) -> None:
    (model,) = [model for model in client.get("/api/models").json()["models"] if model["name"] == "fake"]
    assert model["title"] == "Fake" and "path" not in model
    assert "Karras" not in client.get("/api/samplers").json()["samplers"]["Euler a"]
    assert client.get("/api/status").json()["state"] == "ready"
    assert client.post("/api/tokens", json={"prompt": "a (red:1.3) boat", "model": "fake"}).json() == {
        "count": 3,
        "window": 10,
        "windows": 1,
        "encoders": [{"encoder": "CLIP", "total": 3, "window": 10, "windows": 1}],
        "sample": False,
        "cut": False,
        "problem": "",
    }
    assert client.post("/api/tokens", json={"prompt": "a {red|blue} boat", "model": "fake"}).json()["sample"] is True
    told = client.post("/api/tokens", json={"prompt": "a __nothing__", "model": "fake"}).json()
    assert told["count"] == 2 and told["problem"].startswith("There is no wildcard called 'nothing'.")
    assert client.post("/api/tokens", json={"prompt": 3}).status_code == 422


def test_ten_thousand_parentheses_are_answered(client: httpx.Client) -> None:
    answer = client.post("/api/tokens", json={"prompt": "(" * 10_000, "model": "fake"})
    assert answer.status_code == 200
