"""A scene: everything that decides a picture, drawn from a seed."""

from __future__ import annotations

import random
from typing import NamedTuple

from .world import BACKGROUNDS, COLOURS, SUBJECTS, TIMES, WORLDS, held_out


class Scene(NamedTuple):
    """What the picture shows."""

    seed: int
    subject: str
    colour: str
    count: int
    background: str
    time: str
    weather: str
    style: str


def draw_scene(seed: int, world: str = "small", *, fresh: bool | None = False) -> Scene:
    """The scene of a seed. `fresh` asks for held-out combinations only (`True`), trained ones only (`False`), or any (`None`)."""
    chance, limits = random.Random(seed), WORLDS[world]
    while True:
        subject = chance.choice(limits.subjects)
        colour = chance.choice(tuple(COLOURS))
        background = chance.choice(SUBJECTS[subject])
        if fresh is None or held_out(subject, colour, background) == fresh:
            break
    count = chance.choices((1, 2, 3), limits.counts)[0]
    weather = chance.choices(limits.weathers, [0.5] + [0.5 / (len(limits.weathers) - 1)] * (len(limits.weathers) - 1))[0]
    return Scene(seed, subject, colour, count, background, chance.choice(TIMES), weather, chance.choice(limits.styles))


def labels(scene: Scene, world: str = "small") -> tuple[int, ...]:
    """Class numbers of subject, colour, count, background, time, weather, style."""
    limits = WORLDS[world]
    return (
        limits.subjects.index(scene.subject),
        tuple(COLOURS).index(scene.colour),
        scene.count - 1,
        BACKGROUNDS.index(scene.background),
        TIMES.index(scene.time),
        limits.weathers.index(scene.weather),
        limits.styles.index(scene.style),
    )
