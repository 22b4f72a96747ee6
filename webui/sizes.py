"""Bytes as a person reads them: one way, wherever memory or files are spoken of."""

from __future__ import annotations


def in_words(count: int) -> str:
    """`1.2 GB`, `170 MB`, `0.4 MB`; never less than `0.1 MB`."""
    if count >= 95e7:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 95e5 else f"{max(0.1, count / 1e6):.1f} MB"
