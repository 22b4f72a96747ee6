"""Bytes as a person reads them: one way, wherever memory or files are spoken of."""

from __future__ import annotations


def in_words(count: int) -> str:
    """`1.2 GB`, `170 MB`; never less than `1 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 95e7 else f"{max(1, round(count / 1e6))} MB"
