"""Links, sessions and what is kept of them, without a server."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from webui.access import access as access_module
from webui.access import guests, secret
from webui.access.access import PASS_SECONDS, PENDING, Access
from webui.access.register import Register, Statement
from webui.access.shown import Record, Shown
from webui.access.slowdown import FORGOTTEN, FREE, LONGEST, REMEMBERED, Slowdown
from webui.errors import InvalidRequest, NotAllowed, NotFound, StorageError
from webui.people import COLOURS, OWNER, Person, alike

ANN = Person(id="ann", name="Ann", colour="teal", role="maker")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(access: Access, role: str = "maker", before: str | None = None) -> str:
    """The session that the link gives."""
    entered = access.enter(access.links(OWNER)[role], before, local=False)  # type: ignore[index]
    assert entered is not None and not entered[1]
    return entered[0]


def test_people_links_sessions_and_password_outlive_a_restart_and_the_owners_key_does_not(tmp_path: Path) -> None:
    file = tmp_path / ".stepwise" / "people.sqlite"
    first = Access(file)
    session = opened(first)
    person = first.guests.introduce(first.guests.holder(session) or OWNER, "Zoë", "rose")
    gone = opened(first)
    first.leave(first.guests.holder(gone) or OWNER)
    first.set_password("correct horse", OWNER)
    first.shown.set_default(True, OWNER)
    links, key = first.links(OWNER), first.owner_key
    first.close()
    assert file.stat().st_mode & 0o077 == 0 and b"correct horse" not in file.read_bytes() and session.encode() not in file.read_bytes()
    second = Access(file)
    assert second.guests.holder(session) == person and second.guests.holder(gone) is None and second.guests.former(gone)
    assert second.links(OWNER) == links and second.owner_key != key and second.asks_password and second.shown.default
    assert second.enter(key, None, local=True) is None
    second.close()


def test_a_register_that_is_damaged_is_put_aside(tmp_path: Path) -> None:
    file = tmp_path / "people.sqlite"
    file.write_bytes(b"not a database at all" * 100)
    access = Access(file)
    assert opened(access) and (tmp_path / "people.damaged").exists()
    access.close()


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "people.sqlite").mkdir()
    with pytest.raises((StorageError, IsADirectoryError)):
        Register(tmp_path / "people.sqlite")


def test_a_register_that_cannot_be_read_is_a_sentence() -> None:
    register = Register(None)
    register.close()
    with pytest.raises(StorageError, match=r"The list of people cannot be read: .*\."):
        register.read("select id from people")


def test_a_full_disk_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    access = Access(None)

    def full(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(access._register, "write", full)
    session = opened(access)
    person = access.guests.holder(session)
    assert person is not None and "until the studio ends" in caplog.text
    with pytest.raises(StorageError):
        access.guests.introduce(person, "Zoë", "rose")
    access.shown.finished("job", person.id, "day/a.png")
    assert access.shown.sees_picture(person, "day/a.png") and not access.shown.sees_picture(ANN, "day/a.png")
    monkeypatch.undo()
    access.shown.finished("other", person.id, "day/b.png")
    assert access.shown._unwritten == {} and access.shown.of("day/a.png") == Record("job", person.id, False)


def test_the_number_of_sessions_and_of_half_signed_in_guests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "MOST", 10)
    access = Access(None)
    first = opened(access)
    assert len(list(access.guests)) == 2
    others = [opened(access) for _ in range(10)]
    assert access.guests.holder(first) is None and all(access.guests.holder(other) for other in others)
    assert len(access._register.read("select * from sessions")) == 10 and len(list(access.guests)) == 11
    mine = [access.guests.begin(OWNER) for _ in range(guests.EACH + 5)]
    assert len([one for one in mine if access.guests.holder(one)]) <= guests.EACH and access.guests.holder(mine[-1])
    access.set_password("12345678", OWNER)
    waiting = [access.enter(access.links(OWNER)["viewer"], None, local=False) for _ in range(PENDING + 5)]
    assert len(access._pending) == PENDING
    assert waiting[0] and not access.waits(waiting[0][0]) and waiting[-1] and access.waits(waiting[-1][0])


def test_whoever_opens_a_link_again_and_again_pushes_out_only_people_like_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "MOST", 8)
    access = Access(None)
    owner = access.guests.begin(OWNER)
    named, maker, signed_out, stranger = (opened(access) for _ in range(4))
    access.guests.introduce(access.guests.holder(named) or OWNER, "Zoë", "rose")
    for number, session in enumerate((maker, signed_out)):
        access.shown.queued([f"job {number}"], (access.guests.holder(session) or OWNER).id)
    access.leave(access.guests.holder(signed_out) or OWNER)
    gone = opened(access)
    access.leave(access.guests.holder(gone) or OWNER)
    opened(access), opened(access), opened(access)
    assert access.guests.former(gone) is None and access.guests.holder(stranger), "an ended session goes first"
    flood = [opened(access, "viewer") for _ in range(20)]
    assert access.guests.holder(stranger) is None and access.guests.holder(flood[-1])
    assert access.guests.holder(owner) and access.guests.holder(named) and access.guests.holder(maker) and access.guests.former(signed_out)
    assert len(access.guests._sessions) == 8


def test_a_newcomers_name_is_found_by_looking_once_at_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    access, asked = Access(None), list[str]()

    def counted(name: str) -> str:
        asked.append(name)
        return alike(name)

    for _ in range(50):
        access.guests.newcomer("viewer")
    monkeypatch.setattr(guests, "alike", counted)
    assert access.guests.newcomer("viewer").name == "Guest 51" and len(asked) < 110


def test_opening_the_link_again_goes_on_with_the_session_that_there_is() -> None:
    access = Access(None)
    desk = opened(access, "viewer")
    person = access.guests.holder(desk) or OWNER
    entered = access.enter(access.hand_over(person), None, local=False)
    assert entered is not None
    assert [opened(access, "viewer", desk) for _ in range(guests.EACH)] == [desk] * guests.EACH
    more = opened(access, "maker", desk)
    assert more != desk and access.guests.former(desk) is None and opened(access, "viewer", more) == more
    assert access.guests.holder(more) == access.guests.holder(entered[0]) == person.model_copy(update={"role": "maker"})
    owner = access.guests.begin(OWNER)
    assert access.enter(access.owner_key, owner, local=True) == (owner, False)
    assert access.enter(access.links(OWNER)["viewer"], owner, local=True) == (owner, False)
    assert opened(access, "viewer", owner) != owner, "on the network it is worth nothing"


def test_new_links_count_also_for_whoever_is_giving_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(None)
    access.set_password("correct horse", OWNER)
    entered = access.enter(access.links(OWNER)["maker"], None, local=False)
    assert entered is not None and entered[1]

    def fits(*_: str) -> bool:
        access.renew(OWNER)
        return True

    monkeypatch.setattr(access_module, "fits", fits)
    assert access.answer(entered[0], "correct horse") is None and len(list(access.guests)) == 1


@pytest.mark.parametrize("how", ["dismiss", "leave", "renew"])
def test_whoever_is_signed_out_does_not_return_by_a_link_for_one_use(how: str) -> None:
    access = Access(None)
    one, other = (access.guests.holder(opened(access)) or OWNER for _ in range(2))
    link, others = access.hand_over(one), access.hand_over(other)
    {"dismiss": lambda: access.dismiss(one.id, OWNER), "leave": lambda: access.leave(one), "renew": lambda: access.renew(OWNER)}[how]()
    assert access.enter(link, None, local=False) is None
    assert (access.enter(others, None, local=False) is None) == (how == "renew")


@pytest.mark.parametrize("how", ["dismiss", "leave", "renew"])
def test_a_full_disk_keeps_nobody_in(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(None)
    session, links, cut = opened(access), access.links(OWNER), list[bool]()
    person = access.guests.holder(session) or OWNER

    def full(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(access._register, "write", full)
    act = {"dismiss": lambda: access.dismiss(person.id, OWNER), "leave": lambda: access.leave(person), "renew": lambda: access.renew(OWNER)}
    with access.guests.told(person, lambda: cut.append(True)), pytest.raises(StorageError, match=r"It is done, but.*The disk is full"):
        act[how]()
    assert access.guests.holder(session) is None and access.guests.former(session) == person and cut == [True]
    assert (access.links(OWNER) == links) == (how != "renew")
    assert access.guests.holder(opened(access, "viewer", session)) == person.model_copy(update={"role": "viewer"}), "and nobody out"


def test_a_password_that_cannot_be_changed_is_still_the_old_one_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(tmp_path / "people.sqlite")
    access.set_password("correct horse", OWNER)
    write = access._register.write

    def nearly_full(*rows: Statement) -> None:
        write(*rows, *([("insert into nothing values (1)", ())] if any("insert" in query for query, _ in rows) else []))

    monkeypatch.setattr(access._register, "write", nearly_full)
    with pytest.raises(StorageError):
        access.set_password("another horse", OWNER)
    access.close()
    again = Access(tmp_path / "people.sqlite")
    assert again.asks_password
    again.close()


def test_a_link_for_one_use_opens_once_and_not_for_ever() -> None:
    clock = Clock()
    access = Access(None, clock)
    person = access.guests.holder(opened(access)) or OWNER
    old, new = access.hand_over(person), access.hand_over(person)
    assert access.enter(old, None, local=False) is None, "a newer one takes its place"
    assert access.enter(new, None, local=False) and access.enter(new, None, local=False) is None
    late = access.hand_over(person)
    clock.now += PASS_SECONDS
    assert access.enter(late, None, local=False) is None
    other, ours = opened(access), access.hand_over(person)
    with pytest.raises(NotAllowed, match="Guest 2's"):
        access.enter(ours, other, local=False)
    access.leave(access.guests.holder(other) or OWNER)
    entered = access.enter(ours, other, local=False)
    assert entered and access.guests.holder(entered[0]) == person, "it was not used up, and who signed out may be another"
    owners = access.hand_over(OWNER)
    assert access.enter(owners, None, local=False) is None and access.enter(owners, None, local=True)


@pytest.mark.parametrize(
    "call",
    [Access.links, Access.renew, lambda access, by: access.set_password("12345678", by), lambda access, by: access.dismiss("ann", by)],
)
def test_only_the_owner_decides(call: Callable[[Access, Person], object]) -> None:
    with pytest.raises(NotAllowed):
        call(Access(None), ANN)


def test_nobody_is_sent_away_who_is_not_there_nor_the_owner() -> None:
    access = Access(None)
    with pytest.raises(NotFound):
        access.dismiss("nobody", OWNER)
    with pytest.raises(NotAllowed):
        access.dismiss("owner", OWNER)


def test_newcomers_have_names_and_colours_of_their_own() -> None:
    access = Access(None)
    people = [access.guests.newcomer("maker") for _ in range(len(COLOURS))]
    assert len({person.name for person in people}) == len({person.colour for person in people}) == len(COLOURS)


# --- secrets ---


def test_a_password_is_kept_as_a_salted_hash_and_fits_only_itself() -> None:
    one, other = secret.hashed("correct horse"), secret.hashed("correct horse")
    assert one != other and "horse" not in one
    assert secret.fits("correct horse", one) and not secret.fits("correct horsf", one) and not secret.fits("", one)
    assert not secret.fits("a" * 100_000, secret.hashed("a" * 200))
    for wrong in ("1234567", "", "a" * 201):
        with pytest.raises(InvalidRequest, match="8 to 200"):
            secret.hashed(wrong)


def test_secrets_are_long_and_never_the_same() -> None:
    made = {secret.fresh() for _ in range(1000)}
    assert len(made) == 1000 and {len(one) for one in made} == {32}
    assert secret.same("a", "a") and not secret.same("a", "b") and not secret.same("", "\ud800")


# --- slowing down ---


def test_wrong_secrets_cost_twice_as_much_each_time_and_never_everything() -> None:
    clock = Clock()
    slow = Slowdown(clock)
    delays = []
    for _ in range(FREE + 10):
        slow.wrong("here")
        delays.append(slow.wait("here"))
    assert delays[: FREE - 1] == [0] * (FREE - 1)
    assert delays[FREE - 1 :] == [min(LONGEST, 2.0**k) for k in range(11)]
    assert slow.wait("elsewhere") == 0
    clock.now += LONGEST
    assert slow.wait("here") == 0
    slow.wrong("here")
    assert slow.wait("here") == LONGEST
    clock.now += FORGOTTEN + 1
    slow.wrong("here")
    assert slow.wait("here") == 0, "an hour later it begins again"
    for _ in range(FREE):
        slow.wrong("here")
    slow.right("here")
    assert slow.wait("here") == 0


def test_a_million_places_take_no_more_memory_than_a_thousand() -> None:
    slow = Slowdown(Clock())
    for number in range(REMEMBERED * 3):
        slow.wrong(str(number))
    assert len(slow._wrong) == REMEMBERED


def test_a_database_of_the_last_version_is_read(tmp_path: Path) -> None:
    file = tmp_path / "people.sqlite"
    Register(file).close()
    with sqlite3.connect(file) as db:
        db.execute("insert into shown values ('job', 'ann', 1, 'day/a.png')")
    db.close()
    shown = Shown(Register(file))
    assert shown.sees_picture(ANN.model_copy(update={"id": "bob"}), "day/a.steps.jpg")
