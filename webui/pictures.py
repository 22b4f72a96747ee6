"""The pictures of a studio: what may be seen of them, by whom."""

from __future__ import annotations

from pathlib import Path

from webui.access.shown import Record, Shown
from webui.errors import NotAllowed, NotFound
from webui.people import ONLY_LOOKS, OWNER, Person
from webui.request import Resolved
from webui.store.store import Store


class Pictures:
    """Finished pictures by name, which is their path below `outputs/`. Safe between threads.

    Each method raises `NotFound` if there is no picture of that name, or it is another person's and private.
    """

    def __init__(self, store: Store, shown: Shown) -> None:
        self._store, self._shown = store, shown

    def file(self, name: str, by: Person = OWNER) -> Path:
        """The file of a picture, or of the sheet of its frames."""
        if not self._shown.sees_picture(by, name):
            raise NotFound("There is no such picture.")
        return self._store.path(name)

    def frames(self, name: str, by: Person = OWNER) -> tuple[bytes, ...]:
        """Its step frames as JPEGs, first step first; empty if it has none."""
        self.file(name, by)
        return self._store.frames(name)

    def recipe(self, name: str, by: Person = OWNER) -> Resolved:
        """The request that it was made from.

        Raises:
            UserError: it holds no settings that can be read.
        """
        self.file(name, by)
        return self._store.recipe(name)

    def about(self, name: str, by: Person = OWNER) -> Record:
        """Whose it is, and whether it is shown to the team."""
        self.file(name, by)
        # What nobody is known for was made on the command line, or before there were people.
        return self._shown.of(name) or Record(name, OWNER.id, False)

    def show(self, name: str, shown: bool, by: Person = OWNER) -> Record:
        """Show it to the team, or make it private.

        Raises:
            NotAllowed: it is another person's, or this one may only look by now.
        """
        record = self.about(name, by)
        if not by.owns and by.id != record.owner:
            raise NotAllowed("This picture is another person's.")
        if not by.makes:
            raise NotAllowed(ONLY_LOOKS)
        self._shown.set(name, record._replace(shown=shown))
        return self.about(name, by)

    def shown(self, most: int) -> list[str]:
        """Those that are shown to the team and are still there, newest first; at most `most`."""
        return [name for name in self._shown.latest(most) if (self._store.outputs / name).is_file()]
