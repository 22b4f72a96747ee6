"""The engine in a real child process, with a real (tiny) pipeline, killed for real."""

from __future__ import annotations

import io
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny import write_pipeline
from webui.engine.engine import pick_device
from webui.engine.need import IN_USE
from webui.errors import UserError
from webui.events import Cancelled, Failed, Rendered, Started, Step
from webui.request import Defaults, Request, Resolved
from webui.settings import Wishes
from webui.workers.child import Pipe, _run
from webui.workers.local import LocalWorker, Setup, physical_cores
from webui.workers.worker import REPORT, Down, Holds, Report, Settled, Told, Up, Weighed

LIMIT = 120
"""Seconds to wait for a report: importing torch takes its time on a busy machine."""


def request(**fields: object) -> Resolved:
    given = {"prompt": "a red sailboat", "steps": 3, "seed": 1, "width": 64, "height": 64} | fields
    return Request.parse(given).resolve(Defaults(guidance=2.0), "tiny")


class Ear:
    """A worker and what it has said."""

    def __init__(self, worker: LocalWorker) -> None:
        self.worker = worker
        self.reports: queue.Queue[Report] = queue.Queue()
        worker.start(self.reports.put)

    def next(self, *kinds: type) -> Report:
        """The next report of these kinds; of an event, its own type counts."""
        while True:
            report = self.reports.get(timeout=LIMIT)
            if isinstance(report.event if isinstance(report, Told) else report, kinds):
                return report

    def picture(self, job: str, **fields: object) -> bytes:
        """Run a job to its end."""
        self.worker.submit(job, request(**fields))
        ended = self.next(Rendered, Failed)
        assert isinstance(ended, Told) and isinstance(ended.event, Rendered), ended
        return ended.event.rgb


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_pipeline(folder / "tiny")
    return folder


@pytest.fixture
def ear(models: Path) -> Iterator[Ear]:
    ear = Ear(LocalWorker([models], "cpu", "fast", threads=1))
    yield ear
    ear.worker.close()


def test_a_job_crosses_the_boundary_and_comes_back_as_a_picture(ear: Ear) -> None:
    up = ear.next(Up)
    assert isinstance(up, Up) and up.device == "cpu" and up.slots >= 4
    ear.worker.submit("a", request(steps=3))
    kinds = [type(told.event) for told in (ear.next(Started, Step, Rendered) for _ in range(5)) if isinstance(told, Told)]
    assert kinds == [Started, Step, Step, Step, Rendered]


def test_it_says_which_models_it_holds_how_and_why(models: Path) -> None:
    ear = Ear(LocalWorker([models], "cpu", "off", threads=1, wishes=Wishes(dtype="bfloat16"), preload="tiny"))
    assert ear.next(Holds) == Holds(models={}, loading="tiny")
    held = ear.next(Holds)
    assert isinstance(held, Holds) and list(held.models) == ["tiny"]
    assert held.models["tiny"].startswith("bfloat16, as it was asked for: it needs about ")
    ear.worker.close()


def test_a_model_is_weighed_loaded_and_let_go_by_hand(models: Path, ear: Ear) -> None:
    ear.next(Up)
    ear.worker.weigh(["tiny", "gone"])
    weighed = ear.next(Weighed)
    assert isinstance(weighed, Weighed) and weighed.models == ("tiny", "gone") and set(weighed.needs) == {"tiny"}
    assert weighed.needs["tiny"].fits and weighed.needs["tiny"].words.startswith("Needs about ")
    ear.worker.load("tiny")
    told = [ear.next(Holds, Settled) for _ in range(3)]
    assert told[0] == Holds(models={}, loading="tiny") and told[1] == Settled(model="tiny")
    assert isinstance(told[2], Holds) and list(told[2].models) == ["tiny"] and told[2].loading == ""
    ear.worker.load("gone")
    settled = ear.next(Settled)
    assert isinstance(settled, Settled) and "no model called 'gone'" in settled.trouble
    ear.worker.submit("a", request(steps=150))
    ear.next(Step)
    ear.worker.unload("tiny")
    settled = ear.next(Settled)
    assert isinstance(settled, Settled) and settled.trouble == IN_USE
    ear.worker.cancel("a")
    ear.next(Cancelled)
    ear.worker.unload("tiny")
    assert ear.next(Holds, Settled) == Holds(models={}) and ear.next(Settled) == Settled(model="tiny")


