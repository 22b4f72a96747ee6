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
    second: str = ""
    """Another subject beside the first, if any; there is one of each then."""
    second_colour: str = ""


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
    scene = Scene(seed, subject, colour, count, background, chance.choice(TIMES), weather, chance.choice(limits.styles))
    if limits.pairs and chance.random() < limits.pairs:
        others = [other for other in limits.subjects if other != subject and background in SUBJECTS[other]]
        pairs = [(other, tone) for other in others for tone in COLOURS if fresh or not held_out(other, tone, background)]
        if pairs:
            second, tone = chance.choice(pairs)
            return scene._replace(count=1, second=second, second_colour=tone)
    return scene


def label_sizes(world: str) -> dict[str, int]:
    """What the labels are called, and how many classes each has."""
    limits = WORLDS[world]
    sizes = {
        "subject": len(limits.subjects), "colour": len(COLOURS), "count": 3, "background": len(BACKGROUNDS),
        "time": len(TIMES), "weather": len(limits.weathers), "style": len(limits.styles),
    }  # fmt: skip
    return sizes | {"second": len(limits.subjects) + 1, "second colour": len(COLOURS) + 1} if limits.pairs else sizes


def labels(scene: Scene, world: str = "small") -> tuple[int, ...]:
    """Class numbers, in the order of `label_sizes`; 0 stands for no second subject."""
    limits = WORLDS[world]
    first = (
        limits.subjects.index(scene.subject),
        tuple(COLOURS).index(scene.colour),
        scene.count - 1,
        BACKGROUNDS.index(scene.background),
        TIMES.index(scene.time),
        limits.weathers.index(scene.weather),
        limits.styles.index(scene.style),
    )
    if not limits.pairs:
        return first
    return (*first, ("", *limits.subjects).index(scene.second), ("", *COLOURS).index(scene.second_colour))
