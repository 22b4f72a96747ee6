"""Sockets that the studio listens on."""

from __future__ import annotations

import errno
import os
import socket

from webui.errors import UserError
from webui.server.head import LOOPBACK

QUEUE = 128
"""Connections that wait to be accepted."""


def listen(port: int, address: str = LOOPBACK) -> socket.socket:
    """A socket of the studio's. A browser that comes before the page is ready waits in its queue.

    Raises:
        UserError: somebody else has the port.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        # So that a restart need not wait for old connections. On Windows it would mean sharing the port with anybody.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        # At once: until one of them listens, two studios may bind the same port.
        listener.listen(QUEUE)
    except OSError as error:
        listener.close()
        where = f"Port {port}" if address == LOOPBACK else f"Port {port} of {address}"
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"{where} is taken, perhaps by a studio that runs already. Choose another with --port.") from None
        raise UserError(f"{where} cannot be used: {error.strerror}. Choose another with --port.") from None
    return listener


def hosts(port: int) -> tuple[str, ...]:
    """The Host headers under which a browser on this machine asks for us."""
    names = (LOOPBACK, "localhost", "[::1]")
    return tuple(f"{name}:{port}" for name in names) + (names if port == 80 else ())
