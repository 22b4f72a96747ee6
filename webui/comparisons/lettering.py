"""Words on a drawing: Pillow's own scalable font, or one of the system's where that one lacks the letters."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import islice

from PIL import ImageDraw, ImageFont

SIZE = 14
"""Of the letters, in pixels."""

LINE = 18
"""From one line to the next, in pixels."""

LATIN = "\u024f"
"""The last letter of what Pillow's own font covers well."""

OTHERS = (
    "NotoSansCJK-Regular.ttc",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "arialuni.ttf",
)
"""Fonts of Linux, macOS and Windows that know more scripts; the first that is there is taken."""

INK, FAINT, PAPER, EMPTY = "#1f2328", "#5f6670", "#ffffff", "#e9ebee"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font_for(text: str, size: int = SIZE) -> Font:
    """A font that has the letters of this text, as far as there is one."""
    if any(letter > LATIN and not _punctuation(letter) for letter in text):
        for name in OTHERS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
    return ImageFont.load_default(size)


def wrapped(text: str, width: int, most: int) -> list[str]:
    """The text in at most so many lines, each at most `width` pixels wide; what does not fit ends in an ellipsis."""
    font = font_for(text)
    lines = list(islice(_lines(" ".join(text.split())[: 200 * most], width, font), most + 1))
    if len(lines) > most:
        last = lines[most - 1]
        while last and font.getlength(f"{last}...") > width:
            last = last[:-1]
        lines = [*lines[: most - 1], f"{last}..."]
    return lines


def write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int, most: int, ink: str = INK, *, middle: bool = False
) -> None:
    """Write text from `at` on, wrapped; with `middle` each line in the middle of `width`."""
    font, (left, top) = font_for(text), at
    for number, line in enumerate(wrapped(text, width, most)):
        indent = (width - int(font.getlength(line))) // 2 if middle else 0
        draw.text((left + indent, top + number * LINE), line, fill=ink, font=font)


def _lines(text: str, width: int, font: Font) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        line = word
        while line and font.getlength(line) > width:
            # A word wider than the line, or a script without spaces.
            fits = max(1, bisect_right(range(1, len(line) + 1), float(width), key=partial(_length, font, line)))
            yield line[:fits]
            line = line[fits:]
    if line:
        yield line


def _length(font: Font, line: str, letters: int) -> float:
    return font.getlength(line[:letters])


def _punctuation(letter: str) -> bool:
    return "\u2010" <= letter <= "\u2044"
