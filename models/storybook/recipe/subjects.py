"""The subjects. Each is drawn in a box one unit wide and high: x from -0.5 to 0.5, y from 0 at its foot to 1 at its top."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import skia

from .pens import Colour, Pen, mix

WHITE, DARK, WINDOW, SKIN = (246, 242, 232), (60, 52, 58), (255, 222, 130), (240, 220, 190)


class Brush:
    """A pen with a place and a size: turns unit coordinates into pixels, and numbers the parts, from `part` on."""

    def __init__(self, pen: Pen, x: float, foot: float, size: float, part: int, *, flip: bool = False) -> None:
        self.pen, self.x, self.foot, self.size, self.part, self.side = pen, x, foot, size, part, -1 if flip else 1

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.x + self.side * x * self.size, self.foot - y * self.size

    def fill(self, path: skia.Path, rgb: Colour, glow: bool = False) -> None:
        self.pen.fill(path, rgb, subject=not glow, glow=glow)
        self.pen.marks.append((path, self.part))
        self.part += 1

    def poly(self, rgb: Colour, *points: tuple[float, float], glow: bool = False) -> None:
        """A straight-edged shape."""
        path = skia.Path()
        path.addPoly([skia.Point(*self.point(x, y)) for x, y in points], True)
        self.fill(path, rgb, glow)

    def smooth(self, rgb: Colour, points: Sequence[tuple[float, float]]) -> None:
        """A closed curve through the middles of a polygon's sides."""
        place = [self.point(x, y) for x, y in points]
        middle = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in zip(place, place[1:] + place[:1], strict=True)]
        path = skia.Path()
        path.moveTo(*middle[-1])
        for corner, end in zip(place, middle, strict=True):
            path.quadTo(*corner, *end)
        path.close()
        self.fill(path, rgb)

    def oval(self, rgb: Colour, x: float, y: float, width: float, height: float, glow: bool = False) -> None:
        """An ellipse around (x, y)."""
        left, top = self.point(x, y)
        path = skia.Path()
        w, h = width * self.size, height * self.size
        path.addOval(skia.Rect.MakeXYWH(left - w / 2, top - h / 2, w, h))
        self.fill(path, rgb, glow)

    def rect(self, rgb: Colour, x: float, y: float, width: float, height: float, glow: bool = False) -> None:
        """A box whose lower left corner is (x, y)."""
        self.poly(rgb, (x, y), (x + width, y), (x + width, y + height), (x, y + height), glow=glow)


def sailboat(b: Brush, c: Colour) -> None:
    b.rect((110, 76, 50), -0.03, 0.16, 0.04, 0.84)
    b.poly(c, (0.03, 0.97), (0.03, 0.25), (0.46, 0.25))
    b.poly(mix(c, WHITE, 0.3), (-0.05, 0.86), (-0.05, 0.25), (-0.36, 0.25))
    b.smooth(mix(c, DARK, 0.25), [(-0.52, 0.22), (0.54, 0.22), (0.5, 0.18), (0.36, -0.02), (-0.34, -0.02)])


def house(b: Brush, c: Colour) -> None:
    b.rect(c, -0.36, 0, 0.72, 0.5)
    b.rect((120, 84, 74), 0.14, 0.62, 0.12, 0.3)
    b.poly(mix(c, DARK, 0.45), (-0.47, 0.48), (0.47, 0.48), (0, 0.93))
    b.rect((104, 70, 48), -0.08, 0, 0.17, 0.3)
    b.rect(WINDOW, -0.29, 0.2, 0.14, 0.15, glow=True)
    b.rect(WINDOW, 0.16, 0.2, 0.14, 0.15, glow=True)


def lighthouse(b: Brush, c: Colour) -> None:
    b.poly(WHITE, (-0.17, 0), (0.17, 0), (0.11, 0.72), (-0.11, 0.72))
    for low, high in ((0.06, 0.2), (0.34, 0.48), (0.6, 0.72)):
        slope = 0.06 / 0.72
        b.poly(c, (-0.17 + slope * low, low), (0.17 - slope * low, low), (0.17 - slope * high, high), (-0.17 + slope * high, high))
    b.rect(DARK, -0.15, 0.71, 0.3, 0.04)
    b.rect(WINDOW, -0.08, 0.75, 0.16, 0.12, glow=True)
    b.poly(c, (-0.12, 0.87), (0.12, 0.87), (0, 1.0))


