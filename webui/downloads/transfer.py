"""One file over HTTP: resumed where it broke off, never larger than was said.

The hub's own library checks sizes alone, and where the address is anybody's there is no such library.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from webui.downloads.hops import CHANGED, Broken, answer_of
from webui.errors import DownloadError, refused

TRIES = 5
"""Attempts without a byte more, before it is given up for this time."""

SMALL = 1 << 20
"""Largest answer that is read whole, in bytes."""


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
        with answer_of(url, {}) as answer:
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
        with answer_of(url, {}) as answer:
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
        if known := tag.is_file() and tag.read_text():
            headers["If-Range"] = known
    with answer_of(url, headers) as answer:
        start = _start(answer, have, size)
        if not start:
            tag.write_text(_version(answer))
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
            else:
                if start < size:
                    if answer.status_code != 206:
                        stream.truncate(0)  # a page in the file's place, as of a link that is no longer good: no part of the file
                    raise Broken("The server sent less than the whole file")
            stream.flush()
            os.fsync(stream.fileno())


def _version(answer: httpx2.Response) -> str:
    """What a server knows these very bytes by, for `If-Range`; nothing if it does not say."""
    tag = answer.headers.get("etag", "")
    return tag if tag.startswith('"') else answer.headers.get("last-modified", "")  # weak tags do not speak of bytes


def _start(answer: httpx2.Response, have: int, size: int) -> int:
    """Where in the file the answer begins."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise DownloadError("The server sends the file in a form that was not asked for.", "source")
    if answer.status_code != 206:
        length = answer.headers.get("content-length")
        if length is not None and length != str(size):
            raise DownloadError(CHANGED, "source")
        return 0
    place = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("content-range", ""))
    if place is None or int(place[1]) != have or place[2] not in ("*", str(size)):
        raise DownloadError(CHANGED, "source")
    return have


def _named(answer: httpx2.Response) -> str:
    said = re.search(r"filename\*=UTF-8''([^;]+)|filename=\"?([^\";]+)\"?", answer.headers.get("content-disposition", ""))
    if said:
        return httpx2.URL(f"http://x/{said[1]}").path.rpartition("/")[2] if said[1] else said[2]
    return answer.url.path.rpartition("/")[2]
