"""Teaches the autoencoder styles that it never saw: `python -m recipe.extend FOLDER --styles ink --steps 3000`.

The latents of the styles that a U-Net already paints stay where they are, so that it stays valid: the old encoder says where (learning
without forgetting, Li & Hoiem 2016). The new styles may use whatever room there is beside them. The rate falls over the last half.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import Tensor

from .autoencoder import averaged, build, crop, decoded, encoded, loss_of, psnr
from .render import render
from .scene import draw_scene
from .trainer import Trainer, launch, learners
from .world import STYLES

BEFORE = "vae-before"
"""In the folder: the autoencoder whose latents are held."""
HELD = 10.0
"""Weight of the distance between old and new latents of what the U-Net paints."""
SQUARES = 4.0
"""Weight of the MSE beside that of the autoencoder's own loss: thin black lines on white cost most of the PSNR."""


def batch(size: int, style: str | None, world: str, chance: np.random.Generator) -> Tensor:
    """(size, 3, 128, 128) in [-1, 1]: crops of scenes of the world, in another style if one is named."""
    scenes = [draw_scene(int(seed), world) for seed in chance.integers(0, 10**7, size)]
    return crop([render(scene._replace(style=style or scene.style)) for scene in scenes], chance)


def extended_loss(vae: AutoencoderTiny, old: AutoencoderTiny, known: Tensor, new: Tensor) -> Tensor:
    with torch.no_grad():
        right = encoded(old, known)
    z = encoded(vae, torch.cat([known, new]))
    held = F.mse_loss(z[: len(known)], right)
    y = decoded(vae, torch.cat([right, z[len(known) :]]))
    x = torch.cat([known, new])
    return loss_of(y, x, z) + SQUARES * F.mse_loss(y, x) + HELD * held


def train(rank: int, processes: int, given: argparse.Namespace) -> None:
    old = AutoencoderTiny.from_pretrained(given.folder / BEFORE).eval()
    vae = build()
    vae.load_state_dict(old.state_dict())
    file = given.folder / "extended.pt"
    trainer = Trainer(vae, file, rate=4e-4, steps=given.steps, fade=given.steps // 2, decay=0.995, rank=rank, world=processes)
    old.to(trainer.device, trainer.dtype)
    while not trainer.done:
        torch.manual_seed(2 * trainer.step + rank)
        chance = np.random.default_rng((trainer.step, rank))
        style = given.styles[trainer.step % len(given.styles)]
        known = max(1, given.batch // 4)
        pictures = (batch(n, one, given.world, chance) for n, one in ((known, None), (given.batch - known, style)))
        trainer.learn(extended_loss(vae, old, *(x.to(trainer.device) for x in pictures)))
        trainer.keep()
        if trainer.step % 50 == 0:
            trainer.log(given.batch)
        if rank == 0 and trainer.step % 250 == 0:
            with torch.no_grad():
                found = [psnr(averaged(trainer), range(10**8, 10**8 + 8), style) for style in (None, *given.styles)]
            print(f"step {trainer.step} psnr", *(f"{value:.2f}" for value in found), "dB", flush=True)
    if rank == 0:
        averaged(trainer).save_pretrained(given.folder / "vae")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--styles", nargs="+", default=["ink"], choices=STYLES)
    parser.add_argument("--world", default="small", help="what the U-Net paints")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8, help="per process; a quarter of it is of what the U-Net paints")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    if not (given.folder / BEFORE).exists():
        shutil.copytree(given.folder / "vae", given.folder / BEFORE)
    launch(train, learners(given.processes), given)


if __name__ == "__main__":
    main()
