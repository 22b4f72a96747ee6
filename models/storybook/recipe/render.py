"""A scene becomes a picture: sky, ground, subject, weather, and the style's finish. (256, 256, 3) uint8."""

from __future__ import annotations

import itertools
import random

import cv2
import numpy as np
import skia

from .pens import PENS, Colour, Pen, Picture, mix
from .scene import Scene
from .subjects import DRAW, PARTS, Brush
from .world import COLOURS

SIZE = 256

SKY: dict[str, tuple[Colour, Colour]] = {
    # time -> colour at the top and at the horizon
    "day": ((86, 164, 232), (206, 232, 246)),
    "sunset": ((112, 62, 132), (252, 146, 74)),
    "night": ((12, 16, 46), (46, 56, 110)),
    "dawn": ((134, 152, 216), (252, 204, 206)),
}
LIGHT: dict[str, Colour] = {
    "day": (1, 1, 1),
    "sunset": (1.02, 0.76, 0.66),
    "night": (0.34, 0.4, 0.66),
    "dawn": (0.98, 0.88, 0.94),
}
AFLOAT = {"sailboat", "duck", "whale"}
"""On the water, where there is water."""
ALOFT = {"balloon", "rocket", "bird"}
"""In the air, wherever they are."""


def box(left: float, top: float, right: float, bottom: float) -> skia.Path:
    path = skia.Path()
    path.addRect(skia.Rect(left, top, right, bottom))
    return path


def disc(x: float, y: float, radius: float) -> skia.Path:
    path = skia.Path()
    path.addCircle(x, y, radius)
    return path


def hill(points: list[tuple[float, float]], *, sharp: bool = False) -> skia.Path:
    """Everything below a line through the points, to the picture's foot."""
    path = skia.Path()
    path.moveTo(-8, SIZE + 8)
    path.lineTo(*points[0])
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if sharp:
            path.lineTo(x1, y1)
        else:
            path.cubicTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1)
    path.lineTo(SIZE + 8, SIZE + 8)
    path.close()
    return path


def line(chance: random.Random, height: float, swing: float, parts: int) -> list[tuple[float, float]]:
    """A wandering line across the picture."""
    return [(-8 + k * (SIZE + 16) / parts, height + chance.uniform(-swing, swing)) for k in range(parts + 1)]


def sky(pen: Pen, scene: Scene, chance: random.Random, horizon: float) -> None:
    top, low = SKY[scene.time]
    if scene.weather != "clear":
        grey = {"snow": (206, 214, 226), "rain": (112, 122, 138), "fog": (214, 216, 218)}[scene.weather]
        tint: Colour = tuple(g * l for g, l in zip(grey, LIGHT[scene.time], strict=True))  # type: ignore[assignment]  # noqa: E741
        top, low = mix(top, tint, 0.45), mix(low, tint, 0.45)
    pen.wash(box(-8, -8, SIZE + 8, horizon + 12), top, low)
    if scene.weather == "clear":
        heaven(pen, scene, chance, horizon)
    else:
        clouds(pen, scene, chance, horizon, chance.randint(2, 3))


def heaven(pen: Pen, scene: Scene, chance: random.Random, horizon: float) -> None:
    x = chance.choice((chance.uniform(30, 80), chance.uniform(176, 226)))
    if scene.time == "night":
        for _ in range(chance.randint(14, 24)):
            pen.fill(disc(chance.uniform(4, 252), chance.uniform(4, horizon * 0.8), chance.uniform(0.8, 1.7)), (250, 248, 220), glow=True)
        pen.fill(disc(x, chance.uniform(30, 60), 15), (246, 240, 208), glow=True)
        return
    low = scene.time != "day"
    y = horizon - chance.uniform(6, 26) if low else chance.uniform(28, 60)
    pen.fill(disc(x, y, 22 if low else 17), (255, 214, 120) if low else (255, 232, 130), glow=True)
    clouds(pen, scene, chance, horizon, chance.randint(0, 2))


def clouds(pen: Pen, scene: Scene, chance: random.Random, horizon: float, count: int) -> None:
    colour = mix((250, 250, 252), SKY[scene.time][1], 0.35)
    if scene.time == "night":
        colour = (92, 100, 140)
    for _ in range(count):
        x, y, width = chance.uniform(20, 236), chance.uniform(18, horizon * 0.55), chance.uniform(36, 64)
        cloud = skia.Path()
        for dx, radius in ((-0.3, 0.2), (0, 0.3), (0.3, 0.22)):
            cloud.addCircle(x + dx * width, y - (0.1 * width if not dx else 0), radius * width)
        cloud.addRoundRect(skia.Rect(x - width * 0.5, y, x + width * 0.52, y + width * 0.2), 6, 6)
        whole = skia.Simplify(cloud)
        pen.fill(whole if whole is not None else cloud, colour, glow=True)


