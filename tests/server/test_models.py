"""REST over models and downloads: what everybody sees, what is the owner's alone, and nothing of where it lies on the machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.downloads.hub import CROSS
from tests.fake import FakeWorker, write_few_steps
from tests.server.sharing import Shared, shared, until
from webui.studio import Studio
from webui.workers.worker import Holds


@pytest.fixture(scope="module")
def folder(studio: Studio) -> Path:
    """Beside the fake model: a LoRA with a picture, an embedding, and a file that is cut off."""
    folder = studio.settings.models
    (folder / "loras").mkdir()
    save_file({CROSS: torch.zeros(4, 768)}, folder / "loras" / "ink.safetensors", {"modelspec.trigger_phrase": "in ink"})
    Image.new("RGB", (900, 600), (90, 20, 20)).save(folder / "loras" / "ink.png")
    save_file({"emb_params": torch.zeros(2, 768)}, folder / "ugly.safetensors")
    (folder / "cut.safetensors").write_bytes(b"x")
    studio.stock.refresh()
    return folder


@pytest.fixture(scope="module")
def door(studio: Studio) -> Iterator[Shared]:
    """The same studio, as it is shared."""
    with shared(studio) as door:
        yield door


@pytest.fixture
def worker(studio: Studio) -> FakeWorker:
    """Its engine."""
    assert isinstance(studio._worker, FakeWorker)
    return studio._worker


def names(client: httpx.Client, **asked: object) -> list[str]:
    answer = client.get("/api/models/list", params={key: str(value) for key, value in asked.items()})
    assert answer.status_code == 200
    return [entry["name"] for entry in answer.json()["entries"] if entry["name"] != "storybook"]


def test_everything_is_listed_and_can_be_searched(client: httpx.Client, folder: Path) -> None:
    assert names(client) == ["fake", "loras/ink.safetensors", "ugly.safetensors", "cut.safetensors"]
    assert names(client, search="INK 1.x") == ["loras/ink.safetensors"] == names(client, kind="lora")
    assert names(client, search="in ink") == ["loras/ink.safetensors"]
    assert names(client, search="nothing") == []
    whole = client.get("/api/models/list", params={"count": 1, "start": 1}).json()
    assert len(whole["entries"]) == 1 and whole["total"] == sum(whole["kinds"].values()) >= 4
    entry = client.get("/api/models/list", params={"kind": "lora"}).json()["entries"][0]
    assert entry["word"] == "<lora:ink:0.8>" and entry["words"] == ["in ink"] and entry["thumbnail"] is True
    assert str(folder) not in client.get("/api/models/list").text + client.get("/api/models").text
    assert [model["name"] for model in client.get("/api/models").json()["models"] if model["name"] != "storybook"] == ["fake"]


def test_how_a_model_lies_in_memory_is_said_beside_it(client: httpx.Client, studio: Studio, folder: Path) -> None:
    studio._hear(Holds(models={"fake": "Loaded in float32: there is room."}))
    told = {entry["name"]: entry["loaded"] for entry in client.get("/api/models/list").json()["entries"]}
    assert told["fake"] == "Loaded in float32: there is room." and told["ugly.safetensors"] == ""
    studio._hear(Holds(models={}))


def entry(client: httpx.Client, name: str = "fake") -> dict[str, Any]:
    listed = client.get("/api/models/list", params={"count": 200}).json()["entries"]
    return next(one for one in listed if one["name"] == name)


def test_a_card_has_what_a_model_proposes_and_what_it_would_need(client: httpx.Client, folder: Path) -> None:
    one = entry(client)
    assert one["need"] == {"fits": True, "words": "Needs about 2.0 GB as float32; 9.0 GB are free."}
    assert one["defaults"]["steps"] == 6 and one["guidance"] == "Guidance" and one["training"] == ""
    lora = entry(client, "loras/ink.safetensors")
    assert (lora["need"], lora["loading"], lora["defaults"], lora["default"]) == (None, None, None, False)


def test_the_owner_loads_a_model_and_lets_it_go(door: Shared, worker: FakeWorker, folder: Path) -> None:
    owner, before = door.owner, door.owner.get("/api/status").json()["memory"]
    worker.loading.clear()
    assert owner.post("/api/models/load", json={"model": "fake"}).status_code == 202
    assert until(30, lambda: entry(owner)["loading"] is not None)
    worker.loading.set()
    assert until(30, lambda: entry(owner)["loaded"] != "")
    assert entry(owner)["need"] is None and owner.get("/api/status").json()["memory"] != before
    job = owner.post("/api/jobs", json={"prompt": "a", "steps": 150, "model": "fake"}).json()["jobs"][0]["id"]
    refused = owner.post("/api/models/unload", json={"model": "fake"})
    assert refused.status_code == 409 and "Pictures are being made with this model" in refused.json()["error"]["message"]
    owner.delete(f"/api/jobs/{job}").raise_for_status()
    assert until(30, lambda: owner.post("/api/models/unload", json={"model": "fake"}).status_code == 202)
    assert entry(owner)["loaded"] == "" and owner.post("/api/models/unload", json={"model": "fake"}).status_code == 422


def test_the_owner_sets_the_default_and_whoever_names_no_model_gets_it(door: Shared, studio: Studio, folder: Path) -> None:
    write_few_steps(folder / "swift")
    studio.stock.refresh()
    assert door.owner.put("/api/models/default", json={"model": "swift"}).json() == {"default": "swift"}
    with door.guest() as guest:
        assert guest.get("/api/models").json()["default"] == "swift" == guest.get("/api/models/list").json()["default"]
        assert entry(guest, "swift")["default"] and not entry(guest)["default"]
        job = guest.post("/api/jobs", json={"prompt": "a", "steps": 1}).json()["jobs"][0]
        assert job["request"]["model"] == "swift"
    shutil.rmtree(folder / "swift")
    studio.stock.refresh()
    listed = door.owner.get("/api/models/list").json()
    assert listed["default"] != "swift" and listed["lost"].startswith("The default model, swift, is not in the models' folder any more.")
    assert door.owner.put("/api/models/default", json={"model": "fake"}).json() == {"default": "fake"}
    assert door.owner.get("/api/models/list").json()["lost"] == ""


ACTS = (("PUT", "/api/models/default"), ("POST", "/api/models/load"), ("POST", "/api/models/unload"))


@pytest.mark.parametrize("role", ["maker", "viewer"])
def test_guests_look_and_change_nothing(door: Shared, worker: FakeWorker, role: str) -> None:
    with door.guest(role) as guest:
        for method, path in ACTS:
            answer = guest.request(method, path, json={"model": "fake"})
            assert answer.status_code == 403 and "owner" in answer.json()["error"]["message"], path
        assert entry(guest)["need"]["fits"]
    assert worker.held == {}


NO_MODELS = [{}, {"model": 3}, {"model": None}, {"model": "fake", "more": 1}, {"model": "none"}, {"model": "loras/ink.safetensors"}, []]


@pytest.mark.parametrize("body", NO_MODELS)
@pytest.mark.parametrize(("method", "path"), ACTS)
def test_what_is_no_model_is_a_sentence(client: httpx.Client, folder: Path, method: str, path: str, body: object) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 422 and answer.json()["error"]["message"].endswith((".", "?")), answer.text


def test_hashes_come_in_the_background(client: httpx.Client, folder: Path) -> None:
    end = time.monotonic() + 20
    while client.get("/api/models/list").json()["summing"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    lora, embedding = (client.get("/api/models/list", params={"kind": kind}).json()["entries"][0] for kind in ("lora", "embedding"))
    assert len(lora["hash"]) == 12 and len(embedding["hash"]) == 10 and embedding["sha256"].startswith(embedding["hash"])
    assert names(client, search=lora["sha256"]) == ["loras/ink.safetensors"]


@pytest.mark.parametrize("query", ["kind=x", "start=-1", "count=0", "count=1000", "count=x", "start=" + "9" * 5000])
def test_a_wrong_question_is_a_sentence(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/api/models/list?{query}")
    assert answer.status_code == 422 and answer.json()["error"]["message"].endswith(".")


def test_the_picture_of_a_model_is_decoded_and_made_small(client: httpx.Client, folder: Path, tmp_path: Path) -> None:
    answer = client.get("/api/models/thumbnail", params={"name": "loras/ink.safetensors"})
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg" and answer.content[:2] == b"\xff\xd8"
    for name in ("fake", "none", "", "../x", "loras/ink.png"):
        assert client.get("/api/models/thumbnail", params={"name": name}).status_code == 404
    picture = folder / "loras" / "ink.png"
    for wrong in (b"<svg/>", b"", picture.read_bytes()[:50]):
        picture.unlink()
        picture.write_bytes(wrong)
        assert client.get("/api/models/thumbnail", params={"name": "loras/ink.safetensors"}).status_code == 404
    Image.new("RGB", (8, 8)).save(tmp_path / "private.png")
    picture.unlink()
    picture.symlink_to(tmp_path / "private.png")
    assert client.get("/api/models/thumbnail", params={"name": "loras/ink.safetensors"}).status_code == 404


def test_what_is_dropped_in_is_there_at_once_and_can_be_used(client: httpx.Client, studio: Studio, folder: Path) -> None:
    before = client.get("/api/status").json()["models"]
    save_file({CROSS: torch.zeros(4, 768)}, folder / "loras" / "oil.safetensors")
    answer = client.post("/api/models/refresh")
    assert answer.status_code == 200 and "loras/oil.safetensors" in answer.json()["new"] and answer.json()["gone"] == []
    assert client.get("/api/status").json()["models"] > before
    job = client.post("/api/jobs", json={"prompt": "a <lora:oil:0.8>", "steps": 1, "model": "fake"})
    assert job.status_code == 202
    (folder / "loras" / "oil.safetensors").unlink()
    assert client.post("/api/models/refresh").json()["gone"] == ["loras/oil.safetensors"]


def test_the_owner_looks_before_anything_is_fetched(client: httpx.Client) -> None:
    listed = client.get("/api/downloads").json()
    assert listed["downloads"] == [] and len(listed["starters"]) >= 4 and {"source", "licence", "memory"} <= set(listed["starters"][0])
    for body in ({}, {"source": 1}, {"source": "a", "more": 1}, {"source": "nonsense"}, {"source": "http://127.0.0.1:9/a.safetensors"}):
        answer = client.post("/api/downloads/look", json=body)
        assert answer.status_code == 422 and answer.json()["error"]["message"].endswith("."), answer.text
    assert client.post("/api/downloads", json={"id": "x"}).status_code == 404
    assert client.post("/api/downloads/x/pause").status_code == 404
    assert client.delete("/api/downloads/x").status_code == 404
