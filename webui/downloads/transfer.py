"""One file over HTTP: resumed where it broke off, never larger than was said, from nowhere that a redirect should not lead.

The hub's own library follows every redirect and checks sizes alone; here the address is anybody's, so each hop is looked at, and what has
arrived is summed. The address that the owner named may lie on the local network: no redirect leads there from elsewhere.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import getproxies

import httpx2

from webui import __version__
from webui.downloads.hub import token_for
from webui.errors import DownloadError, refused

HOPS = 8
"""Redirects that are followed."""

TRIES = 5
"""Attempts without a byte more, before it is given up for this time."""

TIMEOUT = httpx2.Timeout(30.0, connect=15.0)

SMALL = 1 << 20
"""Largest answer that is read whole, in bytes."""

MAPPED = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones behind a translator."""


class Broken(Exception):
    """The connection broke off, or the server is busy: it can be tried again."""


class About(NamedTuple):
    """What a server says of a file."""

    size: int
    """In bytes."""
    name: str
    """As the server or its address calls it."""
    start: bytes
    """The first of its bytes."""


def about(url: str) -> About:
    """What lies at an address.

    Raises:
        DownloadError: nothing, or it is not said how large it is.
    """
    try:
        with _answer(url, {}) as answer:
            length = answer.headers.get("content-length", "")
            if not length.isascii() or not length.isdigit():
                raise DownloadError("The server does not say how large the file is, so there is no telling whether it fits.", "source")
            return About(int(length), _named(answer), next(answer.iter_raw(64), b""))
    except Broken as broken:
        raise DownloadError(f"{broken}. Look at the address, and whether this machine is online.", "source") from None


def small_json(url: str) -> dict[str, Any]:
    """A small JSON object.

    Raises:
        DownloadError: it cannot be fetched, is none, or is large.
    """
    try:
        with _answer(url, {}) as answer:
            text = b""
            for piece in answer.iter_raw():
                text += piece
                if len(text) > SMALL:
                    raise DownloadError("A configuration of this model is too large.", "source")
        value = json.loads(text)
    except (Broken, httpx2.HTTPError) as error:
        raise DownloadError(f"{error}. Try again.", "source") from None
    except (ValueError, RecursionError):
        raise DownloadError("A configuration of this model is no JSON.", "source") from None
    if not isinstance(value, dict):
        raise DownloadError("A configuration of this model is no JSON object.", "source")
    return value


def fetch(url: str, part: Path, size: int, wait: Callable[[float], bool], came: Callable[[int], None]) -> bool:
    """Fetch what is missing of a file of `size` bytes into `part`; whether all of it is there, or it was stopped.

    Args:
        wait: sleeps so many seconds; whether to stop.
        came: hears how many bytes there are.

    Raises:
        DownloadError: it cannot be had, or the connection keeps breaking off.
        StorageError: the disk does not take it.
    """
    failed = 0
    part.touch()
    while True:
        have = part.stat().st_size
        came(have)
        if have == size:
            return True
        if wait(pause(failed)):
            return False
        try:
            _continue(url, part, have if have < size else 0, size, wait, came)
        except (Broken, httpx2.HTTPError) as error:
            more = part.stat().st_size > have
            failed = 1 if more else failed + 1
            if failed > TRIES:
                said = str(error) if isinstance(error, Broken) else f"The connection broke off ({type(error).__name__})"
                raise DownloadError(f"{said}. What has come is kept: press Resume to go on.") from None
        except OSError as error:
            raise refused("The model", error) from None


def pause(failed: int) -> float:
    """Seconds before the next attempt."""
    return min(2.0**failed - 1, 30)


def _continue(url: str, part: Path, have: int, size: int, wait: Callable[[float], bool], came: Callable[[int], None]) -> None:
    """One connection's worth."""
    tag = part.with_name(part.name + ".etag")
    headers = {}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag.is_file():
            headers["If-Range"] = tag.read_text()
    with _answer(url, headers) as answer:
        start = _start(answer, have, size)
        if (own := answer.headers.get("etag", "")).startswith('"'):  # weak ones do not speak of bytes
            tag.write_text(own)
        with part.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            for piece in answer.iter_raw():  # as it comes: what has come before a drop is kept
                start += len(piece)
                if start > size:
                    raise DownloadError("More came than the server had said. Nothing of it is kept.", "source")
                stream.write(piece)
                came(start)
                if wait(0):
                    break
            stream.flush()
            os.fsync(stream.fileno())


