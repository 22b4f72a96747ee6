"""REST over models and downloads: what everybody sees, what is the owner's alone, and nothing of where it lies on the machine."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.downloads.hub import CROSS
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
