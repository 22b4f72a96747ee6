"""kill -9 of the front and of the engine, in mid-run: every acknowledged job ends, once, with its picture.

Two kills here; `tests/bench/kill.py` does twenty, of both at once too, with the built-in model.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kills import Outcome, Studio, rounds
from tests.tiny import write_pipeline


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    write_pipeline(tmp_path / "models" / "tiny")
    studio = Studio(tmp_path / "models", tmp_path / "outputs")
    yield studio
    studio.close()


@pytest.mark.skipif(sys.platform != "linux", reason="finds the engine's process through /proc")
def test_every_acknowledged_job_ends_once_with_its_picture(studio: Studio) -> None:
    rounds(studio, ("front", "engine"), random.Random(6), model="tiny", steps=60, width=64, height=64)
    told = studio.outcome()
    assert told == Outcome(acknowledged=12, finished=12, pictures=12, unchanged=True, twice=0, interrupted=told.interrupted)
    assert told.interrupted >= 2, "the kills hit nothing"
