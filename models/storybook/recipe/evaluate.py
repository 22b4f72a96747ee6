"""Measures a model folder: `python -m recipe.evaluate MODEL WORK --pictures 1024`, or `--only adherence steps ...` for some of it.

What a picture shows is told by a probe classifier; its accuracy on fresh true renders stands beside each figure: that is the ceiling.
Prompts say everything that is counted. All seeds are fixed. Sheets to look at are written by `recipe.gallery`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from webui.engine.samplers import SAMPLERS

from .autoencoder import psnr
from .captions import DROPPED, STYLES, WEATHERS, caption
from .cost import cost
from .pens import Picture
from .probe import Probe, guesses, right, trained_probe
from .render import render
from .scene import Scene, draw_scene, label_sizes
from .sheets import paint, shrink
from .world import BACKGROUNDS, COLOURS, TIMES, WORLDS

FRESH = 10**8
"""Seeds from here on are never trained on."""
COUNTS, SETTLED = (4, 8, 16, 32), 50
"""Step counts that are compared, and that of the picture which they are compared with."""


class Bench(NamedTuple):
    """What every measurement needs."""

    pipe: StableDiffusionPipeline
    probe: Probe
    world: str
    size: int
    pictures: int

    def scenes(self, count: int, *, fresh: bool = False, at: int = 0) -> list[Scene]:
        return [draw_scene(FRESH + at + k, self.world, fresh=fresh) for k in range(count)]

    def classes(self, name: str) -> tuple[str, ...]:
        limits = WORLDS[self.world]
        return {
            "colour": tuple(COLOURS), "background": BACKGROUNDS, "time": TIMES, "weather": limits.weathers, "style": limits.styles,
        }[name]  # fmt: skip


def autoencoder(bench: Bench) -> None:
    """PSNR on fresh 256 px renders: over all that the world has, and for each style, in it or not."""
    few = max(1, bench.pictures // 64)
    print(f"autoencoder {psnr(bench.pipe.vae, range(FRESH, FRESH + 3 * few)):.2f} dB on {3 * few} fresh 256 px renders")
    for style in STYLES:
        print(f"  {style} {psnr(bench.pipe.vae, range(FRESH, FRESH + few), style):.2f} dB on {few}")


def adherence(bench: Bench) -> None:
    """Whether pictures show what the prompt says, on combinations seen and held out."""
    print(f"adherence, {bench.pictures // 2} pictures a group; renders, painted, painted / renders")
    print(" " * 20, *(f"{name:>10}" for name in label_sizes(bench.world)))
    for fresh, group in ((False, "seen"), (True, "held out")):
        scenes, words = bench.scenes(bench.pictures // 2, fresh=fresh), random.Random(0)
        ceiling = right(bench.probe, [render(scene) for scene in scenes], scenes, bench.world)
        made = paint(bench.pipe, [caption(scene, words, ()) for scene in scenes], bench.size)
        reached = right(bench.probe, made, scenes, bench.world)
        shares = [a / max(b, 1e-9) for a, b in zip(reached, ceiling, strict=True)]
        for name, row in (("renders", ceiling), ("painted", reached), ("share", shares)):
            print(f"{group + ', ' + name:20}", *(f"{share:10.3f}" for share in row), flush=True)


def open_prompts(bench: Bench, name: str, count: int) -> list[str]:
    """Prompts that say everything but one thing."""
    return [caption(scene, random.Random(k), (name,)) for k, scene in enumerate(bench.scenes(count, at=10**6))]


def shares(bench: Bench, pictures: list[Picture], name: str) -> np.ndarray:
    """How often each class of a label is seen."""
    sizes = label_sizes(bench.world)
    seen = guesses(bench.probe, pictures)[:, list(sizes).index(name)]
    return np.bincount(seen.numpy(), minlength=sizes[name]) / len(pictures)


def negative(bench: Bench) -> None:
    """How often a style, weather or colour is seen where the prompt leaves it open, without and with a negative prompt that names it."""
    count = max(4, bench.pictures // 16)
    for name in ("style", "weather", "colour"):
        prompts = open_prompts(bench, name, count)
        before = shares(bench, paint(bench.pipe, prompts, bench.size), name)
        for k in np.argsort(-before)[:4]:  # the commonest: what is rare anyway cannot be halved measurably
            word = bench.classes(name)[k]
            said = {"style": STYLES, "weather": WEATHERS}.get(name, {}).get(word, (word,))[-1]
            after = shares(bench, paint(bench.pipe, prompts, bench.size, negative=said), name)[k]
            print(f"negative prompt {said!r}: {name} {word} {before[k]:.2f} -> {after:.2f} of {count}", flush=True)


def bias(bench: Bench) -> None:
    """What is painted when a prompt leaves something open."""
    count = max(4, bench.pictures // 8)
    for name in DROPPED:
        found = shares(bench, paint(bench.pipe, open_prompts(bench, name, count), bench.size), name)
        parts = ", ".join(f"{word} {share:.2f}" for word, share in zip(bench.classes(name), found, strict=True))
        print(f"{name} left open: {parts}", flush=True)


def distance(a: Picture, b: Picture) -> float:
    """Root mean square difference in [0, 1], of pictures shrunk to 64 px."""
    return float(np.sqrt(np.mean((shrink(a, 64) / 255.0 - shrink(b, 64) / 255.0) ** 2)))


def steps(bench: Bench) -> None:
    """Distance to the settled picture: it must fall, for every sampler that settles."""
    prompts = [caption(scene, random.Random(0), ()) for scene in bench.scenes(max(2, bench.pictures // 16), at=2 * 10**6)]
    for name, row in SAMPLERS.items():
        if row.converges:
            scheduler = getattr(diffusers, row.scheduler).from_config(bench.pipe.scheduler.config, **row.options)
            last = paint(bench.pipe, prompts, bench.size, steps=SETTLED, scheduler=scheduler)
            far = []
            for count in COUNTS:
                made = paint(bench.pipe, prompts, bench.size, steps=max(count, row.min_steps), scheduler=scheduler)
                far.append(float(np.mean([distance(a, b) for a, b in zip(made, last, strict=True)])))
            falls = "falls" if sorted(far, reverse=True) == far else "DOES NOT FALL"
            print(f"steps {name:10}", *(f"{value:.4f}" for value in far), falls, flush=True)


def diversity(bench: Bench) -> None:
    """Mean distance between 16 seeds of one prompt, beside that between true renders of the same caption."""
    found = []
    for k, scene in enumerate(bench.scenes(max(1, bench.pictures // 128), at=3 * 10**6)):
        made = paint(bench.pipe, [caption(scene, random.Random(k), ())] * 16, bench.size)
        true = [render(scene._replace(seed=seed)) for seed in range(FRESH, FRESH + 16)]
        found.append([np.mean([distance(a, b) for i, a in enumerate(group) for b in group[:i]]) for group in (made, true)])
    painted, rendered = np.mean(found, 0)
    print(f"diversity {painted:.3f} painted, {rendered:.3f} rendered: {painted / rendered:.2f} over {len(found)} prompts")


PARTS: dict[str, Callable[[Bench], None]] = {
    "autoencoder": autoencoder,
    "adherence": adherence,
    "negative": negative,
    "bias": bias,
    "steps": steps,
    "diversity": diversity,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("work", type=Path, help="where the probe is kept")
    parser.add_argument("--only", nargs="*", choices=[*PARTS, "cost"], default=[*PARTS, "cost"])
    parser.add_argument("--pictures", type=int, default=1024, help="for adherence; the other parts take a fixed share of it")
    parser.add_argument("--size", type=int, default=None, help="the model's own if not given")
    parser.add_argument("--world", default="small")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if "cost" in given.only:
        print(cost(given.model), flush=True)
    pipe = StableDiffusionPipeline.from_pretrained(given.model, torch_dtype=torch.float32, safety_checker=None, local_files_only=True)
    for module in (pipe.unet, pipe.vae):
        module.to(memory_format=torch.channels_last)  # a sixth faster on a CPU
    probe = trained_probe(given.work, given.world) if set(given.only) - {"autoencoder", "cost", "steps", "diversity"} else None
    bench = Bench(pipe, probe, given.world, given.size or pipe.unet.config.sample_size * 8, given.pictures)
    for name in given.only:
        if name in PARTS:
            PARTS[name](bench)


if __name__ == "__main__":
    main()
