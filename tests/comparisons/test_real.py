"""A comparison with the real engine, in its child process, over the tiny pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.comparisons.test_comparisons import comparison
from tests.tiny import write_pipeline
from webui.comparisons.curves import curves
from webui.events import Failed, Finished, Step
from webui.people import OWNER
from webui.settings import Settings
from webui.studio import Studio
from webui.workers.local import LocalWorker


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio with the real engine over the tiny pipeline."""
    monkeypatch.setattr("webui.studio.builtin_models", lambda: tmp_path / "none")
    write_pipeline(tmp_path / "models" / "tiny")
    settings = Settings(models=tmp_path / "models", outputs=tmp_path / "outputs", device="cpu")
    studio = Studio(settings, LocalWorker([settings.models], "cpu", "fast", threads=1))
    studio.start()
    yield studio
    studio.close()


def test_with_the_real_engine_a_cell_is_the_picture_that_is_made_alone(real: Studio) -> None:
    steps = comparison(("steps", (4, 6, 9)), ("sampler", ("Euler", "Euler a", "PLMS")), model="tiny", seed=11)
    compared = real.comparisons.begin(steps, OWNER)
    pictures: list[str | None] = []
    for job in compared.jobs:
        last = job.wait(120)
        pictures.append(last.picture if isinstance(last, Finished) else None)
    # PLMS takes 5 steps or more: that cell alone has no picture.
    assert [picture is None for picture in pictures] == [False] * 6 + [True, False, False]
    assert isinstance(compared.jobs[6].last, Failed) and "PLMS needs at least 5 steps" in compared.jobs[6].last.message
    for at in (0, 5, 8):
        (alone,) = real.submit([compared.jobs[at].request])
        last = alone.wait(120)
        assert isinstance(last, Finished)
        assert np.abs(pixels(real, last.picture) - pixels(real, str(pictures[at]))).max() <= 1
        assert len([event for event in compared.jobs[at].events if isinstance(event, Step)]) == compared.jobs[at].request.steps
    euler, ancestral, _ = curves(compared, real.pictures.file)
    assert [point.steps for point in euler.points] == [4, 6, 9] and euler.points[-1].mae == 0 and euler.points[0].ssim < 1
    assert ancestral.answer.settled is None


def pixels(studio: Studio, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    with Image.open(studio.pictures.file(name)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16)
