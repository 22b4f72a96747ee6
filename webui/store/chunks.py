"""The text inside a PNG, read without decoding pixels and without unpacking anything, so that no file can be a bomb."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

from webui.errors import UserError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LIMIT = 2**18
"""Longest text that is read, in bytes: two prompts of 20,000 characters of 4 bytes, with room."""
COUNT = 2**16
"""Most chunks that are looked at."""
KEYWORD = 80
"""A keyword has at most 79 bytes and a zero after it (PNG specification, 11.3.3)."""

NOT_PNG = "This is not a PNG picture. Choose a PNG as the studio saved it."
DAMAGED = "This PNG is damaged or cut off. Choose another copy of it."
TOO_LONG = "The settings in this PNG are longer than any that a studio writes, so they are not read."


def texts(png: BinaryIO, keywords: Collection[str]) -> Iterator[tuple[str, str]]:
    """Keyword and text of each uncompressed `tEXt` and `iTXt` chunk with one of these keywords, in the file's order.

    Raises:
        UserError: not a PNG, damaged before its end, or a text too long.
    """
    if png.read(len(SIGNATURE)) != SIGNATURE:
        raise UserError(NOT_PNG)
    for _ in range(COUNT):
        header = png.read(8)
        if len(header) < 8:
            raise UserError(DAMAGED)
        length, kind = struct.unpack(">I4s", header)
        if kind == b"IEND":
            return
        if kind not in (b"tEXt", b"iTXt"):
            png.seek(length + 4, 1)
            continue
        start = png.read(min(length, KEYWORD))
        keyword = start.partition(b"\0")[0].decode("latin-1")
        if keyword not in keywords:
            png.seek(length - len(start) + 4, 1)
            continue
        if length > LIMIT:
            raise UserError(TOO_LONG)
        content = start + png.read(length - len(start))
        if png.read(4) != struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))):
            raise UserError(DAMAGED)
        if (text := _decode(kind, content)) is not None:
            yield keyword, text
    raise UserError(DAMAGED)


def _decode(kind: bytes, content: bytes) -> str | None:
    """The text of a chunk; `None` if it is compressed, which no studio that we read does."""
    rest = content.partition(b"\0")[2]
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if rest[:1] != b"\0":
        return None
    try:
        # compression flag and method, language, translated keyword, text
        return rest[2:].split(b"\0", 2)[2].decode()
    except (IndexError, UnicodeDecodeError):
        raise UserError(DAMAGED) from None
