"""Whose connection over loopback it is: Linux tells which account holds its other end, as it does for a Unix socket."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from starlette.types import Scope

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""All connections of this machine: addresses in hexadecimal, state, account, inode."""

ESTABLISHED = "01"
MAPPED = "0000000000000000FFFF0000" if sys.byteorder == "little" else "00000000000000000000FFFF"
"""In front of an IPv4 address in the table of IPv6."""

ROOT = 0

CONNECTION = "connection"
"""In an ASGI scope's state: what is found out about a connection once, and holds for all its requests."""


def own(scope: Scope) -> bool:
    """Whether the other end of a loopback connection belongs to this account, or to the machine's administrator.

    True where the system does not tell: on macOS and Windows every account of the machine counts as its owner's.
    """
    # The system's table takes milliseconds to read.
    known: dict[str, bool] = scope.get("state", {}).get(CONNECTION, {})
    if "own" not in known:
        known["own"] = _own(scope)
    return known["own"]


def _own(scope: Scope) -> bool:
    if not TABLES[0].exists():
        return True
    client, server = scope.get("client"), scope.get("server")
    if not client or not server:
        return False
    ends = f"{_hex(*client)} {_hex(*server)} "
    for table, ours in zip(TABLES, (ends, " ".join(MAPPED + end for end in ends.split()) + " "), strict=True):
        row = next((line for line in _lines(table) if ours in line), "").split()
        if len(row) > 9:
            # An end whose program has let it go has no inode, and its account says nothing any more.
            return row[3] == ESTABLISHED and row[9] != "0" and int(row[7]) in (os.getuid(), ROOT)
    return False


def _lines(table: Path) -> list[str]:
    try:
        return table.read_text().splitlines()
    except OSError:
        return []


def _hex(host: str, port: int) -> str:
    try:
        number = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    except OSError:
        return ""
    return f"{number:08X}:{port:04X}"