@pytest.mark.parametrize(
    ("up", "place"),
    [
        (Up(device="cpu", slots=1, models=1), "the CPU"),
        (Up(device="mps", slots=1, models=1), "the Apple GPU"),
        (Up(device="cuda:0", slots=1, models=1, chip="NVIDIA H100 80GB HBM3"), "the NVIDIA H100 80GB HBM3 (cuda:0)"),
        (Up(device="cuda", slots=1, models=1), "cuda"),
    ],
)
def test_where_pictures_are_made_is_said_as_a_person_would(up: Up, place: str) -> None:
    assert up.place == place and REPORT.validate_json(up.model_dump_json()) == up


@pytest.mark.parametrize("device", ["cuda:99", "cuda:999", "mps"])
def test_a_device_that_is_not_there_is_a_sentence(device: str) -> None:
    if device == "mps" and sys.platform == "darwin":
        pytest.skip("there may be one")
    with pytest.raises(UserError) as refused:
        pick_device(device)
    assert refused.value.message == f"There is no {device} here. Use --device cpu or auto."


def test_an_engine_without_its_device_says_so_and_is_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.BytesIO()
    _run(Setup(models=(), device="cuda:99", previews="fast"), queue.SimpleQueue(), Pipe(said))
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho '{said.getvalue().decode().strip()}'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    ear = Ear(LocalWorker([], "cuda:99", "fast", threads=1))
    assert ear.next(Up, Down) == Down(reason="There is no cuda:99 here. Use --device cpu or auto.", final=True)
    watcher = ear.worker._watcher
    assert watcher is not None
    watcher.join(LIMIT)
    assert not watcher.is_alive() and ear.reports.empty()
    ear.worker.close()


def test_an_engine_that_keeps_dying_before_it_is_ready_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.workers.local.FIRST_PAUSE", 0.01)
    monkeypatch.setattr(sys, "executable", "false")
    ear = Ear(LocalWorker([], "cpu", "fast", threads=1))
    downs = [ear.next(Up, Down) for _ in range(3)]
    assert downs[:2] == [Down(reason="it ended with status 1")] * 2
    last = "The engine stopped 3 times before it was ready; the last time, it ended with status 1. The log has the details."
    assert downs[2] == Down(reason=last, final=True)
    ear.worker.close()


def test_killed_in_mid_run_it_says_so_starts_again_and_makes_the_same_picture(ear: Ear) -> None:
    before = ear.picture("before")
    ear.worker.submit("victim", request(steps=150))
    ear.next(Step)
    assert ear.worker.pid
    os.kill(ear.worker.pid, signal.SIGKILL)
    down = ear.next(Down)
    assert isinstance(down, Down) and "killed" in down.reason and not down.final
    ear.next(Up)
    assert ear.picture("after") == before


def test_cancelled_in_mid_run_the_next_picture_is_as_before(ear: Ear) -> None:
    before = ear.picture("before")
    ear.worker.submit("victim", request(steps=150))
    ear.next(Step)
    ear.worker.cancel("victim")
    ear.next(Cancelled)
    assert ear.picture("after") == before


def test_a_model_that_is_not_there_is_a_sentence_and_the_engine_lives(ear: Ear) -> None:
    ear.worker.submit("bad", request().model_copy(update={"model": "gone"}))
    failed = ear.next(Failed)
    assert isinstance(failed, Told) and isinstance(failed.event, Failed) and "gone" in failed.event.message
    assert ear.picture("fine")


def test_the_child_does_not_outlive_its_studio(models: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from webui.settings import Wishes
from webui.workers.local import LocalWorker
from webui.workers.worker import Up
def hear(report):
    if isinstance(report, Up):
        print(worker.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
worker = LocalWorker([Path({str(models)!r})], "cpu", "off", threads=1)
worker.start(hear)
signal.pause()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, cwd=Path(__file__).parents[2])
    assert ended.returncode == -signal.SIGKILL
    child = int(ended.stdout)
    for _ in range(LIMIT * 10):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]:
            return
        signal.sigtimedwait([], 0.1)
    pytest.fail("the engine's process is still there")


def test_there_is_at_least_one_core() -> None:
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)
