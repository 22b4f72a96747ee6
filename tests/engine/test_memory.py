"""Memory: which type a model is loaded in, which models stay, and that nothing is left behind."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
import pytest
import torch

from tests.engine.conftest import pixels, request
from tests.families import PIPES, write_family
from tests.tiny import write_pipeline
from webui.engine import memory
from webui.engine.catalogue import Model
from webui.engine.engine import Engine
from webui.engine.loading import Loader
from webui.engine.shelf import scan
from webui.errors import ModelError
from webui.events import Event, Failed
from webui.request import Request

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
GB = 10**9


def model(billions: float) -> Model:
    return Model(name="m", path=Path("m"), title="m", parameters={"unet": round(billions * 0.8 * GB), "vae": round(billions * 0.2 * GB)})


@pytest.mark.parametrize(
    ("billions", "device", "room", "dtype"),
    [
        (1, CPU, 20, torch.float32),
        (1, CPU, 5, torch.bfloat16),
        (12, CPU, 100, torch.float32),
        (1, CUDA, 20, torch.float32),
        (12, CUDA, 80, torch.bfloat16),
        (1, CUDA, 3, torch.bfloat16),
    ],
)
def test_the_type_follows_from_size_device_and_room(billions: float, device: torch.device, room: float, dtype: torch.dtype) -> None:
    assert memory.choose(model(billions), device, round(room * GB)) == dtype


def test_what_does_not_fit_at_all_is_a_sentence_with_numbers() -> None:
    with pytest.raises(ModelError, match=r"needs about 36\.0 GB of memory, and 10\.0 GB are free\. Close .*") as refused:
        memory.choose(model(12), CPU, 10 * GB)
    assert refused.value.field == "model"


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


@pytest.mark.parametrize("family", PIPES)
def test_every_family_runs_in_bfloat16(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "choose", lambda *_: torch.bfloat16)
    write_family(tmp_path / "m", family)
    engine = Engine([tmp_path], "cpu", "fast")
    one = engine._models["m"]
    log: list[Event] = []
    given = {"prompt": "a (red:1.2) boat", "seed": 1, "steps": 3, "width": 64, "height": 64}
    engine.submit("a", Request.parse(given).resolve(one.defaults, "m"), log.append)
    while engine.step():
        pass
    assert pixels(log).std() > 0
    assert {part.dtype for part in engine._loader.get(one).pipe.components.values() if isinstance(part, torch.nn.Module)} == {
        torch.bfloat16
    }
