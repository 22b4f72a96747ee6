"""CLIP's tokenizer (Radford et al. 2021), which single-file checkpoints need and do not hold. Knows nothing of torch."""

from __future__ import annotations

import gzip
from pathlib import Path

MERGES = Path(__file__).parent / "data" / "clip" / "merges.txt.gz"
START, END = "<|startoftext|>", "<|endoftext|>"
LAST = "</w>"
"""Marks a piece that ends a word."""

WINDOW = 77
"""Tokens of the text encoder's window, with the two that mark start and end."""

Merge = tuple[str, str]


def merges() -> list[Merge]:
    """Pairs of pieces that become one, most frequent first."""
    lines = gzip.decompress(MERGES.read_bytes()).decode().split("\n")
    return [(first, second) for first, second in (line.split() for line in lines)]


def vocabulary(pairs: list[Merge]) -> dict[str, int]:
    """Piece -> its number: every byte, every byte that ends a word, every pair that was merged, start and end."""
    bytes_ = _byte_letters()
    pieces = [*bytes_, *(letter + LAST for letter in bytes_), *("".join(pair) for pair in pairs), START, END]
    return {piece: number for number, piece in enumerate(pieces)}


def _byte_letters() -> list[str]:
    """A visible letter for each byte: itself where it is visible in Latin-1, else one from beyond; in CLIP's order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(visible)]
    return [*map(chr, visible), *(chr(256 + k) for k in range(len(hidden)))]
