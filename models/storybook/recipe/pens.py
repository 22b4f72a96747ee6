"""How a style puts a shape on paper. A pen has one method, `fill`; each style is one pen and one finish over the whole picture."""

from __future__ import annotations

import random

import cv2
import numpy as np
import skia

Colour = tuple[float, float, float]
Picture = np.ndarray
"""(256, 256, 3) uint8."""


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` moved towards `b` by `share`."""
    return tuple(x + (y - x) * share for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def skia_colour(rgb: Colour, alpha: float = 1.0) -> int:
    """Colour number for skia; clips."""
    red, green, blue = (max(0, min(255, round(x))) for x in rgb)
    return skia.Color(red, green, blue, round(255 * alpha))


class Pen:
    """Solid shapes with a soft gradient: the flat style, and the base of the others."""

    def __init__(self, canvas: skia.Canvas, chance: random.Random, light: Colour, *, night: bool) -> None:
        self.canvas = canvas
        self.chance = chance
        self.light = light
        """Multiplies every colour: the time of day."""
        self.night = night
        self.marks: list[tuple[skia.Path, int]] = []
        """Each part of a subject, and its number: the picture's own labels, for nothing."""

    def lit(self, rgb: Colour, share: float) -> Colour:
        """The colour under the scene's light; `share` 1 for the background, less for the subject, whose colour must stay readable."""
        return tuple(x * (1 + (tint - 1) * share) for x, tint in zip(rgb, self.light, strict=True))  # type: ignore[return-value]

    def fill(self, path: skia.Path, rgb: Colour, *, subject: bool = False, glow: bool = False) -> None:
        """Fill a shape. `glow` is for what shines by itself: windows, the sun, stars."""
        colour = rgb if glow else self.lit(rgb, 0.4 if subject else 1.0)
        self.put(path, colour, subject=subject)

    def put(self, path: skia.Path, colour: Colour, *, subject: bool) -> None:
        box = path.getBounds()
        shades = [skia_colour(mix(colour, (255, 255, 255), 0.10)), skia_colour(mix(colour, (0, 0, 0), 0.10))]
        shader = skia.GradientShader.MakeLinear([skia.Point(box.left(), box.top()), skia.Point(box.left(), box.bottom())], shades)
        self.canvas.drawPath(path, skia.Paint(AntiAlias=True, Shader=shader))

    def wash(self, path: skia.Path, top: Colour, low: Colour) -> None:
        """Fill a shape with a gradient from its top to its foot, without an outline: the sky."""
        box = path.getBounds()
        ends = [skia.Point(box.left(), box.top()), skia.Point(box.left(), box.bottom())]
        shader = skia.GradientShader.MakeLinear(ends, [skia_colour(self.tone(top)), skia_colour(self.tone(low))])
        self.canvas.drawPath(path, skia.Paint(AntiAlias=True, Shader=shader))

    def tone(self, rgb: Colour) -> Colour:
        """The style's own version of a colour in a wash."""
        return rgb

    def finish(self, picture: Picture) -> Picture:
        return picture


class Watercolor(Pen):
    """Wobbly translucent washes with a darker rim, on paper with a ragged white border."""

    def tone(self, rgb: Colour) -> Colour:
        return mix(rgb, (255, 255, 255), 0.2)

    def put(self, path: skia.Path, colour: Colour, *, subject: bool) -> None:
        colour = mix(colour, (255, 255, 255), 0.12)
        wobble = skia.DiscretePathEffect.Make(9, 1.8, self.chance.randrange(1 << 16))
        box = path.getBounds()
        shades = [skia_colour(mix(colour, (255, 255, 255), 0.22), 0.9), skia_colour(mix(colour, (0, 0, 0), 0.06), 0.9)]
        shader = skia.GradientShader.MakeLinear([skia.Point(box.left(), box.top()), skia.Point(box.right(), box.bottom())], shades)
        self.canvas.drawPath(path, skia.Paint(AntiAlias=True, Shader=shader, PathEffect=wobble))
        rim = skia.Paint(AntiAlias=True, Style=skia.Paint.kStroke_Style, StrokeWidth=1.6, PathEffect=wobble)
        rim.setColor(skia_colour(mix(colour, (0, 0, 0), 0.4), 0.35))
        self.canvas.drawPath(path, rim)

    def finish(self, picture: Picture) -> Picture:
        noise = np.random.default_rng(self.chance.randrange(1 << 30))
        wash = cv2.resize(noise.normal(0, 1, (12, 12)).astype(np.float32), (256, 256), interpolation=cv2.INTER_CUBIC)
        page = picture.astype(np.float32) * (1 + 0.05 * wash)[..., None]
        edge = np.minimum.reduce(
            np.meshgrid(np.minimum(np.arange(256), np.arange(256)[::-1]), np.minimum(np.arange(256), np.arange(256)[::-1]))
        )
        ragged = cv2.resize(noise.normal(0, 3, (20, 20)).astype(np.float32), (256, 256), interpolation=cv2.INTER_CUBIC)
        inside = np.clip((edge + ragged - 8) / 5, 0, 1)[..., None]
        return np.clip(page * inside + np.array([250, 247, 240]) * (1 - inside), 0, 255).astype(np.uint8)


class Neon(Pen):
    """Dark shapes with bright outlines that glow."""

    def tone(self, rgb: Colour) -> Colour:
        return mix(rgb, (14, 8, 34), 0.74)

    def put(self, path: skia.Path, colour: Colour, *, subject: bool) -> None:
        self.canvas.drawPath(path, skia.Paint(AntiAlias=True, Color=skia_colour(mix(colour, (14, 8, 34), 0.86 if not subject else 0.7))))
        peak = max(colour) or 1
        vivid = tuple(255 * (x / peak) ** 1.4 for x in colour)
        if subject:
            vivid = mix(vivid, colour, 0.3)  # type: ignore[arg-type]
        line = skia.Paint(AntiAlias=True, Style=skia.Paint.kStroke_Style, StrokeWidth=3.4 if subject else 2.0)
        line.setColor(skia_colour(vivid, 1.0 if subject else 0.6))  # type: ignore[arg-type]
        self.canvas.drawPath(path, line)

    def finish(self, picture: Picture) -> Picture:
        light = picture.astype(np.float32)
        glow = cv2.GaussianBlur(light, (0, 0), 4) * 0.5 + cv2.GaussianBlur(light, (0, 0), 14) * 0.5
        return np.clip(light + glow * 0.75, 0, 255).astype(np.uint8)


class Pastel(Pen):
    """Chalk: pale, soft, a little grainy."""

    def tone(self, rgb: Colour) -> Colour:
        return mix(mix(rgb, (sum(rgb) / 3,) * 3, 0.2), (255, 248, 240), 0.36)

    def put(self, path: skia.Path, colour: Colour, *, subject: bool) -> None:
        super().put(path, self.tone(colour), subject=subject)

    def finish(self, picture: Picture) -> Picture:
        noise = np.random.default_rng(self.chance.randrange(1 << 30))
        grain = cv2.GaussianBlur(noise.normal(0, 9, (256, 256)).astype(np.float32), (0, 0), 1.2)
        return np.clip(cv2.GaussianBlur(picture, (0, 0), 1.1).astype(np.float32) + grain[..., None], 0, 255).astype(np.uint8)


class Ink(Pen):
    """Black lines on paper; only the subject has its colour."""

    def tone(self, rgb: Colour) -> Colour:
        return mix((246, 240, 226), (sum(rgb) / 3,) * 3, 0.28)

    def put(self, path: skia.Path, colour: Colour, *, subject: bool) -> None:
        self.canvas.drawPath(path, skia.Paint(AntiAlias=True, Color=skia_colour(colour if subject else self.tone(colour))))
        line = skia.Paint(
            AntiAlias=True, Style=skia.Paint.kStroke_Style, StrokeWidth=2.6 if subject else 1.8, Color=skia_colour((28, 26, 30))
        )
        line.setPathEffect(skia.DiscretePathEffect.Make(11, 1.2, self.chance.randrange(1 << 16)))
        self.canvas.drawPath(path, line)


class Pixel(Pen):
    """Sixty-four pixels a side and twelve levels of each colour."""

    def finish(self, picture: Picture) -> Picture:
        small = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)
        small = (np.round(small / 255 * 11) / 11 * 255).astype(np.uint8)
        return cv2.resize(small, (256, 256), interpolation=cv2.INTER_NEAREST)


PENS: dict[str, type[Pen]] = {"flat": Pen, "watercolor": Watercolor, "neon": Neon, "pastel": Pastel, "ink": Ink, "pixel": Pixel}
