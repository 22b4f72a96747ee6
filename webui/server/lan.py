"""The studio on the local network: listeners beside the owner's own, opened and closed while it runs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from webui.errors import UserError
from webui.server import addresses, tls
from webui.server.entrance import KEY
from webui.server.listen import listen

LOOK_AGAIN = 5.0
"""Seconds between two looks at the machine's addresses: a laptop changes its network."""


class Listener(Protocol):
    """An open listener."""

    def close(self) -> None:
        """Stop listening, and cut what came in through it."""


Serve = Callable[[str, ssl.SSLContext | None], Awaitable[Listener]]
"""Opens a listener at an address."""


class Lan:
    """Where others reach the studio; nowhere, until it is opened.

    Args:
        port: the same as the owner's.
        address: the one to share at; `None` for the machine's private ones.
        cert: certificate, with `key` or with its key inside; `None` for plain http.
        sign: where to keep a certificate that the studio signs itself; `None` for none.
    """

    def __init__(
        self, port: int, address: str | None = None, *, cert: Path | None = None, key: Path | None = None, sign: Path | None = None
    ) -> None:
        self._port, self._address, self._cert, self._key, self._sign = port, address, cert, key, sign
        self._serve: Serve | None = None
        self._listeners: dict[str, Listener] = {}
        self._watch: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._tls: ssl.SSLContext | None = None
        self.first = ""
        """The address to hand out."""
        self.fingerprint = ""
        """SHA-256 of the certificate; empty without one."""

    def attach(self, serve: Serve) -> None:
        """Tell how listeners are opened, once the server runs."""
        self._serve = serve

    @property
    def open(self) -> bool:
        """Whether others can reach the studio now."""
        return bool(self._listeners)

    @property
    def hosts(self) -> frozenset[str]:
        """The Host headers under which others ask for us."""
        named = [*self._listeners, *addresses.names()] if self._listeners else []
        plain = named if self._port == (443 if self._secure else 80) else []
        return frozenset([*(f"{name}:{self._port}" for name in named), *plain])

    def link(self, secret: str) -> str:
        """The link with a secret in it."""
        return f"{'https' if self._secure else 'http'}://{self.first}:{self._port}/?{urlencode({KEY: secret})}"

    def check(self) -> None:
        """Look before anything is started whether it can be opened.

        Raises:
            UserError: there is no such address, or its port is taken, or the certificate cannot be used.
        """
        found = addresses.found(self._address)
        self._context(found)
        for address in found:
            listen(self._port, address).close()

    async def start(self) -> None:
        """Share on the local network.

        Raises:
            UserError: it cannot be, and why.
        """
        if self._serve is None:
            raise UserError("This studio cannot be shared from here. Start it with the command webui.")
        async with self._opening:
            if not self.open:
                await self._listen()
                self._watch = asyncio.get_running_loop().create_task(self._follow())

    def stop(self) -> None:
        """Share no longer; who is connected is cut off at once."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for address in list(self._listeners):
            self._listeners.pop(address).close()

    @property
    def _secure(self) -> bool:
        return self._cert is not None or self._sign is not None

    def _context(self, found: tuple[str, ...]) -> ssl.SSLContext | None:
        cert = self._cert if self._sign is None else tls.self_signed(self._sign, found, addresses.names())
        if cert is None:
            return None
        # One for all listeners and all time: those that stay open show the certificate whose fingerprint is shown here.
        self._tls = tls.context(cert, self._key, self._tls)
        self.fingerprint = tls.fingerprint(cert)
        return self._tls

    async def _listen(self) -> None:
        assert self._serve is not None
        found = addresses.found(self._address)
        context = self._context(found)
        try:
            for address in found:
                if address not in self._listeners:
                    self._listeners[address] = await self._serve(address, context)
        except UserError:
            if self._watch is None:
                self.stop()
            raise
        for address in set(self._listeners) - set(found):
            self._listeners.pop(address).close()
        self.first = found[0]

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            try:
                found = addresses.found(self._address)
                if set(found) != set(self._listeners) or found[0] != self.first:
                    await self._listen()
            except UserError:
                # No network for now: what there is stays open, and the next look may find it again.
                continue
