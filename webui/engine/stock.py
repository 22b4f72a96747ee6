"""What lies in the models' folders, for those who list it: looked at again when a folder has changed, summed in the background."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

from webui.engine.catalogue import Model
from webui.engine.digest import digest
from webui.engine.ledger import Ledger
from webui.engine.shelf import Shelf

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two looks at the folders' times."""


class Stock:
    """Safe between threads."""

    def __init__(self, folders: Sequence[Path], ledger: Path | None = None) -> None:
        """`ledger` is the file in which what was read is kept for the next start."""
        self._ledger = Ledger(ledger)
        self._shelf = Shelf(folders, self._ledger)
        self._lock = threading.RLock()
        self._looked = time.monotonic()
        self._summing: threading.Thread | None = None
        self._closing = threading.Event()
        self._failed: set[Path] = set()
        self._models: Mapping[str, Model] = {}
        self.revision = 0
        """Another number whenever something came, went or changed."""
        self.refresh()

    def models(self) -> Mapping[str, Model]:
        """Everything there is, by name: as it was at the last look, which is never more than a second ago where a folder has changed."""
        with self._lock:
            if time.monotonic() - self._looked > PAUSE:
                self._looked = time.monotonic()
                if self._shelf.unsettled or self._shelf.changed():
                    self.refresh()
            return self._models

    def refresh(self) -> Mapping[str, Model]:
        """Look at every file's size and time, and read what is new."""
        with self._lock:
            self._shelf.walk()
            models = dict(self._shelf)
            self._shelf.keep()
            if models != self._models:
                self._models = models
                self.revision += 1
            self._looked = time.monotonic()
            return self._models

    def sum_up(self) -> int:
        """How many files have no checksum yet; they get one in the background, the small ones first."""
        with self._lock:
            waiting = len(self._unsummed())
            if waiting and self._summing is None and not self._closing.is_set():
                self._summing = threading.Thread(target=self._sum, name="checksums", daemon=True)
                self._summing.start()
            return waiting

    def close(self) -> None:
        """Stop computing."""
        self._closing.set()
        if self._summing is not None:
            self._summing.join(timeout=5)
        self._ledger.close()

    def _unsummed(self) -> list[Model]:
        """What is a single file that is in order. No file is looked at for this: it is asked often, of ten thousand."""
        found = (one for one in self._models.values() if not one.sha256 and (one.usable or one.kind != "model"))
        return [one for one in found if one.path.suffix.lower() == ".safetensors" and one.path not in self._failed]

    def _sum(self) -> None:
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # on Linux, of this thread alone
        while not self._closing.is_set():
            with self._lock:
                waiting = sorted(self._unsummed(), key=lambda one: one.bytes)
                if not waiting:
                    self._summing = None
                    return
            for model in waiting:
                if not self._closing.is_set():
                    self._sum_one(model)

    def _sum_one(self, model: Model) -> None:
        try:
            found = digest(model.path, self._closing.is_set)
        except OSError as error:
            log.warning("%s: no checksum: %s", model.path.name, error.strerror)
            found = None
        with self._lock:
            if found is None:
                self._failed.add(model.path)
            elif self._models.get(model.name) is model:  # else it has changed meanwhile
                self._models = {**self._models, model.name: self._shelf.sum(model.name, *found)}


def prompt_word(models: Mapping[str, Model]) -> Callable[[Model], str]:
    """How LoRAs and embeddings are written in a prompt: by their file's name where that is one file's alone, else by their path."""
    stems = Counter(PurePath(name).stem for name, one in models.items() if one.kind in ("lora", "embedding"))

    def word(model: Model) -> str:
        name = PurePath(model.name)
        short = name.stem if stems[name.stem] == 1 else str(name.with_suffix(""))
        return {"lora": f"<lora:{short}:0.8>", "embedding": name.stem}.get(model.kind, "")

    return word
