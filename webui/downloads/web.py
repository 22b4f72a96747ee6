"""A model at any address: one .safetensors file."""

from __future__ import annotations

from urllib.parse import urlsplit

from webui.downloads.offer import File, Offer, offer_of, safe_name
from webui.downloads.transfer import about
from webui.engine.tensors import HEADER_LIMIT
from webui.errors import DownloadError


def look(url: str) -> Offer:
    """What there is to be had.

    Raises:
        DownloadError: nothing, or no .safetensors file.
    """
    found = about(url)
    name = safe_name(found.name)
    length = int.from_bytes(found.start[:8], "little")
    if found.start.lstrip()[:1] == b"<":
        raise DownloadError("There is a web page at this address, not a file. Copy the address of its download button.", "source")
    if not name.endswith(".safetensors") or not 2 <= length <= min(HEADER_LIMIT, found.size) or found.start[8:9] != b"{":
        raise DownloadError(f"{name} is no .safetensors file. Others are not fetched: they can run code when they are opened.", "source")
    host = urlsplit(url).hostname or ""
    notes = ("Nobody says what its checksum is, so that only its form can be checked.", f"Look at {host} for its licence.")
    return offer_of(url, name, name, [File(path=name, url=url, bytes=found.size)], folder=False, notes=notes)
