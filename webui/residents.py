"""The models in the engine's memory: which are there, which come and go by hand, and what the others would need of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from webui.engine.catalogue import Model
from webui.engine.need import IN_USE, Need
from webui.errors import EngineFailed, ModelError, NotYet
from webui.workers.worker import Down, Holds, Settled, Up, Weighed, Worker

FRESH = 10.0
"""Seconds for which what was weighed counts: other programs take memory and give it back."""

PATIENCE = 1.0
"""Seconds that somebody who looks waits for what has not been weighed yet: an engine between two steps answers in milliseconds."""

NOT_READY = "The engine is not ready yet. Try again in a moment."
STOPPED = "The engine stopped before the model was loaded. Try again, or choose a smaller one."

About = Up | Down | Holds | Settled | Weighed
"""The reports that this hears."""


class Weight(NamedTuple):
    """What was weighed, of which state of the model, and when."""

    stamp: str
    need: Need | None
    when: float


class Resident(NamedTuple):
    """How it stands with one model."""

    loaded: str
    """How it lies in memory, and why, in sentences; empty if it does not."""
    loading: float | None
    """Seconds since it has been asked for, or begun to be loaded; `None` if it does not come."""
    trouble: str
    """Why it could not be loaded or let go, the last time that somebody asked for it."""
    need: Need | None
    """What it would need; `None` as long as that is not known."""


class Residents:
    """Safe between threads. `using` gives the models that pictures are being made with at the moment."""

    def __init__(self, worker: Worker, using: Callable[[], Collection[str]]) -> None:
        self._worker, self._using = worker, using
        self._changed = threading.Condition()
        self._up = False
        self._loading: tuple[str, float] = "", 0.0
        self._asked: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._weights: dict[str, Weight] = {}
        self._weighing: dict[str, tuple[str, float]] = {}
        self.loaded: Mapping[str, str] = {}
        """The models that are in memory, by name: how each lies there, and why, in sentences for people."""
        self.revision = 0
        """Another number whenever a model came or went, or began to."""

    def load(self, model: Model) -> None:
        """Load a model before anybody asks for a picture of it. What comes of it is seen by looking.

        Raises:
            EngineFailed: the engine is not up.
        """
        with self._changed:
            self._ready()
            if model.name in self.loaded or model.name in self._asked:
                return
            self._troubles.pop(model.name, None)
            self._asked[model.name] = time.monotonic()
            self.revision += 1
        self._worker.load(model.name)

    def unload(self, name: str) -> None:
        """Let a model go, or give up waiting for it.

        Raises:
            ModelError: it is not in memory.
            NotYet: pictures are being made with it.
            EngineFailed: the engine is not up.
        """
        with self._changed:
            self._ready()
            if name not in self.loaded and name not in self._asked and name != self._loading[0]:
                raise ModelError("This model is not in memory.", "model")
            if name in self._using():
                raise NotYet(IN_USE, "model")
            self._troubles.pop(name, None)
        self._worker.unload(name)

    def look(self, models: Sequence[Model]) -> dict[str, Resident]:
        """How it stands with these models; asks the engine what they would need where that is not known or no longer fresh."""
        self._weigh([model for model in models if model.usable and model.name not in self.loaded])
        with self._changed:
            return {model.name: self._resident(model) for model in models}

    @property
    def weighing(self) -> bool:
        """Whether an answer of the engine is still to come."""
        return bool(self._weighing)

    def hear(self, report: About) -> None:
        """What the engine says of its models."""
        now = time.monotonic()
        with self._changed:
            if isinstance(report, Weighed):
                self._weighed(report, now)
            elif isinstance(report, Holds):
                self.loaded, self._loading = report.models, (report.loading, now)
                self._asked = {name: since for name, since in self._asked.items() if name not in report.models}
                self._troubles = {name: words for name, words in self._troubles.items() if name not in report.models}
                self._stale()
            elif isinstance(report, Settled):
                self._asked.pop(report.model, None)
                if report.trouble:
                    self._troubles[report.model] = report.trouble
            else:
                self._up, self.loaded, self._loading = isinstance(report, Up), {}, ("", 0.0)
                self._troubles |= dict.fromkeys(self._asked, STOPPED)
                self._asked = {}
                self._stale()
            if not isinstance(report, Weighed):
                self.revision += 1
            self._changed.notify_all()

    def _ready(self) -> None:
        if not self._up:
            raise EngineFailed(NOT_READY)

    def _resident(self, model: Model) -> Resident:
        name, now = model.name, time.monotonic()
        since = self._asked.get(name, self._loading[1] if self._loading[0] == name else None)
        need = self._weights[name].need if self._known(model) and name not in self.loaded else None
        return Resident(self.loaded.get(name, ""), None if since is None else now - since, self._troubles.get(name, ""), need)

    def _weigh(self, models: Sequence[Model]) -> None:
        """Ask what these would need where that is not known or no longer fresh, and wait a little for the first answer."""
        with self._changed:
            asking = [model for model in models if self._up and self._due(model)]
            self._weighing |= {model.name: (model.stamp, time.monotonic()) for model in asking}
        if asking:
            self._worker.weigh([model.name for model in asking])
        with self._changed:
            self._changed.wait_for(lambda: not self._up or bool(self._loading[0]) or all(map(self._known, models)), PATIENCE)

    def _known(self, model: Model) -> bool:
        weight = self._weights.get(model.name)
        return weight is not None and weight.stamp == model.stamp

    def _due(self, model: Model) -> bool:
        """Whether to ask; what has been asked is not asked again, unless the answer seems to be lost."""
        since = time.monotonic() - FRESH
        stamp, asked = self._weighing.get(model.name, ("", 0.0))
        known = self._known(model) and self._weights[model.name].when >= since
        return not known and (stamp != model.stamp or asked < since)

    def _weighed(self, report: Weighed, now: float) -> None:
        for name in report.models:
            stamp, _ = self._weighing.pop(name, ("", 0.0))
            self._weights[name] = Weight(stamp, report.needs.get(name), now)

    def _stale(self) -> None:
        """What is free has changed: what was weighed may be shown for now, and is asked for again."""
        self._weights = {name: weight._replace(when=float("-inf")) for name, weight in self._weights.items()}
        self._weighing = {}