def castle(b: Brush, c: Colour) -> None:
    for x in (-0.48, 0.26):
        b.rect(mix(c, DARK, 0.12), x, 0, 0.22, 0.66)
        b.poly(mix(c, DARK, 0.5), (x - 0.03, 0.66), (x + 0.25, 0.66), (x + 0.11, 0.96))
    b.rect(c, -0.28, 0, 0.56, 0.44)
    for x in (-0.28, -0.07, 0.14):
        b.rect(c, x, 0.43, 0.14, 0.1)
    b.smooth((70, 48, 40), [(-0.11, -0.06), (0.11, -0.06), (0.13, 0.3), (-0.13, 0.3)])
    b.rect(WINDOW, -0.41, 0.38, 0.07, 0.13, glow=True)
    b.rect(WINDOW, 0.34, 0.38, 0.07, 0.13, glow=True)


def tree(b: Brush, c: Colour) -> None:
    b.poly((112, 76, 50), (-0.07, 0), (0.07, 0), (0.05, 0.5), (-0.05, 0.5))
    b.oval(mix(c, DARK, 0.18), -0.2, 0.55, 0.46, 0.42)
    b.oval(mix(c, DARK, 0.1), 0.2, 0.55, 0.46, 0.42)
    b.oval(c, 0, 0.74, 0.62, 0.52)


def flower(b: Brush, c: Colour) -> None:
    b.rect((62, 138, 66), -0.025, 0, 0.05, 0.56)
    b.smooth((74, 156, 78), [(0, 0.06), (0.3, 0.18), (0.3, 0.36), (0.05, 0.2)])
    b.smooth((74, 156, 78), [(0, 0.02), (-0.3, 0.12), (-0.3, 0.3), (-0.05, 0.16)])
    for x, y in ((0, 0.9), (0.2, 0.8), (0.2, 0.6), (0, 0.5), (-0.2, 0.6), (-0.2, 0.8)):
        b.oval(c, x, y, 0.26, 0.26)
    b.oval((250, 200, 60) if c[2] > 80 or c[0] < 200 else (130, 80, 40), 0, 0.7, 0.22, 0.22)


def mushroom(b: Brush, c: Colour) -> None:
    b.smooth((240, 228, 206), [(-0.16, -0.03), (0.16, -0.03), (0.1, 0.3), (0.14, 0.55), (-0.14, 0.55), (-0.1, 0.3)])
    b.smooth(c, [(-0.58, 0.44), (0.58, 0.44), (0.5, 0.8), (0.2, 1.04), (-0.2, 1.04), (-0.5, 0.8)])
    for x, y, size in ((-0.2, 0.66, 0.13), (0.06, 0.8, 0.15), (0.27, 0.6, 0.11)):
        b.oval(WHITE if sum(c) < 690 else (200, 90, 80), x, y, size, size * 0.9)


def cat(b: Brush, c: Colour) -> None:
    dark = mix(c, DARK, 0.25)
    b.smooth(dark, [(0.2, 0.02), (0.5, 0.06), (0.52, 0.5), (0.42, 0.5), (0.38, 0.2), (0.2, 0.16)])
    b.smooth(c, [(-0.3, -0.05), (0.3, -0.05), (0.28, 0.4), (0.1, 0.6), (-0.16, 0.6), (-0.28, 0.4)])
    b.poly(dark, (-0.3, 0.76), (-0.27, 1.0), (-0.08, 0.84))
    b.poly(dark, (0.22, 0.76), (0.19, 1.0), (0, 0.84))
    b.oval(c, -0.04, 0.68, 0.54, 0.42)
    eye = (250, 230, 90) if sum(c) < 420 else DARK
    b.oval(eye, -0.15, 0.7, 0.08, 0.1)
    b.oval(eye, 0.07, 0.7, 0.08, 0.1)
    b.oval((230, 120, 130), -0.04, 0.61, 0.06, 0.04)


def fish(b: Brush, c: Colour) -> None:
    b.poly(mix(c, DARK, 0.2), (0.22, 0.4), (0.52, 0.66), (0.46, 0.4), (0.52, 0.14))
    b.poly(mix(c, DARK, 0.2), (-0.12, 0.6), (0.14, 0.8), (0.16, 0.55))
    b.smooth(c, [(-0.56, 0.4), (-0.3, 0.72), (0.14, 0.66), (0.36, 0.4), (0.14, 0.14), (-0.3, 0.08)])
    b.smooth(mix(c, WHITE, 0.45), [(-0.06, 0.62), (0.04, 0.6), (0.08, 0.4), (0.04, 0.2), (-0.06, 0.18), (0.0, 0.4)])
    b.oval(WHITE, -0.3, 0.47, 0.13, 0.13)
    b.oval(DARK, -0.31, 0.47, 0.06, 0.06)


