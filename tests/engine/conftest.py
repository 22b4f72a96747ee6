"""One tiny pipeline on disk, and an engine over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import write_pipeline
from webui.engine.engine import Engine
from webui.events import Event, Rendered
from webui.request import Defaults, Request, Resolved

Run = Callable[[Sequence[Resolved]], list[list[Event]]]


def request(**fields: object) -> Resolved:
    """A request that the tiny pipeline runs in a moment."""
    given = {"prompt": "a red boat", "seed": 5, "steps": 4, "width": 64, "height": 64, "sampler": "Euler", "schedule": "Automatic"} | fields
    return Request.parse(given).resolve(Defaults(guidance=3.0), "tiny")


def pixels(events: list[Event]) -> NDArray[np.int16]:
    """The picture that a job ended with: (height, width, 3)."""
    last = events[-1]
    assert isinstance(last, Rendered), last
    return np.frombuffer(last.rgb, np.uint8).reshape(last.height, last.width, 3).astype(np.int16)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models "tiny" and "other"."""
    folder = tmp_path_factory.mktemp("models")
    write_pipeline(folder / "tiny")
    write_pipeline(folder / "other", seed=1, prediction="epsilon")
    return folder


def events_of(engine: Engine, *requests: Resolved) -> list[list[Event]]:
    """Run requests together; the events of each."""
    logs: list[list[Event]] = [[] for _ in requests]
    for number, one in enumerate(requests):
        engine.submit(str(number), one, logs[number].append)
    while engine.step():
        pass
    return logs


@pytest.fixture(scope="module")
def engine(models: Path) -> Engine:
    """An engine on the CPU with fast previews."""
    return Engine([models], "cpu", "fast")


@pytest.fixture
def run(engine: Engine) -> Run:
    """Run requests together; the events of each."""

    return lambda requests: events_of(engine, *requests)
