"""The links of the studio, and what opening one gives."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from webui.access.guests import Guests
from webui.access.register import Register, Statement
from webui.access.secret import digest, fits, fresh, hashed, same
from webui.access.shown import Shown
from webui.access.slowdown import Slowdown
from webui.errors import NotAllowed
from webui.people import OWNER, RIGHTS, Person, Role

LINKS: tuple[Role, ...] = ("maker", "viewer")
"""What a guest's link may be for."""

PASS_SECONDS = 600.0
"""How long a link for one use lasts."""

TAKEN = "This link would make you somebody else here, and this browser is {}'s. If both are you, sign out under Share and open it again."

PENDING = 200
"""Guests who have opened a link and not given the password yet; more, and the oldest opens the link again."""


class Access:
    """Links for guests, the owner's key of this run, the password. Safe between threads."""

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._register = Register(file)
        self._clock = clock
        self._lock = threading.RLock()
        self.guests = Guests(self._register)
        self.shown = Shown(self._register)
        self.slowdown = Slowdown(clock)
        self.owner_key = fresh()
        """Makes its holder the owner; of this run alone, and never on disk."""
        self._links: dict[Role, str] = {role: secret for role, secret in self._register.read("select role, secret from links")}  # noqa: C416
        if set(self._links) != set(LINKS):
            self._register.write(*self._renewed())
        kept = self._register.read("select value from settings where name = 'password'")
        self._password: str | None = kept[0][0] if kept else None
        self._pending: OrderedDict[str, tuple[Role, str | None]] = OrderedDict()
        self._passes: dict[str, tuple[str, float]] = {}
        """Digest of a link for one use -> whose it is, and until when."""

    def close(self) -> None:
        """Close the file."""
        self._register.close()

    # --- what the owner decides ---

    def links(self, by: Person) -> dict[Role, str]:
        """Role -> the secret of its link.

        Raises:
            NotAllowed: only the owner hands out links.
        """
        _owners(by)
        return dict(self._links)

    def renew(self, by: Person) -> None:
        """New links; all guests are out at once, until they open the new one.

        Raises:
            NotAllowed: only the owner does that.
            StorageError: it is done, and the disk does not take it.
        """
        _owners(by)
        with self._lock:
            links = self._renewed()
            self._pending.clear()
            self._passes.clear()
            self.guests.end({person.id for person in self.guests if not person.owns} | {_program(role).id for role in LINKS}, *links)

    def _renewed(self) -> list[Statement]:
        self._links = {role: fresh() for role in LINKS}
        return [("insert or replace into links values (?, ?)", row) for row in self._links.items()]

    def dismiss(self, id: str, by: Person) -> None:
        """End somebody's sessions. A link that they still have lets them in again.

        Raises:
            NotAllowed, NotFound
            StorageError: it is done, and the disk does not take it.
        """
        _owners(by)
        person = self.guests.person(id)
        if person.owns:
            raise NotAllowed("The owner cannot be sent away.")
        self.leave(person)

    def leave(self, person: Person) -> None:
        """End somebody's sessions, and the link for one use that they may have.

        Raises:
            StorageError: it is done, and the disk does not take it.
        """
        with self._lock:
            self._passes = {kept: row for kept, row in self._passes.items() if row[0] != person.id}
            self.guests.end({person.id})

    @property
    def asks_password(self) -> bool:
        """Whether guests are asked for a password after their link."""
        return self._password is not None

    def set_password(self, password: str | None, by: Person) -> None:
        """Ask guests for this password from now on, or for none. Sessions that there are go on.

        Raises:
            NotAllowed: only the owner decides that.
            InvalidRequest: it is too short or too long.
        """
        _owners(by)
        kept = None if password is None else hashed(password)
        # Both or none: a studio that asked for a password must not come back without one.
        new: list[Statement] = [] if kept is None else [("insert into settings values ('password', ?)", (kept,))]
        self._register.write(("delete from settings where name = 'password'", ()), *new)
        self._password = kept

    # --- coming in ---

    def enter(self, key: str, before: str | None, *, local: bool) -> tuple[str, bool] | None:
        """What the secret of a link gives: a session, and whether it still waits for the password; `None` for a wrong secret.

        Args:
            before: the session that the browser held until now; whoever it was stays that person, and it goes on if it is enough already.
            local: whether the browser is on the owner's listener; elsewhere the owner's key opens nothing.

        Raises:
            NotAllowed: it is a link for one use, and the browser is another person's. It can still be used.
        """
        held = self.session(before, local=local) if before else None
        # All at once: new links must not come between looking at the old one and letting in.
        with self._lock:
            once = self._pass(key, local, held)
            if once is not None:
                return self.guests.begin(once), False
            role = self._role(key, local)
            if role is None:
                return None
            if before and held is not None and _rank(held.role) >= _rank(role):
                return before, False
            if role == "owner" or not self.asks_password:
                return self._admit(role, before), False
            value = fresh()
            self._pending[digest(value)] = (role, before)
            while len(self._pending) > PENDING:
                self._pending.popitem(last=False)
            return value, True

    def waits(self, value: str) -> bool:
        """Whether this browser has opened a link and is still to give the password."""
        return digest(value) in self._pending

    def answer(self, value: str, password: str) -> str | None:
        """The session of a guest who gives the password after the link; `None` if it is wrong. Takes about 0.1 s."""
        pending, kept = self._pending.get(digest(value)), self._password
        if pending is None or (kept is not None and not fits(password, kept)):
            return None
        with self._lock:
            # Gone if there are new links by now, or another try was faster.
            return self._admit(*pending) if self._pending.pop(digest(value), None) else None

    def session(self, value: str, *, local: bool) -> Person | None:
        """Who holds this session. Away from the owner's listener the owner's counts for nothing."""
        holder = self.guests.holder(value)
        return holder if holder is not None and (local or not holder.owns) else None

    def program(self, key: str, *, local: bool) -> Person | None:
        """Whose the bearer token of a program is: a session's value, the owner's key, or, without a password, a link's secret."""
        holder = self.session(key, local=local)
        if holder is not None:
            return holder
        role = self._role(key, local)
        if role == "owner":
            return self.guests.person(OWNER.id)
        return None if role is None or self.asks_password else _program(role)

    def hand_over(self, person: Person) -> str:
        """The secret of a link that opens once, within ten minutes, and makes another browser this same person's."""
        value = fresh()
        with self._lock:
            now = self._clock()
            self._passes = {kept: row for kept, row in self._passes.items() if row[1] > now and row[0] != person.id}
            self._passes[digest(value)] = (person.id, now + PASS_SECONDS)
        return value

    def _pass(self, key: str, local: bool, held: Person | None) -> Person | None:
        with self._lock:
            id, until = self._passes.get(digest(key), ("", 0.0))
            if until <= self._clock() or (id == OWNER.id and not local):
                return None
            if held is not None and id not in (held.id, OWNER.id):
                # Whoever sent it would see all that is made here from then on.
                raise NotAllowed(TAKEN.format(held.name))
            del self._passes[digest(key)]
        return self.guests.person(id)

    def _role(self, key: str, local: bool) -> Role | None:
        found = [role for role, secret in self._links.items() if same(secret, key)]
        owner = same(self.owner_key, key)
        return "owner" if owner and local else found[0] if found else None

    def _admit(self, role: Role, before: str | None) -> str:
        if role == "owner":
            return self.guests.begin(self.guests.person(OWNER.id))
        known = self.guests.former(before) if before else None
        if known is None or known.owns:
            return self.guests.begin(self.guests.newcomer(role))
        # Who opens the link that lets people look, and may make pictures already, still may.
        most = max(role, known.role, key=_rank) if before and self.guests.holder(before) else role
        return self.guests.begin(self.guests.allow(known.id, most), before)


def _program(role: Role) -> Person:
    """Whoever uses a link's secret as a bearer token, without a browser."""
    return Person(id=f"program-{role}", name="A program", colour="slate", role=role)


def _rank(role: Role) -> int:
    return list(RIGHTS).index(role)


def _owners(by: Person) -> None:
    if not by.owns:
        raise NotAllowed("Only the owner of the studio does that.")
