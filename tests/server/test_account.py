"""Whose connection it is: another account of the same machine is not the studio's owner."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Scope

from tests.server.sharing import NAVIGATE, Shared, shared
from webui.server import account
from webui.studio import Studio

ROOT_ON_LINUX = sys.platform == "linux" and os.geteuid() == 0
NOBODY = 65534

ASK = """
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"Sec-Fetch-Mode": "navigate"})).status)
except urllib.error.HTTPError as error:
    print(error.code, error.headers.get("set-cookie"))
"""

LEAVE = """
import socket, sys
line = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
body = b'{"prompt": "left", "steps": 1, "model": "fake"}'
line.sendall(b"POST /api/jobs HTTP/1.1\\r\\nHost: localhost:%s\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % (sys.argv[1].encode(), len(body)))
line.sendall(body)
line.close()
"""  # noqa: E501


def open_to_all(program: Path) -> bool:
    """Whether other accounts may run it."""
    return program.is_file() and all(place.stat().st_mode & 0o001 for place in (program, *program.parents))


PYTHON = next((real for path in (sys.executable, "/usr/bin/python3") if open_to_all(real := Path(path).resolve())), None)


@pytest.fixture(scope="module")
def door(studio: Studio) -> Iterator[Shared]:
    """A studio that is not shared."""
    with shared(studio) as door:
        yield door


def run(code: str, argument: str, user: int) -> str:
    """What a program of another account prints."""
    ended = subprocess.run([str(PYTHON), "-S", "-c", code, argument], capture_output=True, text=True, timeout=60, user=user, cwd="/")
    return ended.stdout.strip()


def test_the_account_that_runs_the_studio_needs_no_link(door: Shared) -> None:
    with httpx.Client(base_url=door.owner.base_url, timeout=60) as fresh:
        assert fresh.get("/api/me").json()["role"] == "owner" and not fresh.cookies
        assert fresh.get("/", headers=NAVIGATE).status_code == 200 and fresh.cookies, (
            "a browser stays the owner's when the studio is shared"
        )
        assert fresh.get("/", headers=NAVIGATE | {"x-forwarded-for": "10.1.1.1"}).status_code == 200
    assert httpx.get(f"{door.owner.base_url}/api/me", headers={"x-forwarded-for": "10.1.1.1"}).status_code == 401


@pytest.mark.skipif(not ROOT_ON_LINUX or PYTHON is None, reason="needs Linux, root, and a Python that other accounts may run")
def test_another_account_needs_one(door: Shared, studio: Studio) -> None:
    before = studio.latest()
    address = f"http://127.0.0.1:{door.port}/"
    assert run(ASK, address, os.geteuid()) == "200"
    assert run(ASK, address, NOBODY) == "401 None"
    assert run(ASK, f"{address}api/me", NOBODY) == "401 None"
    for _ in range(20):
        run(LEAVE, str(door.port), NOBODY)
    httpx.get(f"{address}api/health")
    assert studio.latest() == before, "nor when it sends and lets go at once, so that nobody holds the other end any more"


ROW = "   1: {client} {server} {state} 00000000:00000000 00:00000000 00000000 {uid:>5}        0 {inode} 1 0000 20 4 0 10 -1\n"


@pytest.mark.parametrize(
    ("state", "uid", "inode", "own"),
    [("01", 7, "5", True), ("01", 0, "5", True), ("01", 8, "5", False), ("01", 0, "0", False), ("05", 7, "5", False)],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_what_the_systems_table_says_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, uid: int, inode: str, own: bool, mapped: bool
) -> None:
    prefix = account.MAPPED if mapped else ""
    row = ROW.format(client=f"{prefix}0100007F:0002", server=f"{prefix}0100007F:0001", state=state, uid=uid, inode=inode)
    tables = (tmp_path / "tcp", tmp_path / "tcp6")
    for table, rows in zip(tables, ("", row) if mapped else (row, ""), strict=True):
        table.write_text("header\n" + rows)
    monkeypatch.setattr(account, "TABLES", tables)
    monkeypatch.setattr(os, "getuid", lambda: 7)
    scope = {"client": ("127.0.0.1", 2), "server": ("127.0.0.1", 1)}
    assert account.own(scope) is own
    assert not account.own({**scope, "client": ("127.0.0.1", 3)}) and not account.own({})
    monkeypatch.setattr(account, "TABLES", (tmp_path / "none", tmp_path / "none6"))
    assert account.own(scope), "a system that does not tell"


def test_the_system_is_asked_once_for_each_connection(door: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    answer = account._own

    def counted(scope: Scope) -> bool:
        asked.append(scope["client"])
        return answer(scope)

    monkeypatch.setattr(account, "_own", counted)
    for _ in range(2):
        with httpx.Client(base_url=door.owner.base_url, timeout=60) as fresh:
            assert [fresh.get("/api/me").json()["role"] for _ in range(5)] == ["owner"] * 5
    assert len(asked) == len(set(asked)) == 2
