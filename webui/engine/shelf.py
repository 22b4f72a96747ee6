"""What lies below `models/`, by name. Each file is read when it is asked for, and again when it has changed: nothing needs a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from webui.engine.catalogue import Model
from webui.engine.entry import Place, read
from webui.engine.ledger import Ledger, Sum
from webui.engine.lender import lender_for, lends, lent, wanting
from webui.engine.tensors import COPYING
from webui.engine.walk import NOWHERE, Times, changed_at, stamp_of, walk, weights_of

YOUNG = 2.0
"""Seconds within which a folder may change twice at one time, as some drives count it."""


class Shelf(Mapping[str, Model]):
    """Names -> models, those that cannot be used included; where two folders have one name, the first folder's counts.

    Not safe between threads.
    """

    def __init__(self, folders: Sequence[Path], ledger: Ledger | None = None) -> None:
        self._folders = tuple(folders)
        self._ledger = ledger or Ledger()
        self._places: dict[str, Place] = {}
        self._times: Times = {}
        self._sums = self._ledger.sums()
        self._read = {path: self._summed(model) for path, model in self._ledger.entries().items()}
        self._new: dict[Path, Model] = {}
        self.unsettled: set[str] = set()
        """What may still be being copied: it is read again each time."""
        self._lenders: list[Model] | None = None
        self.walk()

    def __getitem__(self, name: str) -> Model:
        model = self._entry(name)
        if not model.holds:
            return model
        folder = lender_for(model, self._folders_that_lend())
        return wanting(model) if folder is None else lent(model, folder)

    def _folders_that_lend(self) -> list[Model]:
        """Looked for once after each walk: there may be thousands of files, and few folders."""
        if self._lenders is None or self.unsettled:
            folders = [self._entry(name) for name, place in self._places.items() if place.path.is_dir()]
            self._lenders = [one for one in folders if lends(one)]
        return self._lenders

    def _entry(self, name: str) -> Model:
        """What lies there, taken by itself."""
        place = self._places[name]
        stamp, newest = stamp_of(place)
        known = self._read.get(place.path)
        if known is not None and (known.stamp, known.name) == (stamp, name) and name not in self.unsettled:
            return known
        model = self._summed(read(name, place).model_copy(update={"stamp": stamp}))
        self._read[place.path] = model
        if not model.usable and 0 <= time.time_ns() - newest < COPYING * 1e9:
            self.unsettled.add(name)
        else:
            self.unsettled.discard(name)
            self._new[place.path] = model
        return model

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        """A name that is not known may be new."""
        if name not in self._places and self.changed():
            self.walk()
        return name in self._places

    def changed(self) -> bool:
        """Whether something came, went or was renamed since the last walk. Asks each folder for its time, and opens nothing."""
        return any(changed_at(folder) != known for folder, known in self._times.items())

    def walk(self) -> None:
        """Look through all folders for what lies there; nothing is read yet."""
        places: dict[str, Place] = {}
        self._times = {}
        for folder in self._folders:
            for name, place in walk(folder, self._times):
                places.setdefault(name, place)
        self._places, self._lenders = places, None
        self.unsettled &= places.keys()
        now = time.time_ns()
        for folder, changed in self._times.items():
            if now - changed < YOUNG * 1e9:
                self._times[folder] = NOWHERE  # looked at once more when this is over

    def keep(self) -> None:
        """Write what was read since the last time, for the next start."""
        there = {place.path for place in self._places.values()}
        gone = [path for path in self._read if path not in there]
        for path in gone:
            del self._read[path]
        self._ledger.keep(self._new, gone)
        self._new = {}

    def sum(self, name: str, whole: str, body: str) -> Model:
        """The model of that name with the checksums of its file, which are kept."""
        model = self._read[self._places[name].path].model_copy(update={"sha256": whole, "body": body})
        self._sums[model.path] = Sum(weights_of(model.stamp), whole, body)
        self._ledger.summed(model.path, self._sums[model.path])
        self._read[model.path] = model
        return self[name]

    def _summed(self, model: Model) -> Model:
        known = self._sums.get(model.path)
        if known is None or known.stamp != weights_of(model.stamp):
            return model
        return model.model_copy(update={"sha256": known.whole, "body": known.body})


def scan(folders: Sequence[Path]) -> dict[str, Model]:
    """Everything below the folders by name, read now."""
    return dict(Shelf(folders))