def car(b: Brush, c: Colour) -> None:
    b.smooth(mix(c, DARK, 0.1), [(-0.34, 0.3), (0.36, 0.3), (0.24, 0.64), (-0.2, 0.64)])
    b.poly((190, 224, 240), (-0.2, 0.34), (-0.02, 0.34), (-0.02, 0.53), (-0.12, 0.53))
    b.poly((190, 224, 240), (0.03, 0.34), (0.22, 0.34), (0.14, 0.53), (0.03, 0.53))
    b.smooth(c, [(-0.54, 0.1), (0.54, 0.1), (0.54, 0.3), (0.4, 0.38), (-0.4, 0.38), (-0.54, 0.32)])
    for x in (-0.28, 0.28):
        b.oval(DARK, x, 0.1, 0.24, 0.24)
        b.oval((200, 200, 205), x, 0.1, 0.1, 0.1)
    b.oval(WINDOW, -0.48, 0.25, 0.07, 0.07, glow=True)


def balloon(b: Brush, c: Colour) -> None:
    b.poly((150, 120, 90), (-0.09, 0.2), (-0.06, 0.2), (-0.14, 0.42), (-0.18, 0.42))
    b.poly((150, 120, 90), (0.09, 0.2), (0.06, 0.2), (0.14, 0.42), (0.18, 0.42))
    b.smooth(c, [(-0.16, 0.3), (0.16, 0.3), (0.44, 0.6), (0.38, 1.02), (-0.38, 1.02), (-0.44, 0.6)])
    b.smooth(mix(c, WHITE, 0.5), [(-0.06, 0.32), (0.06, 0.32), (0.16, 0.65), (0.1, 0.98), (-0.1, 0.98), (-0.16, 0.65)])
    b.rect((140, 92, 56), -0.11, 0.06, 0.22, 0.16)


def rocket(b: Brush, c: Colour) -> None:
    b.smooth((255, 170, 50), [(-0.12, 0.2), (0.12, 0.2), (0.06, 0.02), (0, -0.08), (-0.06, 0.02)])
    b.poly(mix(c, DARK, 0.3), (-0.16, 0.44), (-0.34, 0.14), (-0.12, 0.2))
    b.poly(mix(c, DARK, 0.3), (0.16, 0.44), (0.34, 0.14), (0.12, 0.2))
    b.smooth(c, [(-0.2, 0.14), (0.2, 0.14), (0.22, 0.6), (0.1, 0.92), (0, 1.06), (-0.1, 0.92), (-0.22, 0.6)])
    b.oval(WHITE, 0, 0.62, 0.2, 0.2)
    b.oval((110, 190, 230), 0, 0.62, 0.13, 0.13)


def rabbit(b: Brush, c: Colour) -> None:
    for x in (-0.14, 0.06):
        b.oval(c, x, 0.84, 0.13, 0.36)
        b.oval((240, 180, 190), x, 0.84, 0.06, 0.24)
    b.oval(WHITE, 0.3, 0.14, 0.16, 0.16)
    b.oval(c, 0.02, 0.22, 0.6, 0.46)
    b.oval(c, -0.04, 0.55, 0.44, 0.36)
    b.oval(DARK, -0.14, 0.58, 0.06, 0.07)
    b.oval(DARK, 0.06, 0.58, 0.06, 0.07)
    b.oval((230, 120, 130), -0.04, 0.5, 0.06, 0.04)


def bird(b: Brush, c: Colour) -> None:
    b.poly(mix(c, DARK, 0.3), (0.2, 0.4), (0.54, 0.5), (0.52, 0.3))
    b.smooth(c, [(-0.5, 0.56), (-0.3, 0.72), (0.1, 0.56), (0.42, 0.4), (0.1, 0.16), (-0.3, 0.24)])
    b.smooth(mix(c, DARK, 0.2), [(-0.14, 0.5), (0.2, 0.5), (0.34, 0.98), (0.1, 0.86)])
    b.poly((248, 176, 48), (-0.44, 0.56), (-0.6, 0.5), (-0.42, 0.46))
    b.oval(DARK, -0.31, 0.56, 0.06, 0.06)


