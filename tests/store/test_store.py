"""The folder of pictures: names, what is kept, and that nobody gets at anything else through it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.fake import frame, jpeg
from tests.store.strategies import AT, BOAT
from webui.errors import NotFound, StorageError, UserError
from webui.store import disk
from webui.store.store import Store, slug

RGB = bytes(range(256)) * 48
FRAMES = tuple(jpeg(frame(i, 5)) for i in range(5))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store on an empty folder."""
    store = Store(tmp_path / "outputs")
    store.check()
    return store


def save(store: Store, prompt: str = "a red sailboat", at: datetime = AT, frames: tuple[bytes, ...] = FRAMES) -> str:
    return store.save(BOAT.model_copy(update={"prompt": prompt}), RGB, 64, 64, frames, 1.5, at)


def files(store: Store) -> list[str]:
    return sorted(path.relative_to(store.outputs).as_posix() for path in store.outputs.rglob("*") if path.is_file())


def test_a_picture_is_kept_with_its_recipe_and_its_frames(store: Store) -> None:
    name = save(store)
    assert re.fullmatch(r"2026-11-23/153012-[0-9a-f]{4}-a-red-sailboat\.png", name)
    assert files(store) == [name, name.replace(".png", ".steps.jpg")]
    with Image.open(store.path(name)) as picture:
        assert picture.tobytes() == RGB and picture.size == (64, 64)
    assert store.recipe(name) == BOAT
    assert len(store.frames(name)) == 5


def test_a_picture_without_frames_has_none(store: Store) -> None:
    name = save(store, frames=())
    assert files(store) == [name] and store.frames(name) == ()


def test_a_broken_preview_does_not_cost_the_picture(store: Store) -> None:
    name = save(store, frames=(FRAMES[0], b"no picture"))
    assert store.recipe(name) == BOAT and store.frames(name) == ()


def test_a_name_that_is_taken_is_never_overwritten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = chain(["aaaa"] * 3, ["bbbb"])
    monkeypatch.setattr("webui.store.store.secrets.token_hex", lambda size: next(parts))
    first = save(store)
    before = store.path(first).read_bytes()
    second = save(store)
    assert "aaaa" in first and "bbbb" in second and store.path(first).read_bytes() == before
    monkeypatch.setattr("webui.store.store.secrets.token_hex", lambda size: next(repeat("bbbb")))
    kept = files(store)
    with pytest.raises(StorageError, match="No free name"):
        save(store)
    assert files(store) == kept


