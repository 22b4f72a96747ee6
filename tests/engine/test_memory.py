"""Memory: which models stay, what happens when it runs out, and that nothing is left behind."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
import pytest
import torch

from tests.engine.conftest import pixels, request
from tests.families import PIPES, write_family
from tests.tiny import write_pipeline
from webui.engine import loading, memory
from webui.engine.catalogue import Model
from webui.engine.engine import Engine
from webui.engine.loading import Loader
from webui.engine.shelf import scan
from webui.errors import ModelError
from webui.events import Cancelled, Event, Failed, Rendered, Waiting
from webui.request import Request
from webui.settings import Wishes

CPU = torch.device("cpu")


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    for seed in range(3):
        write_pipeline(tmp_path / str(seed), seed=seed)
    return Loader(CPU)


def room_for(monkeypatch: pytest.MonkeyPatch, loader: Loader, count: float, one: Model) -> None:
    """As if there were room for so many models in float32."""
    each = memory.needed(one, torch.float32, CPU)
    monkeypatch.setattr(memory, "free", lambda device: round((count - len(loader._kept)) * each))


def test_models_go_least_recently_used_first_until_the_next_one_fits(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = scan([tmp_path])
    room_for(monkeypatch, loader, 2.1, models["0"])
    for name in ("0", "1", "0", "2"):
        loader.get(models[name])
    assert list(loader._kept) == ["0", "2"]
    room_for(monkeypatch, loader, 0.6, models["0"])
    assert loader.get(models["1"]).pipe.unet.dtype == torch.bfloat16 and list(loader._kept) == ["1"], "alone, and in half of the memory"
    room_for(monkeypatch, loader, 0.1, models["0"])
    with pytest.raises(ModelError, match="are free"):
        loader.get(models["2"])


def test_after_twenty_switches_the_memory_is_what_it_was(loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = scan([tmp_path])
    room_for(monkeypatch, loader, 1.1, models["0"])
    process = psutil.Process()
    sizes = []
    for switch in range(24):
        loader.get(models[str(switch % 3)])
        assert len(loader._kept) == 1
        gc.collect()
        sizes.append(process.memory_info().rss)
    assert max(sizes[4:]) - sizes[3] < 30_000_000


def test_a_picture_that_does_not_fit_is_a_sentence_and_the_engine_goes_on(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine([models], "cpu", "off")
    unet = engine._loader.get(engine._models["tiny"]).pipe.unet
    forward = unet.forward

    def small(sample: torch.Tensor, *args: object, **kwargs: object) -> object:
        if sample.shape[-1] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(unet, "forward", small)
    logs: list[list[Event]] = [[], []]
    for log, width in zip(logs, (128, 64), strict=True):
        engine.submit(str(width), request(width=width), log.append)
    while engine.step():
        pass
    assert isinstance(logs[0][-1], Failed) and "Lower its width and height" in logs[0][-1].message
    assert pixels(logs[1]).std() > 0


def test_running_out_is_known_by_what_each_device_says_of_it() -> None:
    full = (
        "MPS backend out of memory (MPS allocated: 5.56 GB, other allocations: 1.10 GB, max allowed: 6.80 GB). Tried to allocate 768.00 MB"
    )
    for error in (
        torch.OutOfMemoryError("CUDA"),
        MemoryError(),
        RuntimeError(full),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        assert memory.exhausted(error)
    assert not memory.exhausted(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_model_that_pictures_are_made_with_stays_and_the_next_one_waits(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine([models], "cpu", "off")
    room_for(monkeypatch, engine._loader, 1.1, engine._models["tiny"])
    log: list[tuple[str, Event]] = []
    held = []

    def submit(job: str, model: str, steps: int) -> None:
        one = request(steps=steps).model_copy(update={"model": model})
        engine.submit(job, one, lambda event: log.append((job, event)))

    submit("long", "tiny", 20)
    engine.step()
    submit("short", "other", 2)
    submit("given up", "other", 2)
    for _ in range(3):
        engine.step()
    engine.cancel("given up")
    while engine.step():
        held.append(set(engine.placements))
    waiting = [event for job, event in log if job == "short" and isinstance(event, Waiting)]
    assert [event.reason[:30] for event in waiting] == ["The model Tiny is being loaded", "Pictures that are being made f"]
    ends = [job for job, event in log if isinstance(event, Rendered | Cancelled)]
    assert ends == ["given up", "long", "short"] and all(len(names) == 1 for names in held)
    assert {"tiny"} in held and held[-1] == {"other"}


def test_who_waits_for_room_is_not_kept_out_by_those_who_come_later(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One model fits, and its own pictures follow each other without end."""
    monkeypatch.setattr(loading, "PATIENCE", 0.0)
    engine = Engine([models], "cpu", "off")
    room_for(monkeypatch, engine._loader, 1.1, engine._models["tiny"])
    ends: list[str] = []

    def submit(job: str, model: str) -> None:
        def emit(event: Event) -> None:
            if isinstance(event, Rendered):
                ends.append(job)
                if model == "tiny" and len(ends) < 8:
                    submit(f"tiny {len(ends)}", "tiny")

        engine.submit(job, request(steps=3, seed=len(job)).model_copy(update={"model": model}), emit)

    submit("tiny a", "tiny")
    engine.step()
    submit("tiny b", "tiny")
    engine.step()
    submit("other", "other")
    while engine.step():
        pass
    assert ends.index("other") == 2 and len(ends) == 9


@pytest.mark.parametrize("family", PIPES)
def test_every_family_runs_in_bfloat16(family: str, tmp_path: Path) -> None:
    write_family(tmp_path / "m", family)
    engine = Engine([tmp_path], "cpu", "fast", wishes=Wishes(dtype="bfloat16"))
    one = engine._models["m"]
    log: list[Event] = []
    given = {"prompt": "a (red:1.2) boat", "seed": 1, "steps": 3, "width": 64, "height": 64}
    engine.submit("a", Request.parse(given).resolve(one.defaults, "m"), log.append)
    while engine.step():
        pass
    assert pixels(log).std() > 0 and isinstance(log[-1], Rendered) and log[-1].dtype == "bfloat16"
    assert {part.dtype for part in engine._loader.get(one).pipe.components.values() if isinstance(part, torch.nn.Module)} == {
        torch.bfloat16
    }
