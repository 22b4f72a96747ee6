"""The queue over REST: seen, put in another order, and a picture had while the disk refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.test_studio import until
from webui.errors import DiskFull
from webui.jobs import keeper
from webui.store.store import Store
from webui.studio import Studio

PROMPT = {"prompt": "a red sailboat", "steps": 4, "model": "fake"}


@pytest.fixture
def jobs(client: httpx.Client) -> Iterator[list[dict[str, Any]]]:
    """Eight running jobs and four that wait."""
    made = client.post("/api/jobs", json=PROMPT | {"steps": 150, "count": 12}).json()
    yield made["jobs"]
    client.delete(f"/api/groups/{made['group']}")


def test_what_runs_and_what_waits_is_shown_in_order(
    client: httpx.Client, jobs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.jobs.forecast.FRESH", 0.0)
    queue = client.get("/api/queue").json()
    assert queue["trouble"] is None
    assert [entry["position"] for entry in queue["jobs"]] == [0] * 8 + [1, 2, 3, 4]
    assert [entry["id"] for entry in queue["jobs"]] == [job["id"] for job in jobs]
    assert {(entry["who"], entry["mine"], entry["prompt"], entry["steps"]) for entry in queue["jobs"]} == {
        ("Owner", True, "a red sailboat", 150)
    }
    until(lambda: client.get("/api/queue").json()["jobs"][-1]["wait"] is not None)


def test_a_waiting_job_is_moved_and_deleted(client: httpx.Client, jobs: list[dict[str, Any]]) -> None:
    ids = [job["id"] for job in jobs[8:]]
    moved = client.post(f"/api/jobs/{ids[3]}/move", json={"before": ids[0]})
    assert moved.status_code == 200
    assert [entry["id"] for entry in moved.json()["jobs"] if entry["position"]] == [ids[3], *ids[:3]]
    client.post(f"/api/jobs/{ids[3]}/move", json={"before": None})
    client.delete(f"/api/jobs/{ids[1]}")
    assert [entry["id"] for entry in client.get("/api/queue").json()["jobs"] if entry["position"]] == [ids[0], ids[2], ids[3]]


@pytest.mark.parametrize("body", [{}, {"before": 3}, {"before": ["x"]}, {"after": "x"}, {"before": None, "more": 1}, []])
def test_a_move_that_says_not_where_is_422(client: httpx.Client, jobs: list[dict[str, Any]], body: object) -> None:
    answer = client.post(f"/api/jobs/{jobs[-1]['id']}/move", json=body)
    assert answer.status_code == 422 and answer.json()["error"]["message"]


def test_what_does_not_wait_cannot_be_moved(client: httpx.Client, jobs: list[dict[str, Any]]) -> None:
    for id, before in ((jobs[0]["id"], None), ("unknown", None), (jobs[-1]["id"], jobs[0]["id"]), (jobs[-1]["id"], "unknown")):
        answer = client.post(f"/api/jobs/{id}/move", json={"before": before})
        assert answer.status_code == 404 and answer.json()["error"]["message"] == "There is no such job waiting."


def test_a_finished_picture_is_downloaded(client: httpx.Client, studio: Studio) -> None:
    id = client.post("/api/jobs", json=PROMPT).json()["jobs"][0]["id"]
    studio.job(id).wait(60)
    told = client.get(f"/api/jobs/{id}").json()
    answer = client.get(f"/api/jobs/{id}/picture")
    assert answer.content == client.get(f"/pictures/{told['picture']}").content
    assert answer.headers["content-disposition"] == f'attachment; filename="{told["picture"].rpartition("/")[2]}"'


def test_a_picture_that_is_not_there_yet_is_404(client: httpx.Client, jobs: list[dict[str, Any]]) -> None:
    for id in (jobs[-1]["id"], "unknown"):
        assert client.get(f"/api/jobs/{id}/picture").status_code == 404


def test_a_picture_is_downloaded_while_the_disk_is_full(client: httpx.Client, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "RETRY", 0.05)

    def refuse(*arguments: object, **more: object) -> str:
        raise DiskFull("The disk is full. Free some space.")

    with monkeypatch.context() as full:
        full.setattr(Store, "save", refuse)
        id = client.post("/api/jobs", json=PROMPT).json()["jobs"][0]["id"]
        until(lambda: client.get(f"/api/jobs/{id}").json()["state"] == "waiting" and studio.trouble is not None)
        assert client.get("/api/queue").json()["trouble"] == "Waiting for disk space. The disk is full. Free some space."
        kept = client.get(f"/api/jobs/{id}/picture")
        assert kept.status_code == 200 and kept.content.startswith(b"\x89PNG") and kept.content.endswith(b"IEND\xaeB`\x82")
        assert kept.headers["content-disposition"] == f'attachment; filename="{id[:8]}.png"'
    until(lambda: client.get(f"/api/jobs/{id}").json()["state"] == "finished")
