"""Sheets to look at: `python -m recipe.gallery MODEL FOLDER`. Every style by subject; steps; guidance; and 64 pictures whose captions are
in a file beside them, so that somebody can say first what they show.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from .captions import PLACES, STYLES, caption
from .evaluate import FRESH
from .export import IDEAS
from .scene import draw_scene
from .sheets import paint, sheet
from .world import COLOURS, SUBJECTS, WORLDS

STEPS, GUIDANCES = (2, 4, 8, 16, 32), (1.0, 3.0, 5.0, 8.0)
LOOK = (0, 1, 2, 7)
"""Which of the ideas are shown with other steps and guidance."""


def styles(pipe: StableDiffusionPipeline, world: str, size: int, file: Path) -> None:
    """Twelve subjects across, styles down."""
    limits, colours = WORLDS[world], tuple(COLOURS)
    subjects = limits.subjects[:12]
    prompts = [
        f"a {colours[k % len(colours)]} {subject} {PLACES[SUBJECTS[subject][0]][0]} by day, {STYLES[style][0]}"
        for style in limits.styles
        for k, subject in enumerate(subjects)
    ]
    sheet(paint(pipe, prompts, size, seeds=[k % 12 for k in range(len(prompts))]), subjects, file, limits.styles)


def settings(pipe: StableDiffusionPipeline, size: int, folder: Path) -> None:
    """The same prompts and seeds with other steps, and with other guidance."""
    ideas = [IDEAS[k] for k in LOOK]
    rows = ("sailboat", "house", "castle", "car")
    by_steps = [paint(pipe, ideas, size, steps=count) for count in STEPS]
    by_guidance = [paint(pipe, ideas, size, guidance=guidance) for guidance in GUIDANCES]
    for name, columns, made in (("steps", STEPS, by_steps), ("guidance", GUIDANCES, by_guidance)):
        pictures = [column[row] for row in range(len(ideas)) for column in made]
        sheet(pictures, [f"{name} {value:g}" for value in columns], folder / f"{name}.jpg", rows)


def hidden(pipe: StableDiffusionPipeline, world: str, size: int, folder: Path) -> None:
    """64 pictures of one subject each, numbered, and their captions in a file."""
    scenes = [scene for scene in (draw_scene(FRESH + 4 * 10**6 + k, world) for k in range(400)) if scene.count == 1 and not scene.second][
        :64
    ]
    prompts = [caption(scene, random.Random(k), ()) for k, scene in enumerate(scenes)]
    sheet(paint(pipe, prompts, size), 8, folder / "name-these.png", cell=128)
    lines = [f"{k // 8 + 1},{k % 8 + 1} {scene.subject}: {text}" for k, (scene, text) in enumerate(zip(scenes, prompts, strict=True))]
    (folder / "name-these.txt").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--world", default="small")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    pipe = StableDiffusionPipeline.from_pretrained(given.model, torch_dtype=torch.float32, safety_checker=None, local_files_only=True)
    size = pipe.unet.config.sample_size * 8
    styles(pipe, given.world, size, given.folder / "styles.jpg")
    settings(pipe, size, given.folder)
    hidden(pipe, given.world, size, given.folder)


if __name__ == "__main__":
    main()