def duck(b: Brush, c: Colour) -> None:
    b.poly(mix(c, DARK, 0.2), (0.3, 0.3), (0.54, 0.46), (0.4, 0.16))
    b.smooth(c, [(-0.4, 0.06), (0.36, 0.06), (0.5, 0.3), (0.2, 0.42), (-0.2, 0.36), (-0.44, 0.3)])
    b.oval(c, -0.24, 0.56, 0.32, 0.32)
    b.poly((246, 150, 40), (-0.36, 0.58), (-0.58, 0.52), (-0.36, 0.48))
    b.smooth(mix(c, DARK, 0.18), [(-0.14, 0.28), (0.26, 0.32), (0.2, 0.14), (-0.1, 0.14)])
    b.oval(DARK, -0.28, 0.6, 0.05, 0.05)


def whale(b: Brush, c: Colour) -> None:
    b.poly(mix(c, DARK, 0.1), (0.3, 0.24), (0.5, 0.62), (0.42, 0.4), (0.56, 0.5), (0.46, 0.2))
    b.smooth(c, [(-0.56, 0.0), (0.44, 0.0), (0.5, 0.24), (0.1, 0.52), (-0.34, 0.56), (-0.58, 0.34)])
    b.smooth(mix(c, WHITE, 0.6), [(-0.54, 0.0), (0.2, 0.0), (0.0, 0.12), (-0.5, 0.14)])
    b.oval(DARK, -0.34, 0.28, 0.05, 0.05)
    b.smooth((190, 226, 244), [(-0.22, 0.56), (-0.16, 0.56), (-0.06, 0.86), (-0.2, 0.74), (-0.32, 0.86)])


def windmill(b: Brush, c: Colour) -> None:
    b.poly(c, (-0.2, 0), (0.2, 0), (0.13, 0.6), (-0.13, 0.6))
    b.poly(mix(c, DARK, 0.45), (-0.17, 0.58), (0.17, 0.58), (0, 0.76))
    b.rect((104, 70, 48), -0.06, 0, 0.12, 0.2)
    for dx, dy in ((0.34, 0.3), (-0.3, 0.34), (-0.34, -0.3), (0.3, -0.34)):
        b.poly(WHITE, (0, 0.62), (dx, 0.62 + dy), (dx - dy * 0.3, 0.62 + dy + dx * 0.3), (-dy * 0.1, 0.62 + dx * 0.1))


def umbrella(b: Brush, c: Colour) -> None:
    b.rect((120, 84, 60), -0.02, 0, 0.04, 0.9)
    b.smooth(c, [(-0.6, 0.5), (0.6, 0.5), (0.5, 0.84), (0.16, 1.02), (-0.16, 1.02), (-0.5, 0.84)])
    b.smooth(mix(c, WHITE, 0.55), [(-0.16, 0.52), (0.16, 0.52), (0.12, 0.8), (0, 1.0), (-0.12, 0.8)])


def tent(b: Brush, c: Colour) -> None:
    b.poly(mix(c, DARK, 0.3), (0.0, 0.8), (0.52, 0), (0.1, 0))
    b.poly(c, (0.0, 0.8), (0.16, 0), (-0.5, 0))
    b.poly(DARK, (-0.06, 0.5), (0.06, 0), (-0.24, 0))


DRAW: dict[str, Callable[[Brush, Colour], None]] = {
    shape.__name__: shape
    for shape in (
        sailboat, house, lighthouse, castle, tree, flower, mushroom, cat, fish, car, balloon, rocket,
        rabbit, bird, duck, whale, windmill, umbrella, tent,
    )
}  # fmt: skip


def _numbers() -> dict[str, range]:
    """The numbers of each subject's parts, by drawing each once on nothing. 0 is no subject."""
    numbers, at = {}, 1
    for name, draw in DRAW.items():
        brush = Brush(Pen(skia.Surface(1, 1).getCanvas(), random.Random(0), (1, 1, 1), night=False), 0, 0, 1, at)
        draw(brush, WHITE)
        numbers[name], at = range(at, brush.part), brush.part
    return numbers


PARTS = _numbers()
"""Subject -> the numbers of its parts, in the order in which they are drawn: hull, sails, ..."""