def _start(answer: httpx2.Response, have: int, size: int) -> int:
    """Where in the file the answer begins."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise DownloadError("The server sends the file in a form that was not asked for.", "source")
    if answer.status_code != 206:
        length = answer.headers.get("content-length")
        if length is not None and length != str(size):
            raise DownloadError("There lies another file now than the one that was looked at. Look again.", "source")
        return 0
    place = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("content-range", ""))
    if place is None or int(place[1]) != have or place[2] not in ("*", str(size)):
        raise DownloadError("There lies another file now than the one that was looked at. Look again.", "source")
    return have


@contextmanager
def _answer(url: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
    """The answer of the server that has the file, after all redirects.

    Raises:
        Broken: there is none at the moment.
        DownloadError: there is none, or it leads where it must not.
    """
    home = httpx2.URL(url)
    if home.scheme not in ("http", "https") or not home.host:
        raise DownloadError("An address begins with https:// or http://.", "source")
    target = home
    with httpx2.Client(timeout=TIMEOUT, follow_redirects=False) as client:
        for _ in range(HOPS):
            with _asked(client, target, home, headers) as answer:
                if not answer.has_redirect_location:
                    _check(answer)
                    yield answer
                    return
                following = target.join(answer.headers["location"])
            if following.scheme not in ("http", "https") or (target.scheme == "https" and following.scheme != "https"):
                raise DownloadError("The address leads to one that is not safe. Nothing was fetched.", "source")
            target = following
    raise DownloadError("The address leads in circles.", "source")


@contextmanager
def _asked(client: httpx2.Client, target: httpx2.URL, home: httpx2.URL, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
    sent = {"Accept-Encoding": "identity", "User-Agent": f"stepwise/{__version__}", **headers}
    if token := token_for(str(target)):
        sent["Authorization"] = f"Bearer {token}"
    where, extensions = target, {}
    if (target.host, target.port) != (home.host, home.port) and not getproxies():
        # Connected to the very address that was judged: a name that is asked for twice may be answered differently.
        where = target.copy_with(host=_public(target))
        sent["Host"], extensions = target.netloc.decode(), {"sni_hostname": target.host}
    request = client.build_request("GET", where, headers=sent, extensions=extensions)
    try:
        answer = client.send(request, stream=True)
    except httpx2.HTTPError as error:
        raise Broken(f"{target.host} does not answer ({type(error).__name__})") from error
    try:
        yield answer
    finally:
        answer.close()


def _public(target: httpx2.URL) -> str:
    """An address of the host that a redirect leads to.

    Raises:
        DownloadError: it is not one on the internet.
        Broken: the name is not known at the moment.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port or {"http": 80, "https": 443}[target.scheme], type=socket.SOCK_STREAM)
    except OSError:
        raise Broken(f"The name {target.host} is not known") from None
    addresses = [ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in found]
    if not addresses or any(not _global(address) for address in addresses):
        message = "The address leads to a machine of the local network, which it must not. Nothing was fetched."
        raise DownloadError(message, "source")
    return str(addresses[0])


def _global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _global(address.ipv4_mapped)
        if address in MAPPED:
            return _global(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def _check(answer: httpx2.Response) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status in (408, 416, 425, 429) or status >= 500:
        raise Broken(f"The server is busy ({status})")
    if status in (401, 403):
        raise DownloadError("The server shows this only to people who are signed in there, or who agreed to its terms.", "source")
    raise DownloadError(f"There is nothing at this address ({status}).", "source")


def _named(answer: httpx2.Response) -> str:
    said = re.search(r"filename\*=UTF-8''([^;]+)|filename=\"?([^\";]+)\"?", answer.headers.get("content-disposition", ""))
    if said:
        return httpx2.URL(f"http://x/{said[1]}").path.rpartition("/")[2] if said[1] else said[2]
    return answer.url.path.rpartition("/")[2]
