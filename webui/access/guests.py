"""People and their sessions: a browser holds a random value, the studio its digest."""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from webui.access.register import Register, Statement
from webui.access.secret import digest, fresh
from webui.errors import InvalidRequest, NotFound, StorageError, TooMany
from webui.people import COLOURS, OWNER, Person, Role, alike, proper_name

log = logging.getLogger(__name__)

MOST = 2000
"""Sessions that are kept, and with their last one goes a person. The first to go are those of people who have neither said their name nor
made a picture: whoever opens a link again and again is to push out nobody else. The owner's stay.
"""

EACH = 20
"""Sessions of one person; ended ones go first, then the oldest."""

NAMELESS = re.compile(r"Guest \d+")
"""What people are called who have not said their name."""

NOT_KEPT = "It is done, but only until the studio is started again; do it once more when this is mended. "

TOLD = 64
"""Answers to one guest that are under way at once, live events among them. A browser has six connections to a studio, for all its tabs."""


class Guests:
    """Who holds which session. Safe between threads. A session that was ended still tells who it was, for when the new link is opened."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._lock = threading.RLock()
        self._people = {OWNER.id: OWNER}
        rows = register.read("select id, name, colour, role from people order by rowid")
        self._people |= {id: Person(id=id, name=name, colour=colour, role=role) for id, name, colour, role in rows}
        sessions = register.read("select digest, person, ended from sessions order by made")
        self._sessions: dict[str, tuple[str, bool]] = {kept: (person, bool(ended)) for kept, person, ended in sessions}
        self._open: dict[object, tuple[str, Callable[[], object]]] = {}

    # --- people ---

    def __iter__(self) -> Iterator[Person]:
        with self._lock:
            return iter(tuple(self._people.values()))

    def person(self, id: str) -> Person:
        """Who has this id.

        Raises:
            NotFound: nobody.
        """
        if id not in self._people:
            raise NotFound("There is no such person.")
        return self._people[id]

    def called(self, id: str) -> str:
        """What somebody is called, also where nothing is known of them any more."""
        return self._people[id].name if id in self._people else "Somebody"

    def newcomer(self, role: Role) -> Person:
        """Somebody of whom nothing is known yet."""
        with self._lock:
            taken = self._taken()
            number = next(n for n in range(1, len(self._people) + 2) if alike(f"Guest {n}") not in taken)
            colour = list(COLOURS)[(number - 1) % len(COLOURS)]
            person = Person(id=f"guest-{secrets.token_hex(8)}", name=f"Guest {number}", colour=colour, role=role)
            self._people[person.id] = person
            self._try_to_keep(_row(person))
        return person

    def introduce(self, by: Person, name: str, colour: str) -> Person:
        """Somebody says what to be called.

        Raises:
            InvalidRequest: the name is no name or another's, or there is no such colour.
        """
        name = proper_name(name)
        if colour not in COLOURS:
            raise InvalidRequest(f"The colours are {', '.join(COLOURS)}.", "colour")
        with self._lock:
            if alike(name) in self._taken(by):
                raise InvalidRequest(f"Somebody here is called {name} already. Choose another name.", "name")
            person = self.person(by.id).model_copy(update={"name": name, "colour": colour})
            self._keep(person)
        return person

    def allow(self, id: str, role: Role) -> Person:
        """Somebody may do more, or less, than before."""
        with self._lock:
            person = self.person(id).model_copy(update={"role": role})
            self._people[id] = person
            self._try_to_keep(_row(person))
        return person

    def _taken(self, but: Person | None = None) -> set[str]:
        """What everybody is called, `but` one; and "Owner", whatever the owner is called."""
        names = {alike(person.name) for person in self._people.values() if but is None or person.id != but.id}
        return names | ({alike(OWNER.name)} if but is None or not but.owns else set())

    def _keep(self, person: Person) -> None:
        self._register.write(_row(person))
        self._people[person.id] = person

    def _try_to_keep(self, *rows: Statement) -> None:
        try:
            self._register.write(*rows)
        except StorageError as error:
            # Coming in does not depend on the disk; after a restart this browser opens its link again.
            log.warning("a session lasts until the studio ends: %s", error.message)

    # --- sessions ---

    def begin(self, person: Person, instead: str | None = None) -> str:
        """A session for this person: the value that the browser is to hold, `instead` of the one that it held."""
        value = fresh()
        kept = digest(value)
        with self._lock:
            old = self._displaced(person, digest(instead) if instead else "")
            for one in old:
                del self._sessions[one]
            self._sessions[kept] = (person.id, False)
            here = {id for id, _ in self._sessions.values()} | {OWNER.id}
            gone = [id for id in self._people if id not in here] if old else []
            for id in gone:
                del self._people[id]
            self._try_to_keep(
                ("insert into sessions (digest, person, made) values (?, ?, ?)", (kept, person.id, time.time())),
                *(("delete from sessions where digest = ?", (one,)) for one in old),
                *(("delete from people where id = ?", (id,)) for id in gone),
            )
        return value

    def _displaced(self, person: Person, instead: str) -> list[str]:
        """Which sessions go when this person gets one more."""
        # Ended ones first; among those that are alike, the oldest, since sorting keeps their order.
        live = sorted(self._sessions, key=lambda one: not self._sessions[one][1])
        old = [one for one in live if one == instead]
        old += [one for one in live if self._sessions[one][0] == person.id and one != instead][: -EACH + 1]
        more = len(self._sessions) - len(old) + 1 - MOST
        if more > 0:
            known = self._makers() | {id for id, somebody in self._people.items() if not NAMELESS.fullmatch(somebody.name)}
            others = [one for one in live if self._sessions[one][0] not in (OWNER.id, person.id) and one != instead]
            old += sorted(others, key=lambda one: self._sessions[one][0] in known)[:more]
        return old

    def _makers(self) -> set[str]:
        try:
            return {id for (id,) in self._register.read("select id from people where exists (select * from shown where owner = people.id)")}
        except StorageError:
            return set()

    def holder(self, value: str) -> Person | None:
        """Who holds this session; nobody if it was ended."""
        person, ended = self._sessions.get(digest(value), ("", True))
        return None if ended else self._people.get(person)

    def former(self, value: str) -> Person | None:
        """Who holds this session, or held it once."""
        return self._people.get(self._sessions.get(digest(value), ("", True))[0])

    def end(self, ids: set[str], *also: Statement) -> None:
        """End all sessions of these people, and whatever is being told to them. `also` is kept together with that.

        Raises:
            StorageError: it is done, and the disk does not take it.
        """
        with self._lock:
            self._sessions = {kept: (id, ended or id in ids) for kept, (id, ended) in self._sessions.items()}
            cut = [stop for id, stop in self._open.values() if id in ids]
            for stop in cut:
                stop()
            try:
                self._register.write(*also, *(("update sessions set ended = 1 where person = ?", (id,)) for id in ids))
            except StorageError as error:
                raise StorageError(NOT_KEPT + error.message) from None

    @contextmanager
    def told(self, person: Person, stop: Callable[[], object]) -> Iterator[None]:
        """While something is told to somebody; `stop` is called, from any thread, when their sessions end.

        Raises:
            TooMany: a guest is being told too much already. The owner has no limit.
        """
        key = object()
        with self._lock:
            if not person.owns and sum(id == person.id for id, _ in self._open.values()) >= TOLD:
                raise TooMany(
                    f"You have {TOLD} connections to the studio open, and more are not given to one person. Close some of its tabs."
                )
            self._open[key] = (person.id, stop)
        try:
            yield
        finally:
            with self._lock:
                self._open.pop(key, None)


def _row(person: Person) -> Statement:
    return "insert or replace into people values (?, ?, ?, ?)", (person.id, person.name, person.colour, person.role)
