"""Secrets: made, compared, and kept only as what cannot be turned back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from webui.errors import InvalidRequest

COST = {"n": 2**15, "r": 8, "p": 1, "maxmem": 2**26}
"""scrypt (Percival 2009): 32 MiB and about 0.1 s for each try."""

SHORTEST, LONGEST = 8, 200
"""Characters of a password."""


def fresh() -> str:
    """A new secret of 192 random bits, fit for an address."""
    return secrets.token_urlsafe(24)


def digest(secret: str) -> str:
    """What is kept of a secret that is random anyway: nobody guesses 192 bits, so one round is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(digest(one), digest(other))


def checked(password: str) -> str:
    """A password that guests may be asked for, as it is.

    Raises:
        InvalidRequest: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidRequest(f"A password has {SHORTEST} to {LONGEST} characters.", "password")
    return password


def hashed(password: str) -> str:
    """A password as it is kept.

    Raises:
        InvalidRequest: it is too short or too long.
    """
    salt, password = secrets.token_bytes(16), checked(password)
    return f"{base64.b64encode(salt).decode()} {base64.b64encode(_scrypt(password, salt)).decode()}"


def fits(password: str, kept: str) -> bool:
    """Whether this is the password of which `hashed` made `kept`."""
    salt, key = (base64.b64decode(part) for part in kept.split(" "))
    return hmac.compare_digest(_scrypt(password[: LONGEST + 1], salt), key)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, **COST)