def test_a_sheet_that_is_taken_is_not_overwritten_either(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = iter(("aaaa", "bbbb"))
    monkeypatch.setattr("webui.store.store.secrets.token_hex", lambda size: next(parts))
    (store.outputs / "2026-11-23").mkdir()
    (store.outputs / "2026-11-23" / "153012-aaaa-a-red-sailboat.steps.jpg").write_bytes(b"mine")
    assert "bbbb" in save(store)
    assert (store.outputs / "2026-11-23" / "153012-aaaa-a-red-sailboat.steps.jpg").read_bytes() == b"mine"


def test_many_savers_at_once_lose_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # Few random parts, so that they collide all the time.
    monkeypatch.setattr("webui.store.store.secrets.token_hex", lambda size: os.urandom(1).hex())
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.extend(save(store) for _ in range(5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 40 and len(files(store)) == 80
    assert all(store.recipe(name) == BOAT for name in names)


def test_who_sees_a_picture_finds_its_frames(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def link(file: Path, final: Path) -> None:
        names.append(final.name.partition(".")[2])
        final.write_bytes(file.read_bytes())

    monkeypatch.setattr(os, "link", link)
    save(store)
    assert names == ["steps.jpg", "png"]


def refuse(*arguments: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize(
    "test", [test_a_name_that_is_taken_is_never_overwritten, test_many_savers_at_once_lose_nothing], ids=lambda test: test.__name__
)
def test_it_holds_where_there_are_no_hard_links(
    store: Store, monkeypatch: pytest.MonkeyPatch, test: Callable[[Store, pytest.MonkeyPatch], None]
) -> None:
    monkeypatch.setattr(os, "link", refuse)
    test(store, monkeypatch)


@given(st.text(max_size=300))
def test_every_prompt_makes_a_safe_name(prompt: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug(prompt)) and len(slug(prompt)) <= 38


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A red sailboat, at sunset!", "a-red-sailboat-at-sunset"),
        ("", "picture"),
        ("赤い帆船", "picture"),
        ("Café über ﬁne", "cafe-uber-fine"),
        ("../../etc/passwd\n\0", "etc-passwd"),
        ("one two three four five six seven eight nine ten", "one-two-three-four-five-six-seven"),
        ("x" * 500, "x" * 38),
    ],
)
def test_names_are_made_of_the_first_words(prompt: str, words: str) -> None:
    assert slug(prompt) == words


@pytest.fixture
def hostile(store: Store, tmp_path: Path) -> Iterator[Store]:
    """A store with a secret beside it and traps inside it."""
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "outputs-secret").mkdir()
    (tmp_path / "outputs-secret" / "a.png").write_bytes(b"secret")
    inside = store.outputs
    (inside / ".stepwise").mkdir()
    (inside / ".stepwise" / "a.png").write_bytes(b"hidden")
    (inside / "journal.sqlite").write_bytes(b"journal")
    (inside / "out.png").symlink_to(tmp_path / "secret.png")
    (inside / "outside").symlink_to(tmp_path)
    (inside / "hidden.png").symlink_to(inside / ".stepwise" / "a.png")
    (inside / "journal.png").symlink_to(inside / "journal.sqlite")
    (inside / "loop.png").symlink_to(inside / "loop.png")
    (inside / "folder.png").mkdir()
    (inside / ".a.png.saving").write_bytes(b"half")
    (inside / ".b.png").write_bytes(b"hidden")
    (inside / "README.md").write_bytes(b"note")
    os.mkfifo(inside / "pipe.png")
    yield store


NAMES = [
    "", ".", "..", "/", "../secret.png", "2026-11-23/../../secret.png", "/etc/passwd", "//etc/passwd", "../outputs-secret/a.png",
    "..\\secret.png", "outside/secret.png", "out.png", "hidden.png", "journal.png", "loop.png", "folder.png", "pipe.png", ".b.png",
    ".a.png.saving",
       ".stepwise/a.png", ".stepwise", "./.stepwise/a.png", "folder.png/../.stepwise/a.png", "README.md", "journal.sqlite", "a\0.png",
    "C:\\windows\\win.ini", "C:a.png", "x.png::$DATA", "file:///etc/passwd", "%2e%2e/secret.png", "..%2fsecret.png", "a" * 5000 + ".png",
    "a/" * 5000 + "b.png", "\ud800.png", "\udcff.png", "~/a.png", "2026-11-23/none.png", "2026-11-23",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:40])
def test_what_is_no_picture_does_not_exist(hostile: Store, name: str) -> None:
    for ask in (hostile.path, hostile.recipe, hostile.frames):
        with pytest.raises(NotFound) as refusal:
            ask(name)
        assert refusal.value.message == "There is no such picture."


def test_a_link_within_the_outputs_is_followed(store: Store) -> None:
    name = save(store)
    (store.outputs / "best.png").symlink_to(store.path(name))
    assert store.recipe("best.png") == BOAT


def test_the_outputs_may_be_a_link_themselves(tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "drive")
    store = Store(tmp_path / "outputs")
    store.check()
    assert store.recipe(save(store)) == BOAT


def test_a_file_that_is_no_picture_is_answered_with_a_sentence(store: Store) -> None:
    name = save(store)
    (store.outputs / "fake.png").write_bytes(b"GIF89a")
    store.path(name.replace(".png", ".steps.jpg")).write_bytes(b"junk")
    for ask, what in ((store.recipe, "fake.png"), (store.recipe, name.replace(".png", ".steps.jpg")), (store.frames, name)):
        with pytest.raises(UserError, match=r"\.$"):
            ask(what)


def test_check_makes_the_folder_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "b" / "outputs")
    store.check()
    assert list(store.outputs.iterdir()) == []


def test_check_removes_what_a_crash_left_and_nothing_else(store: Store) -> None:
    name = save(store)
    day = store.outputs / "2026-11-23"
    kept = files(store)
    for leftover in (".1-a.png.saving", ".1-a.steps.jpg.saving", "1-a.steps.jpg"):  # killed between the two names
        (day / leftover).write_bytes(b"half")
    (day / f".{Path(name).name}.saving").write_bytes(b"whole")  # killed after the last name
    (store.outputs / ".12.saving").write_bytes(b"half")
    (store.outputs / "mine").mkdir()
    (store.outputs / "mine" / ".x.saving").write_bytes(b"not ours")
    (day / "deleted-its-picture.steps.jpg").write_bytes(b"kept")
    store.check()
    assert files(store) == sorted([*kept, "2026-11-23/deleted-its-picture.steps.jpg", "mine/.x.saving"])


def test_check_leaves_alone_what_a_living_studio_is_writing(store: Store) -> None:
    held = store.outputs / ".held.png.saving"
    with held.open("xb") as file:
        disk.hold(file.fileno())
        Store(store.outputs).check()
        assert held.exists()
    store.check()
    assert not held.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs to see which files are open")
def test_where_open_files_cannot_be_deleted_they_are_closed_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink = Path.unlink

    def unlink_closed(path: Path, missing_ok: bool = False) -> None:
        if any(path.samefile(file) for file in Path("/proc/self/fd").iterdir() if file.exists() and path.exists()):
            raise PermissionError(13, "The process cannot access the file because it is being used by another process", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_closed)
    monkeypatch.setattr(disk, "let_go", lambda file: file.close())  # as on Windows
    (store.outputs / ".12.saving").write_bytes(b"half")
    store.check()
    kept = files(store)
    name = save(store)
    assert files(store) == sorted([*kept, name, name.replace(".png", ".steps.jpg")]) and not (store.outputs / ".12.saving").exists()


def test_the_day_is_the_local_one(store: Store) -> None:
    assert save(store, at=datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC)).startswith("2027-01-01/000001-")
