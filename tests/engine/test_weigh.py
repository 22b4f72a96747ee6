"""Loading and letting go by hand, through the path by which pictures load their models; and what a model would need, without loading it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.engine.conftest import request
from tests.engine.test_placement import CHROMA, CPU, CUDA, GB, model
from tests.tiny import write_pipeline
from webui.engine import memory
from webui.engine.catalogue import Model
from webui.engine.engine import Engine
from webui.engine.need import IN_USE
from webui.engine.weigh import held, weigh
from webui.errors import ModelError
from webui.events import Event, Rendered
from webui.settings import Wishes

SENTENCES = [
    (model(1), CPU, 20, "Needs about 6.8 GB as float32; 20.0 GB are free."),
    (model(1), CPU, 5, "Needs about 3.4 GB as bfloat16; 5.0 GB are free."),
    (model(0.02, 128), CPU, 0.9, "Needs about 170 MB as float32; 900 MB are free."),
    (model(1, 2048), CPU, 5, "Needs about 3.4 GB as bfloat16, with large pictures decoded in tiles; 5.0 GB are free."),
    (CHROMA, CUDA, 12, "Needs about 7.5 GB as bfloat16, with its layers fetched from main memory, which is slower; 12.0 GB are free."),
]


@pytest.mark.parametrize(("one", "device", "room", "words"), SENTENCES)
def test_what_a_model_would_need_is_a_short_sentence(one: Model, device: torch.device, room: float, words: str) -> None:
    need = weigh(one, device, round(room * GB), 128 * GB, Wishes())
    assert need.fits and need.words == words


def test_what_does_not_fit_says_so_with_what_was_asked_for() -> None:
    need = weigh(model(12), CPU, 10 * GB, 10 * GB, Wishes())
    assert not need.fits and need.words.startswith("Does not fit: it needs about 36.4 GB of memory, and 10.0 GB are free. Close other")
    need = weigh(model(1), CPU, 5 * GB, 5 * GB, Wishes(dtype="float32"))
    assert need.words.startswith("Does not fit as it was asked for (--dtype float32): it needs about 6.8 GB of memory, and 5.0 GB")


@pytest.fixture
def engine(models: Path) -> Engine:
    return Engine([models], "cpu", "off", loading=LOADED.append)


LOADED: list[str] = []


def run(engine: Engine) -> None:
    while engine.step():
        pass


def test_weighing_loads_nothing_and_counts_what_idle_models_would_give_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = engine.weigh(["tiny", "other", "none"])
    assert set(needs) == {"tiny", "other"} and all(need.fits for need in needs.values()) and engine.placements == {}
    engine.load("tiny", print)
    run(engine)
    weights = held(engine._loader.get(engine._models["tiny"]).pipe, CPU)
    assert weights == sum(engine._models["tiny"].parameters.values()) * 4
    monkeypatch.setattr(memory, "free", lambda device: 10**9 - weights)
    assert engine.weigh(["other"])["other"].words.endswith("; 1.0 GB are free.")
    with engine._loader.using(engine._models["tiny"]):
        monkeypatch.setattr(memory, "free", lambda device: 949_000_000)
        assert engine.weigh(["other"])["other"].words.endswith("; 949 MB are free.")


def test_a_model_is_loaded_by_hand_and_the_picture_after_it_need_not_wait(engine: Engine) -> None:
    LOADED.clear()
    told: list[str] = []
    engine.load("tiny", told.append)
    assert engine.placements == {}, "at the next step, not at once"
    run(engine)
    assert told == [""] and list(engine.placements) == ["tiny"] and LOADED == ["tiny"]
    engine.load("tiny", told.append)
    log: list[Event] = []
    engine.submit("a", request(), log.append)
    run(engine)
    assert told == ["", ""] and log[0].kind == "started" and isinstance(log[-1], Rendered) and LOADED == ["tiny"]


def test_one_that_is_in_use_is_never_let_go_and_an_idle_one_is(engine: Engine) -> None:
    log: list[Event] = []
    engine.submit("a", request(steps=6), log.append)
    engine.step()
    with pytest.raises(ModelError) as refused:
        engine.unload("tiny")
    assert refused.value.message == IN_USE and list(engine.placements) == ["tiny"]
    run(engine)
    assert isinstance(log[-1], Rendered)
    engine.unload("tiny")
    assert engine.placements == {}
    engine.unload("tiny")
    engine.submit("b", request(), log.append)
    run(engine)
    assert isinstance(log[-1], Rendered), "the next picture loads it again"


def test_what_cannot_be_loaded_is_a_sentence(engine: Engine) -> None:
    told: list[str] = []
    engine.load("none", told.append)
    engine.load("tiny", told.append)
    run(engine)
    assert told[0].startswith("There is no model called 'none'") and told[1] == ""


def test_what_will_not_fit_takes_no_others_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pipeline(tmp_path / "small")
    large = write_pipeline(tmp_path / "large")
    (large / "card.json").write_text('{"width": 2048, "height": 2048}')
    engine = Engine([tmp_path], "cpu", "off", wishes=Wishes(tiling="off"))
    told: list[str] = []
    engine.load("small", told.append)
    run(engine)
    monkeypatch.setattr(memory, "free", lambda device: GB)
    engine.load("large", told.append)
    run(engine)
    assert told[0] == "" and told[1].startswith("The model large cannot be loaded") and list(engine.placements) == ["small"]


def test_a_load_that_waits_for_room_is_given_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.load("tiny", print)
    run(engine)
    need = memory.needed(engine._models["other"], torch.float32, CPU)
    monkeypatch.setattr(memory, "free", lambda device: round(need * (1.1 - len(engine._loader._kept))))
    told: list[str] = []
    log: list[Event] = []
    engine.submit("a", request(steps=8), log.append)
    engine.step()
    engine.load("other", told.append)
    for _ in range(3):
        engine.step()
    assert told == [], "it waits for the picture"
    engine.unload("other")
    run(engine)
    assert told == [""] and list(engine.placements) == ["tiny"] and isinstance(log[-1], Rendered)
