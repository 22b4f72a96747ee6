"""Under which addresses and names this machine is known on its local network."""

from __future__ import annotations

import ipaddress
import socket

import ifaddr

from webui.errors import UserError
from webui.server.head import LOOPBACK

NOWHERE = ("10.255.255.255", 9)
"""A private address: asking the system by which way it would send there sends nothing."""

NO_NETWORK = "This machine has no address on a local network, so it cannot be shared. Connect it, or name an address with --lan-address."


def found(wanted: str | None) -> tuple[str, ...]:
    """IPv4 addresses to share at, the one to hand out first: `wanted`, or the private ones of this machine.

    A public address is shared only if it is named: behind it is not a local network.

    Raises:
        UserError: there is none, or `wanted` is not this machine's.
    """
    mine = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    if wanted is not None:
        if not _ours(wanted, mine):
            raise UserError(f"{wanted} is not an IPv4 address of this machine. Its addresses are: {', '.join(mine)}.")
        return (wanted,)
    private = [address for address in mine if _private(address)]
    if not private:
        raise UserError(NO_NETWORK)
    first = _route()
    return tuple(sorted(private, key=lambda address: address != first))


def names() -> tuple[str, ...]:
    """Names of this machine, the one for the local network's own name service (mDNS) among them."""
    name = socket.gethostname().lower().partition(".")[0]
    return (name, f"{name}.local") if name and name != "localhost" else ()


def _ours(wanted: str, mine: list[str]) -> bool:
    try:
        address = ipaddress.IPv4Address(wanted)
    except ValueError:
        return False
    # All of 127.0.0.0/8 is this machine's; the first of them is the owner's.
    return (str(address) in mine or address.is_loopback) and wanted != LOOPBACK


def _private(text: str) -> bool:
    address = ipaddress.IPv4Address(text)
    shared = address in ipaddress.IPv4Network("100.64.0.0/10")  # as Tailscale gives them
    return (address.is_private or shared) and not address.is_loopback and not address.is_link_local


def _route() -> str | None:
    """The address that packets to the network leave from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(NOWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])