def ground(pen: Pen, scene: Scene, chance: random.Random, horizon: float) -> None:
    """What is below and behind the subject."""
    snowy = scene.weather == "snow"
    whiten = 0.72 if snowy else 0.0
    snow: Colour = (240, 244, 250)

    def land(rgb: Colour) -> Colour:
        return mix(rgb, snow, whiten)

    match scene.background:
        case "sea":
            for k, shade in enumerate(((38, 108, 168), (30, 94, 152), (24, 80, 136), (18, 66, 120))):
                y = horizon + k * (SIZE - horizon) / 4
                pen.fill(hill(line(chance, y, 2.5 if k else 0, 8)), shade)
            for _ in range(6):
                x, y = chance.uniform(0, 230), chance.uniform(horizon + 10, 250)
                pen.fill(box(x, y, x + chance.uniform(14, 34), y + 2), (150, 200, 226))
        case "beach":
            pen.fill(box(-8, horizon, SIZE + 8, SIZE + 8), (44, 132, 184))
            pen.fill(hill(line(chance, horizon + 26, 4, 4)), (220, 238, 240))
            pen.fill(hill(line(chance, horizon + 32, 4, 4)), land((238, 212, 158)))
        case "meadow":
            pen.fill(hill(line(chance, horizon - 12, 12, 3)), land((126, 182, 98)))
            pen.fill(hill(line(chance, horizon + 8, 8, 3)), land((98, 168, 78)))
            for _ in range(14):
                pen.fill(
                    disc(chance.uniform(4, 252), chance.uniform(horizon + 22, 252), 2.2),
                    chance.choice(((250, 240, 200), (248, 200, 90), (240, 160, 190))),
                )
        case "mountains":
            peaks = [
                (-8 + k * 54 + chance.uniform(-10, 10), horizon - (chance.uniform(52, 92) if k % 2 else chance.uniform(6, 26)))
                for k in range(6)
            ]
            pen.fill(hill([*peaks, (SIZE + 8, horizon)], sharp=True), (112, 122, 152))
            for x, y in peaks[1::2]:
                cap = skia.Path()
                cap.addPoly(
                    [
                        skia.Point(x, y),
                        skia.Point(x + 15, y + 25),
                        skia.Point(x + 4, y + 19),
                        skia.Point(x - 5, y + 26),
                        skia.Point(x - 15, y + 24),
                    ],
                    True,
                )
                pen.fill(cap, (244, 246, 252))
            pen.fill(hill(line(chance, horizon + 4, 6, 3)), land((104, 142, 96)))
        case "desert":
            pen.fill(hill(line(chance, horizon - 8, 14, 3)), land((232, 186, 112)))
            pen.fill(hill(line(chance, horizon + 16, 10, 2)), land((220, 166, 92)))
            x, foot = chance.choice((chance.uniform(16, 50), chance.uniform(206, 240))), horizon + 20
            for left, top, right, low in ((-5, -46, 5, 0), (-17, -32, -10, -14), (-17, -19, 0, -13), (10, -38, 17, -20), (0, -26, 17, -20)):
                pen.fill(box(x + left, foot + top, x + right, foot + low), (78, 132, 82))
        case "forest":
            for row, (shade, count) in enumerate((((74, 118, 86), 9), ((52, 98, 70), 7))):
                foot = horizon + 4 + row * 8
                for k in range(count):
                    x, tall = (k + chance.uniform(0.2, 0.8)) * SIZE / count, chance.uniform(64, 104) - row * 6
                    fir = skia.Path()
                    fir.addPoly([skia.Point(x, foot - tall), skia.Point(x + 21, foot + 6), skia.Point(x - 21, foot + 6)], True)
                    pen.fill(fir, mix(shade, snow, whiten * 0.6))
            pen.fill(hill(line(chance, horizon + 8, 5, 3)), land((84, 120, 66)))
        case "city":
            x = -6.0
            while x < SIZE:
                width, tall = chance.uniform(26, 46), chance.uniform(44, 112)
                pen.fill(
                    box(x, horizon + 10 - tall, x + width, horizon + 14), chance.choice(((126, 132, 152), (146, 140, 150), (108, 118, 142)))
                )
                for wx in np.arange(x + 6, x + width - 8, 11):
                    for wy in np.arange(horizon + 16 - tall, horizon - 6, 15):
                        if chance.random() < 0.6:
                            lamp = scene.time in ("night", "sunset")
                            pen.fill(box(wx, wy, wx + 5, wy + 7), (255, 220, 120) if lamp else (186, 208, 224), glow=lamp)
                x += width + 2
            pen.fill(box(-8, horizon + 10, SIZE + 8, SIZE + 8), land((118, 118, 126)))
            pen.fill(box(-8, horizon + 58, SIZE + 8, horizon + 62), (226, 222, 200))
        case "sky":
            clouds(pen, scene, chance, 280, 3)


