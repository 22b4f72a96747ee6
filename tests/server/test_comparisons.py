"""REST over comparisons of a running server: every wrong input is a sentence, every right one can be followed and taken away."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.server.test_api import WRONG_BODIES, events
from webui.errors import InvalidRequest

REQUEST = {"prompt": "a red sailboat", "model": "fake"}
STEPS = {"field": "steps", "values": [2, 4, 8]}


def begun(client: httpx.Client, *axes: dict[str, Any], **fields: object) -> dict[str, Any]:
    answer = client.post("/api/comparisons", json={"request": REQUEST | fields, "axes": list(axes)})
    assert answer.status_code == 202, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def ended(client: httpx.Client, id: str) -> dict[str, Any]:
    limit = time.monotonic() + 60
    while True:
        shown: dict[str, Any] = client.get(f"/api/comparisons/{id}").json()
        if shown["state"] == "finished":
            return shown
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_comparison_from_its_begin_to_its_end(client: httpx.Client) -> None:
    shown = begun(client, STEPS, {"field": "sampler", "values": ["Euler", "Euler a"]}, schedule="Karras", seed=7)
    assert set(shown) == {"id", "group", "created", "title", "request", "axes", "columns", "rows", "cells", "state"}
    assert shown["columns"] == ["2 steps", "4 steps", "8 steps"] and shown["rows"] == ["Euler", "Euler a"]
    assert [(cell["row"], cell["column"]) for cell in shown["cells"]] == [(row, column) for row in range(2) for column in range(3)]
    assert shown["cells"][4]["values"] == {"steps": 4, "sampler": "Euler a"} and shown["request"]["seed"] == 7
    refused = shown["cells"][3]["job"]
    assert refused["state"] == "failed" and "Euler a does not work with the schedule Karras" in refused["error"]
    again = ended(client, shown["id"])
    assert [cell["job"]["state"] for cell in again["cells"]] == ["finished"] * 3 + ["failed"] * 3
    assert [cell["job"]["id"] for cell in again["cells"]] == [cell["job"]["id"] for cell in shown["cells"]]
    assert all(client.get(f"/pictures/{cell['job']['picture']}").status_code == 200 for cell in again["cells"][:3])
    listed = client.get("/api/comparisons").json()["comparisons"]
    assert listed[0] | {"created": ""} == {
        "id": shown["id"], "created": "", "title": "a red sailboat: steps and sampler", "cells": 6, "state": "finished",
    }  # fmt: skip


def test_the_text_of_a_person_is_an_axis_too(client: httpx.Client) -> None:
    assert begun(client, {"field": "steps", "text": "2-6/2"})["columns"] == ["2 steps", "4 steps", "6 steps"]


def test_every_cell_is_followed_live_over_one_stream(client: httpx.Client) -> None:
    shown = begun(client, STEPS)
    messages = events(client, f"/api/groups/{shown['group']}/events")
    jobs = messages[0][1]
    assert [job["id"] for job in jobs] == [cell["job"]["id"] for cell in shown["cells"]]
    told = [event for name, batch in messages if name == "events" for event in batch]
    for number, steps in enumerate((2, 4, 8)):
        assert [event["i"] for event in told if event["job"] == number and event["kind"] == "step"] == list(range(1, steps + 1))
    # Interleaved: the last cell shows its first frame before the first cell is finished.
    first_of_last = next(at for at, event in enumerate(told) if event["job"] == 2 and event["kind"] == "step")
    end_of_first = next(at for at, event in enumerate(told) if event["job"] == 0 and event["kind"] == "finished")
    assert first_of_last < end_of_first


def test_an_estimate_runs_nothing(client: httpx.Client) -> None:
    before = len(client.get("/api/comparisons").json()["comparisons"])
    told = client.post("/api/comparisons/estimate", json={"request": REQUEST, "axes": [STEPS]}).json()
    assert set(told) == {"cells", "steps", "seconds", "large", "sentence"}
    assert (told["cells"], told["steps"], told["large"]) == (3, 14, False) and "3 cells, 14 steps in all" in told["sentence"]
    assert len(client.get("/api/comparisons").json()["comparisons"]) == before


def test_the_curve_is_a_conflict_until_all_are_finished(client: httpx.Client) -> None:
    shown = begun(client, {"field": "steps", "values": [2, 4, 60]})
    early = client.get(f"/api/comparisons/{shown['id']}/curve")
    assert early.status_code == 409 and early.json()["error"]["message"] == "The curve comes when all pictures are finished."
    ended(client, shown["id"])
    curve = client.get(f"/api/comparisons/{shown['id']}/curve").json()
    assert [(point["steps"], point["ssim"], point["mae"]) for point in curve["curve"]] == [(2, 1, 0), (4, 1, 0), (60, 1, 0)]
    assert curve["settled"] == 2 and "hardly changes" in curve["sentence"] and curve["curve"][0]["picture"].endswith(".png")
    grid = begun(client, STEPS, {"field": "sampler", "values": ["Euler", "Euler a"]})
    ended(client, grid["id"])
    rows = client.get(f"/api/comparisons/{grid['id']}/curve").json()["rows"]
    assert [row["head"] for row in rows] == ["Euler", "Euler a"] and rows[1]["settled"] is None
    other = ended(client, begun(client, {"field": "seed", "values": [1, 2]})["id"])
    assert client.get(f"/api/comparisons/{other['id']}/curve").status_code == 422


def test_columns_again_and_stop(client: httpx.Client) -> None:
    shown = ended(client, begun(client, STEPS)["id"])
    longer = client.post(f"/api/comparisons/{shown['id']}/columns", json={"values": [3]})
    assert longer.status_code == 202 and longer.json()["columns"][-1] == "3 steps"
    assert [cell["job"]["id"] for cell in longer.json()["cells"][:3]] == [cell["job"]["id"] for cell in shown["cells"]]
    ended(client, shown["id"])
    again = client.post(f"/api/comparisons/{shown['id']}/again")
    assert again.status_code == 202 and again.json()["id"] != shown["id"] and len(again.json()["cells"]) == 4
    assert {cell["job"]["request"]["seed"] for cell in again.json()["cells"]} == {shown["request"]["seed"]}
    long = begun(client, {"field": "steps", "values": [149, 150]})
    assert client.delete(f"/api/comparisons/{long['id']}").status_code == 200
    assert [cell["job"]["state"] for cell in ended(client, long["id"])["cells"]] == ["cancelled"] * 2


FILES = [
    ("sheet.png", "PNG"),
    ("difference.png?a=0&b=2", "PNG"),
    ("strip.png?cell=2", "PNG"),
    ("animation.webp?cell=2", "WEBP"),
    ("animation.gif?cell=2", "GIF"),
    ("animation.webp", "WEBP"),
    ("animation.gif?by=share", "GIF"),
]


def test_what_can_be_taken_away(client: httpx.Client) -> None:
    shown = ended(client, begun(client, STEPS)["id"])
    for path, kind in FILES:
        answer = client.get(f"/api/comparisons/{shown['id']}/{path}")
        assert answer.status_code == 200 and answer.headers["content-type"] == f"image/{kind.lower()}"
        assert Image.open(io.BytesIO(answer.content)).format == kind and "inline" in answer.headers["content-disposition"]
    for path, status in [
        ("animation.mp4", 422),
        ("animation.gif?by=magic", 422),
        ("animation.gif?cell=x", 422),
        ("strip.png", 422),
        ("strip.png?cell=3", 404),
        ("strip.png?cell=-1", 404),
        ("difference.png?a=0", 422),
        ("difference.png?a=0&b=99999999999999999999", 404),
    ]:
        answer = client.get(f"/api/comparisons/{shown['id']}/{path}")
        assert answer.status_code == status and answer.json()["error"]["message"].endswith(".")


@pytest.mark.parametrize("route", ["", "/estimate", "/{id}/columns"])
@pytest.mark.parametrize("body", WRONG_BODIES, ids=lambda body: ascii(body)[:40])
def test_a_wrong_body_is_422_with_a_sentence(client: httpx.Client, route: str, body: bytes) -> None:
    id = client.get("/api/comparisons").json()["comparisons"]
    path = route.replace("{id}", id[0]["id"] if id else "x")
    answer = client.post(f"/api/comparisons{path}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422 or (not id and answer.status_code == 404)
    assert answer.json()["error"]["message"].endswith((".", "}")) and "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([0], "from 1 to 150"),
        ([-4], "from 1 to 150"),
        ([1e9], "from 1 to 150"),
        ([10**9], "from 1 to 150"),
        (["abc"], "from 1 to 150"),
        (list(range(1, 151)) + [1] * 350, "More than 64 values are too many"),
        ([], "at least one value"),
        ([4, 4], "there twice"),
    ],
)
def test_bad_values_are_sentences(client: httpx.Client, values: list[object], sentence: str) -> None:
    answer = client.post("/api/comparisons", json={"request": REQUEST, "axes": [{"field": "steps", "values": values}]})
    assert answer.status_code == 422 and sentence in answer.json()["error"]["message"]


@pytest.mark.parametrize("id", ["unknown", "%00", "..%2f..%2fetc", "a" * 5000, "'; drop table comparisons; --"])
def test_what_is_unknown_is_404_with_a_sentence(client: httpx.Client, id: str) -> None:
    for path in ("", "/curve", "/sheet.png", "/difference.png?a=0&b=1", "/strip.png?cell=0", "/animation.webp"):
        answer = client.get(f"/api/comparisons/{id}{path}")
        assert answer.status_code == 404 and answer.json()["error"]["message"]
    assert client.delete(f"/api/comparisons/{id}").status_code == 404
    assert client.post(f"/api/comparisons/{id}/again").status_code == 404
    assert client.post(f"/api/comparisons/{id}/columns", json={"values": [2]}).status_code == 404
    assert client.get("/api/comparisons").status_code == 200


def answers_beside(client: httpx.Client, address: str, method: str, path: str, **more: object) -> bool:
    """Whether others are answered at once while a request that takes a second is under way."""
    with httpx.Client(base_url=address, timeout=60) as other:
        asking = threading.Thread(target=other.request, args=(method, path), kwargs=more)
        asking.start()
        time.sleep(0.1)
        began = time.monotonic()
        answered = client.get("/api/health").status_code == 200 and time.monotonic() - began < 0.7
        asking.join()
    return answered


def test_the_server_answers_while_something_is_drawn(client: httpx.Client, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = ended(client, begun(client, STEPS)["id"])

    def slow(*_: object) -> bytes:
        time.sleep(1)
        return b"drawn"

    monkeypatch.setattr("webui.server.comparisons.takeaway.sheet", slow)
    assert answers_beside(client, address, "GET", f"/api/comparisons/{shown['id']}/sheet.png")


@pytest.mark.parametrize("route", ["", "/estimate"])
def test_the_server_answers_while_what_is_asked_is_read(
    client: httpx.Client, address: str, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    def slow(*_: object) -> None:
        time.sleep(1)
        raise InvalidRequest("Read.")

    monkeypatch.setattr("webui.server.comparisons.Comparison.parse", slow)
    assert answers_beside(client, address, "POST", f"/api/comparisons{route}", json={})


def test_films_hold_up_no_sheet_and_are_not_made_for_who_has_gone(
    client: httpx.Client, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, filmed = f"/api/comparisons/{ended(client, begun(client, STEPS)['id'])['id']}", threading.Event()
    made: list[object] = []

    def slow(*given: object, **_: object) -> bytes:
        made.append(given)
        filmed.wait(60)
        return b"film"

    monkeypatch.setattr("webui.server.comparisons.takeaway.animation", slow)
    with httpx.Client(base_url=address, timeout=60) as patient:
        waiting = threading.Thread(target=patient.get, args=(f"{path}/animation.gif",))
        waiting.start()
        while not made:
            time.sleep(0.01)
        for _ in range(3):
            with httpx.Client(base_url=address) as other, pytest.raises(httpx.TimeoutException):
                other.get(f"{path}/animation.gif", timeout=0.1)
        assert client.get(f"{path}/curve").status_code == 200 and client.get(f"{path}/sheet.png").status_code == 200
        filmed.set()
        waiting.join()
    assert client.get(f"{path}/animation.webp").content == b"film" and len(made) == 2


def test_the_documentation_names_every_route(client: httpx.Client) -> None:
    page = client.get("/api/docs").text
    assert all(f"/api/comparisons{path}" in page for path in ("", "/estimate", "/{id}", "/{id}/curve", "/{id}/columns", "/{id}/sheet.png"))
