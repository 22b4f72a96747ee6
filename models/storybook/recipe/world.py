"""What the model can paint: the vocabulary, and which parts of it go together. One setting, `WORLDS`, says how much of it is trained."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 49),
    "orange": (240, 136, 38),
    "yellow": (248, 208, 52),
    "green": (58, 158, 76),
    "blue": (48, 104, 206),
    "purple": (132, 70, 178),
    "pink": (240, 128, 176),
    "white": (244, 242, 236),
    "black": (44, 44, 52),
    "brown": (136, 88, 54),
}

SUBJECTS: dict[str, tuple[str, ...]] = {
    # subject -> the backgrounds that it is at home in
    "sailboat": ("sea", "beach"),
    "house": ("meadow", "mountains", "desert", "forest", "city", "beach"),
    "lighthouse": ("sea", "beach", "meadow", "mountains"),
    "castle": ("meadow", "mountains", "desert", "forest"),
    "tree": ("meadow", "mountains", "desert", "city", "beach"),
    "flower": ("meadow", "mountains", "forest", "desert"),
    "mushroom": ("meadow", "forest", "mountains"),
    "cat": ("meadow", "forest", "city", "beach", "desert"),
    "fish": ("sea", "beach"),
    "car": ("city", "desert", "meadow", "beach", "mountains"),
    "balloon": ("sky", "mountains", "meadow", "desert", "city", "sea"),
    "rocket": ("sky", "desert", "city", "mountains"),
    "rabbit": ("meadow", "forest", "mountains", "desert"),
    "bird": ("sky", "forest", "meadow", "sea"),
    "duck": ("sea", "meadow", "beach"),
    "whale": ("sea",),
    "windmill": ("meadow", "desert", "mountains"),
    "umbrella": ("beach", "city", "meadow"),
    "tent": ("meadow", "forest", "mountains", "desert", "beach"),
}

BACKGROUNDS = ("sea", "beach", "meadow", "mountains", "desert", "forest", "city", "sky")
TIMES = ("day", "sunset", "night", "dawn")
WEATHERS = ("clear", "snow", "fog", "rain")
STYLES = ("flat", "watercolor", "pastel", "neon", "ink", "pixel")


class World(NamedTuple):
    """How much of the vocabulary a training run uses."""

    subjects: tuple[str, ...]
    weathers: tuple[str, ...]
    styles: tuple[str, ...]
    counts: tuple[float, float, float]
    """Shares of one, two and three of the subject."""
    pairs: float
    """Share of the scenes that show two different subjects."""


WORLDS = {
    "small": World(tuple(SUBJECTS)[:12], WEATHERS[:3], STYLES[:3], (0.8, 0.1, 0.1), 0.0),
    "full": World(tuple(SUBJECTS), WEATHERS, STYLES, (0.6, 0.2, 0.2), 0.18),
}


def held_out(subject: str, colour: str, background: str) -> bool:
    """One in ten (subject, colour, background) triples is never trained: those whose digest ends in a byte below 26 of 256."""
    return hashlib.sha256(f"{subject} {colour} {background}".encode()).digest()[-1] < 26
