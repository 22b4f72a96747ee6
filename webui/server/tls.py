"""TLS for the local network: a certificate of one's own, or one that the studio makes and signs itself."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webui.errors import UserError

DAYS = 397
"""How long a certificate lasts: browsers refuse longer ones."""


def context(cert: Path, key: Path | None, known: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """A server's context: a new one, or `known`, which shows this certificate from now on, also where it is in use.

    Raises:
        UserError: the files are missing, are no certificate and key, or do not belong together.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # First where nothing is lost if they will not do. A password would be asked for on the terminal, and nobody may be there.
        for one in (made, known) if known else (made,):
            one.load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "they are no certificate and key in PEM, or do not belong together"
        raise UserError(f"--tls-cert {cert} and --tls-key {key or 'of the same file'} cannot be used: {reason}.") from None
    return known or made


def fingerprint(cert: Path) -> str:
    """SHA-256 of a certificate, as browsers show it."""
    digest = x509.load_pem_x509_certificate(cert.read_bytes()).fingerprint(hashes.SHA256())
    return ":".join(f"{byte:02X}" for byte in digest)


def self_signed(folder: Path, addresses: Sequence[str], names: Sequence[str]) -> Path:
    """A file with a certificate for these addresses and names, and its key: the one from last time if it still serves.

    Raises:
        UserError: the folder cannot be written.
    """
    file = folder / "self-signed.pem"
    if not _serves(file, addresses):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
                out.write(_made(addresses, names))
        except OSError as error:
            raise UserError(f"No certificate can be kept in {folder}: {error.strerror}. Choose another folder with --outputs.") from None
    return file


def _serves(file: Path, addresses: Sequence[str]) -> bool:
    try:
        cert = x509.load_pem_x509_certificate(file.read_bytes())
        named = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.IPAddress)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    lasts = cert.not_valid_before_utc <= datetime.now(UTC) <= cert.not_valid_after_utc - timedelta(days=7)
    return lasts and {IPv4Address(address) for address in addresses} <= set(named)


def _made(addresses: Sequence[str], names: Sequence[str]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Stepwise at {addresses[0]}")])
    now = datetime.now(UTC)
    alternatives = [*(x509.IPAddress(IPv4Address(address)) for address in addresses), *(x509.DNSName(name) for name in names)]
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + cert.public_bytes(serialization.Encoding.PEM)
