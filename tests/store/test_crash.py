"""kill -9 in the middle of saving: every picture that can be seen is whole, and so are its frames."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from PIL import Image

from tests.store.strategies import AT, BOAT
from tests.store.test_store import FRAMES
from webui.store.store import Store

ROUNDS = 15
SIDE = 256


def save_for_ever(outputs: Path) -> None:
    """What the child does until it is killed. Its disk is slow: on a fast one a save is so short that kills miss it."""
    store, rgb, sync = Store(outputs), os.urandom(SIDE * SIDE * 3), os.fsync

    def slow(file: int) -> None:
        time.sleep(0.02)
        sync(file)

    with patch.object(os, "fsync", slow):
        while True:
            store.save(BOAT, rgb, SIDE, SIDE, FRAMES, 1.0, AT)


def pictures(outputs: Path) -> list[Path]:
    return sorted(outputs.glob("*/*.png"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a fork server, which Windows does not have")
def test_no_kill_leaves_a_truncated_picture(tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs")
    store.check()
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload([__name__])
    leftovers = 0
    for round in range(ROUNDS):
        before = len(pictures(store.outputs))
        child = fork.Process(target=save_for_ever, args=(store.outputs,))
        child.start()
        limit = time.monotonic() + 60
        while len(pictures(store.outputs)) <= before:
            assert child.is_alive() and time.monotonic() < limit, "the child does not save"
            time.sleep(0.001)
        time.sleep(random.Random(round).uniform(0, 0.1))
        child.kill()
        child.join()
        leftovers += len(list(store.outputs.glob("*/.*.saving")))
        for path in pictures(store.outputs)[-50:]:
            name = path.relative_to(store.outputs).as_posix()
            with Image.open(path) as picture:
                picture.load()
            assert store.recipe(name) == BOAT and len(store.frames(name)) == len(FRAMES)
        store.check()
        assert list(store.outputs.glob("*/.*.saving")) == []
        assert len(list(store.outputs.glob("*/*.steps.jpg"))) == len(pictures(store.outputs))
    assert leftovers > 2, "hardly a kill hit a save, so nothing was tested"
