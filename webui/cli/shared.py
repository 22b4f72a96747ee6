"""The command line's side of sharing: the network, the password, the invitation in the terminal."""

from __future__ import annotations

import sys

import segno
import typer

from webui.access.access import LINKS
from webui.access.secret import checked
from webui.errors import InvalidRequest
from webui.people import OWNER, RIGHTS
from webui.server.lan import Lan
from webui.settings import Settings
from webui.studio import Studio


def network(settings: Settings) -> Lan:
    """Where others may reach the studio, checked before anything is started if it is to be shared at once.

    Raises:
        UserError: these settings do not go together, the studio cannot be shared with them, or the password is too short or too long.
    """
    if settings.password is not None:
        checked(settings.password.get_secret_value())
    if settings.tls_key is not None and settings.tls_cert is None:
        raise InvalidRequest("--tls-key needs --tls-cert, the certificate that it belongs to.")
    if settings.tls_self_signed and settings.tls_cert is not None:
        raise InvalidRequest("Choose one of --tls-self-signed and --tls-cert.")
    sign = settings.outputs / ".stepwise" if settings.tls_self_signed else None
    lan = Lan(settings.port, settings.lan_address, cert=settings.tls_cert, key=settings.tls_key, sign=sign)
    if settings.lan:
        lan.check()
    return lan


def asked() -> str:
    """A password for guests, typed in the terminal, unseen.

    Raises:
        InvalidRequest: it is too short or too long.
    """
    return checked(typer.prompt("Password for guests", hide_input=True, confirmation_prompt=True))


def protect(studio: Studio, settings: Settings, asked: str | None) -> None:
    """Ask guests for the password that was given, if one was.

    Raises:
        InvalidRequest: it is too short or too long.
    """
    given = settings.password.get_secret_value() if settings.password is not None else None
    if asked is not None or given is not None:
        studio.access.set_password(asked if asked is not None else given, OWNER)


def invite(studio: Studio, lan: Lan) -> None:
    """Print the links for guests, the first one as a QR code too."""
    links = studio.access.links(OWNER)
    for role in LINKS:
        typer.echo(f"\nFor teammates. Whoever opens this link {RIGHTS[role]}:\n{lan.link(links[role])}")
        if role == LINKS[0] and sys.stdout.isatty():
            segno.make(lan.link(links[role]), error="m").terminal(compact=True)
    if lan.fingerprint:
        typer.echo(f"\nThe certificate's fingerprint (SHA-256), to compare with what the browser shows:\n{lan.fingerprint}")
    else:
        typer.echo("\nThe connection is not encrypted: whoever can listen on this network can read along. --tls-self-signed encrypts it.")
