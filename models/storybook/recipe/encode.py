"""Renders scenes and encodes them at once: `python -m recipe.encode FOLDER --pictures 80000 --size 128`.

Only the latents are kept, float16 (count, 4, size/8, size/8), with what part of a subject is seen at each, uint8 (count, size/8,
size/8): far smaller than the pictures, so that there can be more of them. What is already encoded is not done again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny

from .render import render_marked
from .scene import draw_scene
from .sheets import shrink
from .trainer import launch

BLOCK = 32


def on_disk(file: Path, kind: type[np.generic], shape: tuple[int, ...], *, write: bool = False) -> np.memmap:
    """An array in a file; made of zeros if it is to be written and is not there."""
    return np.memmap(file, kind, ("r+" if file.exists() else "w+") if write else "r", shape=shape)


def open_latents(folder: Path, count: int, size: int, *, write: bool = False) -> np.memmap:
    """(count, 4, size/8, size/8) float16 on disk."""
    return on_disk(folder / f"latents{size}.f16", np.float16, (count, 4, size // 8, size // 8), write=write)


def open_parts(folder: Path, count: int, size: int, *, write: bool = False) -> np.memmap:
    """(count, size/8, size/8) uint8 on disk: what is seen in the middle of each latent: a number of `subjects.PARTS`, or 0."""
    return on_disk(folder / f"parts{size}.u8", np.uint8, (count, size // 8, size // 8), write=write)


def middles(seen: np.ndarray, side: int) -> np.ndarray:
    """(side, side) of a square: what is in the middle of each of its places, which an average of numbers would not tell."""
    step = len(seen) // side
    return seen[step // 2 :: step, step // 2 :: step]


def encode(rank: int, processes: int, folder: Path, count: int, size: int, world: str) -> None:
    vae = AutoencoderTiny.from_pretrained(folder / "vae").eval().to(memory_format=torch.channels_last)
    latents, parts = open_latents(folder, count, size, write=True), open_parts(folder, count, size, write=True)
    for first in range(rank * BLOCK, count, processes * BLOCK):
        if latents[min(first + BLOCK, count) - 1].any():
            continue
        drawn = [render_marked(draw_scene(seed, world)) for seed in range(first, min(first + BLOCK, count))]
        x = torch.from_numpy(np.stack([shrink(picture, size) for picture, _ in drawn])).permute(0, 3, 1, 2).float() / 127.5 - 1
        parts[first : first + BLOCK] = np.stack([middles(seen, size // 8) for _, seen in drawn])
        with torch.no_grad():
            latents[first : first + BLOCK] = vae.encoder(x.contiguous(memory_format=torch.channels_last)).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=80000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--world", default="small")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    for opened in (open_latents, open_parts):
        opened(given.folder, given.pictures, given.size, write=True).flush()
    launch(encode, given.processes, given.folder, given.pictures, given.size, given.world)


if __name__ == "__main__":
    main()
