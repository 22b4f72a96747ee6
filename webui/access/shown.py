"""Whose a picture is, and whether it is shown to the team or private."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import NamedTuple

from webui.access.register import Register
from webui.errors import NotAllowed, StorageError
from webui.people import Person

log = logging.getLogger(__name__)


class Record(NamedTuple):
    """What is known of a picture."""

    job: str
    owner: str
    """A person's id."""
    shown: bool
    """To the team; otherwise it is private."""


class Shown:
    """Which jobs, and with them their pictures, a person may see. What nothing is known of is the owner's, and private."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._unwritten: dict[str, Record] = {}
        """Picture -> what the disk has not taken yet."""

    @property
    def default(self) -> bool:
        """Whether new jobs are shown to the team."""
        return self._register.read("select value from settings where name = 'shown'") == [("yes",)]

    def set_default(self, shown: bool, by: Person) -> None:
        """Whether new jobs are shown to the team.

        Raises:
            NotAllowed: only the owner decides that.
        """
        if not by.owns:
            raise NotAllowed("Only the owner of the studio decides that.")
        self._register.write(("insert or replace into settings values ('shown', ?)", ("yes" if shown else "no",)))

    def queued(self, ids: Iterable[str], owner: str) -> None:
        """New jobs of `owner`'s, shown or private as the owner's setting is now.

        Raises:
            StorageError: the disk does not take it.
        """
        shown = self.default
        self._register.write(*(("insert into shown (job, owner, shown) values (?, ?, ?)", (id, owner, shown)) for id in ids))

    def set(self, picture: str, record: Record) -> None:
        """Show a picture and its job to the team, or hide them.

        Raises:
            StorageError: the disk does not take it.
        """
        again = "on conflict (job) do update set shown = excluded.shown, picture = excluded.picture"
        self._register.write((f"insert into shown (job, owner, shown, picture) values (?, ?, ?, ?) {again}", (*record, picture)))
        self._unwritten.pop(picture, None)

    def finished(self, id: str, owner: str, picture: str) -> None:
        """A job has its picture. A disk that does not take that delays nothing."""
        self._unwritten[picture] = Record(id, owner, self.job(id))
        again = "on conflict (job) do update set picture = excluded.picture"
        waiting = [(*record, name) for name, record in list(self._unwritten.items())]
        try:
            statement = f"insert into shown (job, owner, shown, picture) values (?, ?, ?, ?) {again}"
            self._register.write(*((statement, row) for row in waiting))
        except StorageError as error:
            log.warning("whose the last pictures are is kept in memory until the disk takes it: %s", error.message)
            return
        for *_, name in waiting:
            self._unwritten.pop(name, None)

    def job(self, id: str) -> bool:
        """Whether a job is shown to the team."""
        return self._register.read("select shown from shown where job = ?", id) == [(1,)]

    def sees(self, by: Person, id: str, owner: str) -> bool:
        """Whether somebody may see a job of `owner`'s."""
        return by.owns or by.id == owner or self.job(id)

    def sees_picture(self, by: Person, name: str) -> bool:
        """Whether somebody may see a picture, or the sheet of its frames, by its path below `outputs/`."""
        if by.owns:
            return True
        record = self.of(f"{name.removesuffix('.steps.jpg')}.png" if name.endswith(".steps.jpg") else name)
        return record is not None and (record.shown or record.owner == by.id)

    def latest(self, most: int) -> list[str]:
        """The pictures that are shown to the team, newest first."""
        rows = self._register.read("select picture from shown where shown and picture is not null order by rowid desc limit ?", most)
        return [str(name) for (name,) in rows]

    def of(self, picture: str) -> Record | None:
        """What is known of a picture."""
        if picture in self._unwritten:
            return self._unwritten[picture]
        found = self._register.read("select job, owner, shown from shown where picture = ?", picture)
        return Record(found[0][0], found[0][1], bool(found[0][2])) if found else None