def subjects(pen: Pen, scene: Scene, chance: random.Random, horizon: float) -> None:
    things = [(scene.subject, scene.colour)] * scene.count
    if scene.second:
        things = [(scene.subject, scene.colour), (scene.second, scene.second_colour)]
        chance.shuffle(things)
    low, high = {1: (0.5, 0.62), 2: (0.38, 0.44), 3: (0.28, 0.32)}[len(things)]
    middles = {1: [chance.uniform(104, 152)], 2: [72, 184], 3: [50, 128, 206]}[len(things)]
    for middle, (subject, colour) in zip(middles, things, strict=True):
        size = chance.uniform(low, high) * SIZE
        if scene.background == "sky" or subject in ALOFT:
            foot = min(SIZE - 12, chance.uniform(0.44, 0.56) * SIZE + size / 2)
        elif scene.background == "sea" and subject == "fish":
            foot = chance.uniform(horizon + size * 0.55, SIZE + size * 0.08) - 6
        elif subject in AFLOAT:
            foot = max(horizon + 38, size + 14) + chance.uniform(0, 16)
        else:
            foot = chance.uniform(max(horizon + 30, size + 12), 236)
        if subject == "lighthouse" and scene.background == "sea":
            rock = [(-0.5, SIZE + 8), (-0.26, foot - 4), (0.26, foot - 4), (0.5, SIZE + 8)]
            pen.fill(hill([(middle + x * size, y) for x, y in rock]), (104, 98, 100))
        brush = Brush(pen, middle + chance.uniform(-6, 6), foot, size, PARTS[subject].start, flip=chance.random() < 0.5)
        DRAW[subject](brush, COLOURS[colour])


def haze(picture: Picture, scene: Scene, depth: np.ndarray) -> Picture:
    """Mix each row with fog; `depth` is its share per row, (256,) in [0, 1]."""
    fog = np.array(LIGHT[scene.time]) * 226 * (0.9 if scene.style != "neon" else 0.5)
    return np.clip(picture * (1 - depth[:, None, None]) + fog * depth[:, None, None], 0, 255).astype(np.uint8)


def weather(picture: Picture, scene: Scene, chance: random.Random, horizon: float) -> Picture:
    """Flakes, streaks or haze over the whole picture."""
    if scene.weather == "clear":
        return picture
    page = picture.astype(np.float32)
    if scene.weather == "fog":
        return haze(picture, scene, np.full(SIZE, 0.16))
    cover = np.zeros((SIZE, SIZE), np.uint8)
    for _ in range(80 if scene.weather == "snow" else 60):
        x, y = chance.randrange(SIZE), chance.randrange(SIZE)
        if scene.weather == "snow":
            cv2.circle(cover, (x, y), chance.choice((2, 2, 3)), 235, -1, cv2.LINE_AA)
        else:
            cv2.line(cover, (x, y), (x - 6, y + 20), 150, 2, cv2.LINE_AA)
    share = cover.astype(np.float32)[..., None] / 255
    return np.clip(page * (1 - share) + 250 * share, 0, 255).astype(np.uint8)


def render(scene: Scene) -> Picture:
    """The picture of a scene; the same scene gives the same picture."""
    return render_marked(scene)[0]


def render_marked(scene: Scene) -> tuple[Picture, np.ndarray]:
    """The picture, and what of its subjects is where: (256, 256) uint8, the numbers of `subjects.PARTS`, 0 for none."""
    chance = random.Random(scene.seed ^ 0x5CE7E)
    page = np.zeros((SIZE, SIZE, 4), np.uint8)
    surface = skia.Surface(page, colorType=skia.kRGBA_8888_ColorType)
    canvas = surface.getCanvas()
    light = mix(LIGHT[scene.time], (0.86, 0.88, 0.92), 0.3) if scene.weather != "clear" else LIGHT[scene.time]
    pen = PENS[scene.style](canvas, chance, light, night=scene.time == "night")
    horizon = 300.0 if scene.background == "sky" else chance.uniform(134, 164)
    canvas.clear(skia.ColorBLACK if scene.style == "neon" else skia.ColorWHITE)
    sky(pen, scene, chance, min(horizon, 256))
    ground(pen, scene, chance, horizon)
    surface.flushAndSubmit()
    if scene.weather == "fog":  # most of it behind the subject, which must stay visible
        behind = np.exp(-((np.arange(SIZE) - min(horizon, 150)) ** 2) / (2 * 62.0**2)) * 0.7
        page[..., :3] = haze(page[..., :3], scene, behind)
    subjects(pen, scene, chance, horizon)
    surface.flushAndSubmit()
    picture = np.ascontiguousarray(page[..., :3])
    return pen.finish(weather(picture, scene, chance, horizon)), seen(pen.marks)


def seen(marks: list[tuple[skia.Path, int]]) -> np.ndarray:
    """(256, 256) uint8: the number of the part that is seen at each pixel, 0 where there is none."""
    page = np.zeros((SIZE, SIZE), np.uint8)
    surface = skia.Surface(page, colorType=skia.kGray_8_ColorType)
    for path, number in marks:
        surface.getCanvas().drawPath(path, skia.Paint(AntiAlias=False, Color=skia.Color(number, number, number)))
    surface.flushAndSubmit()
    return page
