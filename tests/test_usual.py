"""The default model: chosen once, kept for every later start, and replaced with a sentence where it is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fake import FakeWorker, write_few_steps
from webui.comparison import Axis, Comparison
from webui.engine.catalogue import Model
from webui.errors import ModelError, StorageError
from webui.people import OWNER
from webui.request import Request
from webui.settings import Settings
from webui.store import disk
from webui.studio import Studio, usual_of


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Beside the fake model two others: one of another family, and one that cannot be used."""
    write_few_steps(settings.models / "swift")
    (settings.models / "old.ckpt").write_bytes(b"PK\x03\x04")
    return settings


def opened(settings: Settings) -> Studio:
    studio = Studio(settings, FakeWorker())
    studio.start()
    return studio


def test_the_choice_survives_a_restart_and_is_used_wherever_no_model_is_named(settings: Settings) -> None:
    studio = opened(settings)
    assert studio.default_model().name == "fake" and studio.usual.name == ""
    assert studio.usual.choose(studio.stock.models(), "swift").title == "Few steps"
    studio.close()
    studio = opened(settings)
    assert studio.default_model().name == "swift" and studio.usual.lost(studio.stock.models()) == ""
    (job,) = studio.submit([Request(prompt="a cat")])
    assert (job.request.model, job.request.steps, job.request.sampler) == ("swift", 4, "Euler")
    comparison = Comparison(request=Request(prompt="a cat"), axes=(Axis(field="steps", values=(2, 3)),))
    compared = studio.comparisons.begin(comparison, OWNER)
    assert {job.request.model for job in compared.jobs} == {"swift"}
    assert studio.comparisons.estimate(comparison, OWNER).cells == 2
    (named,) = studio.submit([Request(prompt="a cat", model="fake")])
    assert named.request.model == "fake"
    studio.close()


def test_what_is_no_model_is_not_chosen(settings: Settings) -> None:
    studio = opened(settings)
    for name, sentence in (("none", "Did you mean"), ("old.ckpt", "pickle"), ("", "no model called")):
        with pytest.raises(ModelError, match=sentence):
            studio.usual.choose(studio.stock.models(), name)
    assert studio.usual.name == ""
    studio.close()


def test_a_default_that_is_gone_gives_way_with_a_sentence_and_is_the_default_again_when_it_is_back(settings: Settings) -> None:
    studio = opened(settings)
    studio.usual.choose(studio.stock.models(), "swift")
    away = settings.models.with_name("away")
    shutil.move(settings.models / "swift", away)
    models = studio.stock.refresh()
    assert studio.default_model().name == "fake"
    assert studio.usual.lost(models) == (
        "The default model, swift, is not in the models' folder any more. Fake is used instead, until you set another default."
    )
    assert studio.submit([Request(prompt="a cat")])[0].request.model == "fake"
    (settings.models / "swift").mkdir()
    (settings.models / "swift" / "model_index.json").write_text("{}")
    assert "cannot be used any more. Fake is" in studio.usual.lost(studio.stock.refresh())
    shutil.rmtree(settings.models / "swift")
    shutil.move(away, settings.models / "swift")
    assert studio.usual.lost(studio.stock.refresh()) == "" and studio.default_model().name == "swift"
    studio.close()


def test_with_no_model_at_all_it_says_what_to_do(settings: Settings) -> None:
    usual = usual_of(settings)
    usual.choose({"fake": opened_model(settings)}, "fake")
    assert usual.lost({}).endswith("Put it back, or set another default.")
    with pytest.raises(ModelError, match="There is no model"):
        usual.find({}, None)


def opened_model(settings: Settings) -> Model:
    studio = opened(settings)
    model = studio.models()["fake"]
    studio.close()
    return model


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model": 3}', b"\xff", b'{"model": "\\ud800"}'])
def test_a_damaged_file_is_as_if_nobody_had_chosen(settings: Settings, content: bytes) -> None:
    usual = usual_of(settings)
    (settings.outputs / ".stepwise").mkdir(parents=True)
    (settings.outputs / ".stepwise" / "default-model.json").write_bytes(content)
    assert usual.name == "" and usual.lost({}) == ""


def test_a_disk_that_refuses_is_a_sentence_and_the_choice_before_holds(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = opened(settings)
    studio.usual.choose(studio.stock.models(), "swift")

    def refuse(folder: Path, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "replace", refuse)
    with pytest.raises(StorageError, match="cannot be kept: No space left on device"):
        studio.usual.choose(studio.stock.models(), "fake")
    assert studio.usual.name == "swift"
    studio.close()
