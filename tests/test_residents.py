"""Models that are loaded and let go by hand, and what the others would need, over the fake engine."""

from __future__ import annotations

import time

import pytest

from tests.fake import FakeWorker
from tests.test_studio import PROMPT, until
from webui import residents
from webui.engine.catalogue import Model
from webui.errors import EngineFailed, ModelError, NotYet
from webui.residents import Resident
from webui.settings import Settings
from webui.studio import Studio


def standing(studio: Studio) -> Resident:
    return studio.residents.look(list(studio.models().values()))["fake"]


@pytest.fixture
def model(studio: Studio) -> Model:
    return studio.models()["fake"]


def test_a_model_is_loaded_and_let_go_by_hand(studio: Studio, worker: FakeWorker, model: Model) -> None:
    assert standing(studio)[:3] == ("", None, "")
    before = studio.residents.revision
    worker.loading.clear()
    studio.residents.load(model)
    studio.residents.load(model)
    until(lambda: standing(studio).loading is not None and studio.residents.revision > before + 1)
    worker.loading.set()
    until(lambda: standing(studio).loaded != "")
    assert standing(studio) == Resident("float32: it needs about 2.0 GB, and 9.0 GB were free.", None, "", None)
    studio.residents.unload("fake")
    assert standing(studio).loaded == "" and standing(studio).need is not None
    with pytest.raises(ModelError, match="not in memory"):
        studio.residents.unload("fake")


def test_a_model_that_pictures_are_made_with_stays(studio: Studio, worker: FakeWorker) -> None:
    (job,) = studio.submit([PROMPT.model_copy(update={"steps": 150})])
    worker.hold({"fake": "float32"})
    with pytest.raises(NotYet, match="Pictures are being made with this model"):
        studio.residents.unload("fake")
    assert standing(studio).loaded == "float32"
    studio.cancel([job.id])
    job.wait(60)
    studio.residents.unload("fake")
    assert standing(studio).loaded == ""


def test_why_it_could_not_be_loaded_is_said_until_it_is_tried_again(studio: Studio, worker: FakeWorker, model: Model) -> None:
    worker.trouble = "The model fake cannot be loaded: it needs about 9.0 GB of memory."
    studio.residents.load(model)
    until(lambda: standing(studio).trouble != "")
    assert standing(studio)[:3] == ("", None, worker.trouble)
    worker.trouble = ""
    studio.residents.load(model)
    until(lambda: standing(studio).loaded != "")
    assert standing(studio).trouble == ""


def test_without_an_engine_nothing_comes_or_goes_and_a_load_that_it_died_in_is_told(settings: Settings) -> None:
    worker = FakeWorker(ready=False)
    studio = Studio(settings, worker)
    studio.start()
    model = studio.models()["fake"]
    began = time.monotonic()
    assert standing(studio) == Resident("", None, "", None) and worker.weighed == [] and time.monotonic() - began < 0.5
    with pytest.raises(EngineFailed, match="not ready yet"):
        studio.residents.load(model)
    with pytest.raises(EngineFailed, match="not ready yet"):
        studio.residents.unload("fake")
    worker.come_up()
    worker.loading.clear()
    studio.residents.load(model)
    until(lambda: standing(studio).loading is not None)
    worker.go_down()
    assert standing(studio)[:3] == ("", None, residents.STOPPED)
    studio.close()


def test_what_a_model_needs_is_asked_once_and_again_when_something_has_changed(
    studio: Studio, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        assert standing(studio).need == worker.needs["fake"]
    assert worker.weighed == [("fake",)] and not studio.residents.weighing
    worker.hold({"other": "float32"})
    standing(studio)
    assert worker.weighed == [("fake",)] * 2
    monkeypatch.setattr(residents, "FRESH", 0.0)
    standing(studio)
    assert worker.weighed == [("fake",)] * 3, "other programs take memory too"
    monkeypatch.undo()
    (studio.settings.models / "fake" / "vae").mkdir()
    (studio.settings.models / "fake" / "vae" / "config.json").write_text("{}")
    studio.stock.refresh()
    standing(studio)
    assert worker.weighed == [("fake",)] * 4, "the model has changed"


def test_who_looks_does_not_wait_for_an_engine_that_is_busy(studio: Studio, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "weigh", lambda models: worker.weighed.append(tuple(models)))
    monkeypatch.setattr(residents, "PATIENCE", 0.05)
    assert standing(studio).need is None and standing(studio).need is None
    assert studio.residents.weighing
    assert worker.weighed == [("fake",)], "the question is not asked again before the answer is overdue"


def test_what_has_no_answer_is_not_waited_for_each_time(studio: Studio, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.needs = {}
    monkeypatch.setattr(residents, "PATIENCE", 30.0)
    assert standing(studio).need is None and standing(studio).need is None
    assert worker.weighed == [("fake",)]
