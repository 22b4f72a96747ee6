"""The model that makes a picture when none is asked for, where a person has chosen one."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from webui.engine import catalogue
from webui.engine.cards import read_json
from webui.engine.catalogue import Model
from webui.errors import ModelError, StorageError
from webui.store import disk


class Usual:
    """The choice, in one small file, which is read each time: the command line and a running studio may both change it.

    Safe between threads.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model that was chosen, whether it is still there or not; empty if nobody has chosen one."""
        name = read_json(self._file).get("model")
        return name if isinstance(name, str) else ""

    def choose(self, models: Mapping[str, Model], name: str) -> Model:
        """This model from now on.

        Raises:
            ModelError: there is no such model, or it cannot be used.
            StorageError: the choice cannot be kept; the one before holds.
        """
        model = catalogue.find(models, name)
        try:
            with self._lock:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                disk.replace(self._file.parent, self._file.name, json.dumps({"model": model.name}, ensure_ascii=False).encode())
        except OSError as error:
            raise StorageError(f"The choice of a default model cannot be kept: {error.strerror or error}. Check the drive.") from None
        return model

    def find(self, models: Mapping[str, Model], name: str | None) -> Model:
        """The model of that name; where none is named, the one that was chosen, or, without it, the built-in one or the first.

        Raises:
            ModelError: as `catalogue.find` does.
        """
        if name is None and (chosen := self.name):
            try:
                return catalogue.find(models, chosen)
            except ModelError:
                pass  # `lost` says so to whoever can mend it
        return catalogue.find(models, name)

    def lost(self, models: Mapping[str, Model]) -> str:
        """What is to be said where the chosen model is gone or broken and another one stands in; empty where all is well."""
        chosen = self.name
        if not chosen or ((model := models.get(chosen)) is not None and model.usable):
            return ""
        what = "is not in the models' folder any more" if model is None else "cannot be used any more"
        try:
            instead = f"{catalogue.find(models, None).title} is used instead, until you set another default"
        except ModelError:
            instead = "Put it back, or set another default"
        return f"The default model, {chosen}, {what}. {instead}."
