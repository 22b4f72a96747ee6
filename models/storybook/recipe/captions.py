"""Captions of a scene: many templates, synonyms, attributes left out, order shuffled, filler words that then mean nothing."""

from __future__ import annotations

import random
from collections.abc import Collection

from .scene import Scene

NOUNS = {
    "sailboat": ("sailboat", "sailing boat", "boat"),
    "house": ("house", "cottage", "home"),
    "castle": ("castle", "fortress"),
    "cat": ("cat", "kitten"),
    "balloon": ("balloon", "hot air balloon"),
    "rocket": ("rocket", "spaceship"),
    "rabbit": ("rabbit", "bunny"),
}
PLURALS = {"fish": "fish", "house": "houses", "home": "homes", "fortress": "fortresses"}
PLACES = {
    "sea": ("on the sea", "on a calm sea", "in the ocean", "at sea"),
    "beach": ("on the beach", "at the beach", "on a sandy beach"),
    "meadow": ("in a meadow", "in a green field", "on the grass"),
    "mountains": ("in the mountains", "in front of mountains", "near the mountains"),
    "desert": ("in the desert", "in a sandy desert"),
    "forest": ("in the forest", "in the woods", "in front of a forest"),
    "city": ("in the city", "in a town", "in front of a city"),
    "sky": ("in the sky", "high in the sky", "in the air"),
}
TIMES = {
    "day": ("by day", "in the daytime", "at noon", "on a bright day"),
    "sunset": ("at sunset", "in the evening", "under a sunset sky"),
    "night": ("at night", "under the stars", "in the moonlight"),
    "dawn": ("at dawn", "at sunrise", "early in the morning"),
}
WEATHERS = {
    "clear": ("", "in clear weather", "on a clear day", "under a clear sky"),
    "snow": ("in the snow", "on a snowy day", "while it snows"),
    "rain": ("in the rain", "on a rainy day"),
    "fog": ("in the fog", "in fog", "on a foggy day"),
}
STYLES = {
    "flat": ("flat", "flat illustration", "simple vector"),
    "watercolor": ("watercolor", "watercolour painting"),
    "neon": ("neon", "glowing neon"),
    "pastel": ("pastel", "soft pastel", "chalk drawing"),
    "ink": ("ink", "ink drawing"),
    "pixel": ("pixel art", "pixel"),
}
NUMBERS = {2: ("two", "2", "a pair of"), 3: ("three", "3")}
FILLERS = ("a picture of", "a painting of", "an image of", "beautiful", "cute", "a lovely")
ENDINGS = ("highly detailed", "beautiful", "masterpiece", "high quality")


def thing(subject: str, colour: str, count: int, chance: random.Random) -> str:
    """One to three of a subject, in words."""
    noun = chance.choice(NOUNS.get(subject, (subject,)))
    if count > 1:
        return f"{chance.choice(NUMBERS[count])} {colour} {PLURALS.get(noun, noun + 's')}"
    article = "" if chance.random() < 0.15 else "an" if (colour or noun)[0] in "aeiou" else "a"
    return f"{article} {colour} {noun}"


DROPPED = {"colour": 0.08, "background": 0.1, "time": 0.1, "weather": 0.4, "style": 0.08}
"""How often a caption leaves a thing out. Guidance raises to a power whatever leaning there is in what goes without saying: if weather is
left out mostly where it is clear, all pictures of which nothing is said of it are clear, and no negative prompt changes that."""
ASIDE = 0.1
"""How often a caption says a thing or two and names no subject, as negative prompts do: a text that was never met is not obeyed."""


def aside(scene: Scene, chance: random.Random) -> str:
    """One or two things that the scene shows, but not its subject."""
    said = [scene.colour, PLACES[scene.background], TIMES[scene.time], WEATHERS[scene.weather], STYLES[scene.style]]
    words = [word if isinstance(word, str) else chance.choice([one for one in word if one]) for word in said]
    return ", ".join(chance.sample(words, chance.choice((1, 2))))


def caption(scene: Scene, chance: random.Random, without: Collection[str] | None = None) -> str:
    """One of the many ways to say what the scene shows. `without` names what is left out, among `DROPPED`; by chance if it is None."""
    if without is None:
        if chance.random() < ASIDE:
            return aside(scene, chance)
        without = {name for name, share in DROPPED.items() if chance.random() < share}
    text = thing(scene.subject, "" if "colour" in without else scene.colour, scene.count, chance)
    if scene.second:
        text += f" and {thing(scene.second, '' if 'colour' in without else scene.second_colour, 1, chance)}"
    place = "" if "background" in without else chance.choice(PLACES[scene.background])
    rest = [
        "" if "time" in without else chance.choice(TIMES[scene.time]),
        "" if "weather" in without else chance.choice(WEATHERS[scene.weather]),
    ]
    chance.shuffle(rest)
    words = [text, place, *rest] if chance.random() < 0.8 else [text, *rest, place]
    text = chance.choice((" ", ", ")).join(word for word in words if word)
    if chance.random() < 0.12:
        text = f"{chance.choice(FILLERS)} {text}"
    if "style" not in without:
        style = chance.choice(STYLES[scene.style])
        text = chance.choice(
            (f"{style}, {text}", f"{text}, {style}", f"{text}, {style} style", f"{text} in {style} style", f"{style} {text}")
        )
    if chance.random() < 0.1:
        text = f"{text}, {chance.choice(ENDINGS)}"
    return " ".join(text.split())


def vocabulary() -> set[str]:
    """Every word that a caption can have."""
    texts = [word for table in (NOUNS, PLACES, TIMES, WEATHERS, STYLES, NUMBERS) for words in table.values() for word in words]
    texts += [*FILLERS, *ENDINGS, *PLURALS.values(), "a an and in style ,"]
    from .world import COLOURS, SUBJECTS

    nouns = [noun for subject in SUBJECTS for noun in NOUNS.get(subject, (subject,))]
    texts += [*COLOURS, *nouns, *(noun.split()[-1] + "s" for noun in nouns)]
    return {word for text in texts for word in text.replace(",", " ,").split()}
