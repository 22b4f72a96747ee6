"""Checksums of a model's file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

PIECE = 1 << 22
"""Bytes that are read at once."""


def digest(file: Path, stop: Callable[[], bool] = lambda: False) -> tuple[str, str] | None:
    """SHA-256 of the whole file, and of what follows the header of a .safetensors file, both in hexadecimal; `None` if it was stopped.

    The first ten digits of the one are what A1111 and CivitAI call a checkpoint by (AutoV2), the first twelve of the other a LoRA.

    Raises:
        OSError: the file cannot be read.
    """
    whole, body = hashlib.sha256(), hashlib.sha256()
    with file.open("rb") as stream:
        start = stream.read(8)
        left = int.from_bytes(start, "little")  # of the header, which the second checksum leaves out
        whole.update(start)
        while piece := stream.read(PIECE):
            whole.update(piece)
            body.update(piece[left:])
            left = max(0, left - len(piece))
            if stop():
                return None
    return whole.hexdigest(), body.hexdigest()
