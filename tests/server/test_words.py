"""Styles and wildcards over REST: the owner keeps them, makers use them, who only looks does neither."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.sharing import Shared, shared, until
from webui.studio import Studio

INK = {"name": "Ink, fine", "prompt": "ink drawing of {prompt}", "negative": "colour"}


@pytest.fixture(scope="module")
def door(studio: Studio) -> Iterator[Shared]:
    with shared(studio) as door:
        yield door


@pytest.fixture
def folder(studio: Studio) -> Iterator[Path]:
    """Where styles and wildcards lie; there are none before a test, and none after it."""
    folder = studio.settings.models.parent
    yield folder
    (folder / "styles.csv").unlink(missing_ok=True)


def names(client: httpx.Client) -> list[str]:
    return [style["name"] for style in client.get("/api/styles").raise_for_status().json()["styles"]]


def finished(client: httpx.Client, values: dict[str, Any]) -> dict[str, Any]:
    """The one job that comes of it."""
    made = client.post("/api/jobs", json={"model": "fake", "steps": 1} | values).raise_for_status().json()["jobs"][0]
    assert until(60, lambda: client.get(f"/api/jobs/{made['id']}").json()["state"] == "finished")
    job: dict[str, Any] = client.get(f"/api/jobs/{made['id']}").json()
    return job


def test_the_owner_keeps_styles(door: Shared, folder: Path) -> None:
    assert names(door.owner) == []
    assert door.owner.put("/api/styles", json=INK).json() == {"styles": [INK]}
    door.owner.put("/api/styles", json={"name": "soft"}).raise_for_status()
    door.owner.put("/api/styles", json=INK | {"negative": ""}).raise_for_status()
    assert names(door.owner) == ["Ink, fine", "soft"]
    assert (folder / "styles.csv").read_bytes().startswith(b"\xef\xbb\xbfname,prompt,negative_prompt\r\n")
    assert door.owner.delete("/api/styles", params={"name": "Ink, fine"}).json()["styles"][0]["name"] == "soft"


@pytest.mark.parametrize("role", ["maker", "viewer"])
def test_others_do_not(door: Shared, folder: Path, role: str) -> None:
    door.owner.put("/api/styles", json=INK).raise_for_status()
    with door.guest(role) as guest:
        for answer in (guest.put("/api/styles", json={"name": "mine"}), guest.delete("/api/styles", params={"name": INK["name"]})):
            assert answer.status_code == 403 and "owner" in answer.json()["error"]["message"]
        assert names(guest) == ["Ink, fine"]


def test_a_maker_uses_them_and_the_picture_says_so(door: Shared, folder: Path) -> None:
    door.owner.put("/api/styles", json=INK).raise_for_status()
    with door.guest() as guest:
        asked = {"prompt": "a {cat|dog}", "negative": "fog", "seed": 1, "styles": ["Ink, fine"]}
        job = finished(guest, asked)
        assert job["request"]["styles"] == ["Ink, fine"] and job["request"]["prompt"] == "a {cat|dog}"
        assert job["drawn"]["prompt"] in ("ink drawing of a cat", "ink drawing of a dog") and job["drawn"]["negative"] == "fog, colour"
        about = guest.get(f"/api/pictures/{job['picture']}").json()
        assert "styles=%5B%22Ink" in about["recipe"]
        assert finished(guest, job["request"])["drawn"] == job["drawn"], "what a job says it was asked for asks for it again"
        picture = guest.get(f"/pictures/{job['picture']}").content
        assert job["drawn"]["prompt"].encode() in picture and b"Typed prompt: a {cat|dog}" in picture


@pytest.mark.parametrize(
    ("method", "more", "status"),
    [
        ("PUT", {"json": {}}, 422),
        ("PUT", {"json": {"name": ""}}, 422),
        ("PUT", {"json": {"name": "a", "prompt": 3}}, 422),
        ("PUT", {"json": {"name": "a", "colour": "red"}}, 422),
        ("PUT", {"json": {"name": "a\nb"}}, 422),
        ("PUT", {"json": []}, 422),
        ("PUT", {"content": b"x"}, 415),
        ("DELETE", {"params": {"name": "none"}}, 422),
        ("DELETE", {}, 422),
    ],
)
def test_what_is_no_style_is_a_sentence(door: Shared, folder: Path, method: str, more: dict[str, Any], status: int) -> None:
    answer = door.owner.request(method, "/api/styles", **more)
    assert answer.status_code == status and answer.json()["error"]["message"].endswith(".")
    assert not (folder / "styles.csv").exists()


@pytest.mark.parametrize("styles", ["ink", [3], [""] * 21, {"a": 1}, None, ["half \ud800"], ["none"], ["x" * 201]])
def test_styles_that_there_are_not_are_a_sentence_about_the_field(door: Shared, styles: object) -> None:
    answer = door.owner.post("/api/jobs", content=json.dumps({"styles": styles}), headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert answer.status_code == 422 and error["message"].endswith(".")
    if "half" not in str(styles):  # refused as JSON already
        assert error["field"] == "styles"


def test_a_damaged_file_is_told_to_whoever_needs_it(door: Shared, folder: Path) -> None:
    (folder / "styles.csv").write_bytes(b"\xff\xfe")
    for answer in (
        door.owner.get("/api/styles"),
        door.owner.put("/api/styles", json=INK),
        door.owner.post("/api/jobs", json={"styles": ["a"]}),
    ):
        assert answer.status_code == 507 and "styles.csv" in answer.json()["error"]["message"]
    finished(door.owner, {"prompt": "a cat"})
    assert door.owner.get("/").status_code == 200


def test_wildcards_are_listed_and_unknown_ones_refused(door: Shared, folder: Path) -> None:
    assert door.owner.get("/api/wildcards").json() == {"wildcards": []}
    (folder / "wildcards" / "a").mkdir(parents=True)
    (folder / "wildcards" / "a" / "colour.txt").write_text("red\nblue")
    assert door.owner.get("/api/wildcards").json() == {"wildcards": ["a/colour"]}
    assert finished(door.owner, {"prompt": "__a/colour__"})["drawn"]["prompt"] in ("red", "blue")
    error = door.owner.post("/api/jobs", json={"prompt": "__a/color__"}).json()["error"]
    assert error["field"] == "prompt" and "Did you mean: a/colour" in error["message"]


HOSTILE = [
    "{" * 10_000,
    "{a|" * 5000 + "}" * 5000,
    "__" * 9000,
    "(" * 5000,
    "(x:nan)",
    "(x:inf)",
    "(" * 1000 + "x" + ")" * 1000,
    "[" * 20_000,
    '("a",' * 3000,
]


@pytest.mark.parametrize("prompt", HOSTILE, ids=lambda text: text[:8])
def test_absurd_prompts_are_text_or_a_sentence(door: Shared, prompt: str) -> None:
    for path in ("/api/jobs", "/api/tokens"):
        answer = door.owner.post(path, json={"model": "fake", "steps": 1, "prompt": prompt, "negative": prompt})
        assert answer.status_code in (200, 202) or (answer.status_code == 422 and answer.json()["error"]["message"].endswith("."))
