"""Disks that refuse: a sentence, and nothing half-written. Root may write anywhere, so these mount what they need or make calls fail."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.strategies import AT, BOAT
from tests.store.test_store import FRAMES, files, save
from webui.errors import StorageError
from webui.store.store import Store


@pytest.fixture
def small_drive(tmp_path: Path) -> Iterator[Path]:
    """A drive of 4 MB."""
    drive = tmp_path / "drive"
    drive.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(drive)], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs the right to mount a small drive (root with CAP_SYS_ADMIN)")
    yield drive
    subprocess.run(["umount", "-l", str(drive)], check=True)


def noise(store: Store, side: int = 512) -> str:
    """Save a picture of about 800 kB that does not compress."""
    return store.save(BOAT, os.urandom(side * side * 3), side, side, FRAMES, 1.0, AT)


def test_a_full_drive_is_told_and_nothing_is_half_written(small_drive: Path) -> None:
    store = Store(small_drive / "outputs", reserve=0)
    store.check()
    names: list[str] = []
    with pytest.raises(StorageError, match=r"The disk is full.*Free some space\."):
        for _ in range(20):
            names.append(noise(store))
    assert 3 <= len(names) <= 5 and len(files(store)) == 2 * len(names)
    assert all(store.recipe(name) == BOAT and len(store.frames(name)) == 5 for name in names)
    store.path(names.pop()).unlink()
    names.append(noise(store))
    assert store.recipe(names[-1]) == BOAT


def test_the_reserve_is_left_for_the_journal(small_drive: Path) -> None:
    store = Store(small_drive / "outputs", reserve=3 * 2**20)
    store.check()
    noise(store)
    with pytest.raises(StorageError, match="disk is full"):
        noise(store)
    assert shutil.disk_usage(small_drive).free >= 3 * 2**20
    with pytest.raises(StorageError, match="disk is full"):
        Store(small_drive / "outputs").check()


def test_a_read_only_drive_is_told(small_drive: Path) -> None:
    store = Store(small_drive / "outputs", reserve=0)
    store.check()
    name = save(store)
    subprocess.run(["mount", "-o", "remount,ro", str(small_drive)], check=True)
    for use in (store.check, lambda: save(store)):
        with pytest.raises(StorageError, match="read-only"):
            use()
    assert store.recipe(name) == BOAT


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("mine")
    for folder in ("outputs", "outputs/below"):
        with pytest.raises(StorageError, match="is not a folder"):
            Store(tmp_path / folder).check()
    assert (tmp_path / "outputs").read_text() == "mine"


def test_a_folder_that_went_away_is_told_and_not_made_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    store.check()
    (tmp_path / "outputs").rmdir()
    with pytest.raises(StorageError, match="The folder outputs is gone"):
        save(store)
    assert not (tmp_path / "outputs").exists()


CODES = {
    errno.EIO: "Check the drive",
    errno.EDQUOT: "disk is full",
    errno.EACCES: "permission is denied",
    errno.EMFILE: "too many open files",
}


def failing(real: Callable[..., object], turn: int, code: int) -> Callable[..., object]:
    """The call, which fails the `turn`-th time."""
    left = [turn]

    def call(*arguments: object, **more: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **more)

    return call


@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
@pytest.mark.parametrize("turn", range(1, 5))
def test_whichever_fsync_fails_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int, code: int) -> None:
    store = Store(tmp_path / "outputs")
    store.check()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(os.fsync, turn, code))
        with pytest.raises(StorageError, match=CODES[code]):
            save(store)
    assert files(store) == []
    assert store.recipe(save(store)) == BOAT


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF], ids=errno.errorcode.__getitem__)
def test_a_drive_that_takes_no_folder_by_itself_keeps_pictures_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store, real = Store(tmp_path / "outputs"), os.fsync

    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(code, os.strerror(code))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    store.check()
    assert store.recipe(save(store)) == BOAT


@pytest.mark.parametrize("turn", [1, 2])
def test_whichever_name_is_refused_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int) -> None:
    store = Store(tmp_path / "outputs")
    store.check()
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(os.link, turn, errno.ENOSPC))
        patch.setattr(Path, "rename", failing(Path.rename, 1, errno.ENOSPC))
        with pytest.raises(StorageError, match="disk is full"):
            save(store)
    assert files(store) == []
