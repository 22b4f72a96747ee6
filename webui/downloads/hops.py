"""One request and all redirects after it, to nowhere that they should not lead.

Each hop is looked at: the address that the owner named may lie on the local network, but no redirect leads there from elsewhere. The hub's
own library follows every redirect, which is why this is not its business.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.request import getproxies

import httpx2

from webui import __version__
from webui.downloads.hub import token_for
from webui.errors import DownloadError

HOPS = 8
"""Redirects that are followed."""

TIMEOUT = httpx2.Timeout(30.0, connect=15.0)

MAPPED = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that stand for IPv4 ones behind a translator."""


CHANGED = "There lies another file now than the one that was looked at. Look again."


class Broken(Exception):
    """The connection broke off, or the server is busy: it can be tried again."""


@contextmanager
def answer_of(url: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
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
        where = target.copy_with(host=public(target))
        sent["Host"], extensions = target.netloc.decode(), {"sni_hostname": target.host}
    request = client.build_request("GET", where, headers=sent, extensions=extensions)
    try:
        answer = client.send(request, stream=True)
    except httpx2.HTTPError as error:
        raise Broken(f"{target.host} does not answer ({type(error).__name__})") from error
    except UnicodeError:
        raise DownloadError(f"{target.host} cannot be the name of a server. Look whether the address is typed rightly.", "source") from None
    try:
        yield answer
    finally:
        answer.close()


def public(target: httpx2.URL) -> str:
    """An address of the host that a redirect leads to.

    Raises:
        DownloadError: it is not one on the internet.
        Broken: the name is not known at the moment.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port or {"http": 80, "https": 443}[target.scheme], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
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
    if status == 416:  # a range is asked for that lies behind its end
        raise DownloadError(CHANGED, "source")
    if status in (408, 425, 429) or status >= 500:
        raise Broken(f"The server is busy ({status})")
    if status in (401, 403):
        raise DownloadError("The server shows this only to people who are signed in there, or who agreed to its terms.", "source")
    raise DownloadError(f"There is nothing at this address ({status}).", "source")
