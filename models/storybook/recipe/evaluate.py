"""Measures a model folder: `python -m recipe.evaluate MODEL WORK --pictures 96`.

A probe classifier, trained on true renders at 80 px, says what generated pictures show; its accuracy on fresh true renders stands beside
each figure: that is the ceiling. It flatters (it reads colour blobs), so sheets are written too, to be looked at.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor, nn

from .autoencoder import psnr
from .captions import caption
from .data import open_pictures
from .export import sheet
from .render import render
from .scene import Scene, draw_scene, labels
from .world import BACKGROUNDS, COLOURS, TIMES, WORLDS

NAMES = ("subject", "colour", "count", "background", "time", "weather", "style")
SIDE = 80
STEPS, GUIDANCE = 20, 4.0


class Probe(nn.Module):
    """A small CNN with one head for each label."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 32), (32, 64), (64, 128), (128, 128)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.heads = nn.ModuleList(nn.Linear(128 * 25, size) for size in sizes)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = F.dropout(self.body(x), 0.3, self.training)
        return [head(features) for head in self.heads]


def inputs(pictures: list[np.ndarray]) -> Tensor:
    """(n, 3, 80, 80) in [-1, 1]."""
    small = np.stack([cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in pictures])
    return torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1


def trained_probe(work: Path, count: int, world: str, sizes: tuple[int, ...]) -> Probe:
    """The probe, trained once and kept in `work`."""
    torch.manual_seed(0)
    probe, file = Probe(sizes), work / "probe.pt"
    if file.exists():
        probe.load_state_dict(torch.load(file, weights_only=True))
        return probe.eval()
    pictures = open_pictures(work, count)
    x = inputs([pictures[k] for k in range(8000)])
    truth = torch.tensor([labels(draw_scene(k, world), world) for k in range(8000)])
    optimiser = torch.optim.AdamW(probe.parameters(), lr=1e-3)
    for _ in range(5):
        for rows in torch.randperm(len(x)).split(64):
            loss = sum((F.cross_entropy(guess, truth[rows, k]) for k, guess in enumerate(probe(x[rows]))), torch.zeros(()))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    torch.save(probe.state_dict(), file)
    return probe.eval()


def accuracy(probe: Probe, pictures: list[np.ndarray], scenes: list[Scene], world: str) -> list[float]:
    """Share of right guesses for each label."""
    truth = torch.tensor([labels(scene, world) for scene in scenes])
    with torch.no_grad():
        guesses = probe(inputs(pictures))
    return [(guess.argmax(1) == truth[:, k]).float().mean().item() for k, guess in enumerate(guesses)]


def paint(pipe: StableDiffusionPipeline, prompts: list[str], size: int, negative: str = "") -> list[np.ndarray]:
    """One picture for each prompt, from seeds 0, 1, ..."""
    pictures: list[np.ndarray] = []
    for first in range(0, len(prompts), 8):
        part = prompts[first : first + 8]
        seeds = [torch.Generator().manual_seed(first + k) for k in range(len(part))]
        out = pipe(
            part, negative_prompt=[negative] * len(part), num_inference_steps=STEPS, guidance_scale=GUIDANCE,
            width=size, height=size, generator=seeds, output_type="np",
        ).images  # fmt: skip
        pictures += [(picture * 255).round().astype(np.uint8) for picture in out]
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--rendered", type=int, default=40000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--world", default="small")
    given = parser.parse_args()
    limits = WORLDS[given.world]
    sizes = (len(limits.subjects), len(COLOURS), 3, len(BACKGROUNDS), len(TIMES), len(limits.weathers), len(limits.styles))
    probe = trained_probe(given.work, given.rendered, given.world, sizes)
    pipe = StableDiffusionPipeline.from_pretrained(given.model, torch_dtype=torch.float32, safety_checker=None, local_files_only=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    print(f"autoencoder {psnr(pipe.vae, range(10**8, 10**8 + 48)):.2f} dB on 48 fresh 256 px renders")
    for style in limits.styles:
        print(f"  {style} {psnr(pipe.vae, range(10**8, 10**8 + 16), style):.2f} dB")
    print(" " * 20, *(f"{name:>10}" for name in NAMES))
    words = random.Random(0)
    for fresh, group in ((False, "seen"), (True, "held out")):
        scenes = [draw_scene(10**8 + k, given.world, fresh=fresh) for k in range(given.pictures)]
        true = [render(scene) for scene in scenes]
        made = paint(pipe, [caption(scene, words) for scene in scenes], given.size)
        for name, pictures in ((f"{group}, renders", true), (f"{group}, generated", made)):
            print(f"{name:20}", *(f"{share:10.3f}" for share in accuracy(probe, pictures, scenes, given.world)), flush=True)
        sheet(made, 8, given.work / f"sheet-{group.replace(' ', '-')}.png")


if __name__ == "__main__":
    main()
