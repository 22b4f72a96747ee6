"""Encodes the rendered pictures once: `python -m recipe.encode FOLDER --size 128`. Writes float16 (count, 4, size/8, size/8)."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderTiny

from .data import open_pictures
from .trainer import launch


def open_latents(folder: Path, count: int, size: int, mode: str = "r") -> np.memmap:
    """(count, 4, size/8, size/8) float16 on disk."""
    return np.memmap(folder / f"latents{size}.f16", np.float16, mode, shape=(count, 4, size // 8, size // 8))


def encode(rank: int, world: int, folder: Path, count: int, size: int) -> None:
    vae = AutoencoderTiny.from_pretrained(folder / "vae").eval().to(torch.bfloat16).to(memory_format=torch.channels_last)
    pictures, latents = open_pictures(folder, count), open_latents(folder, count, size, "r+")
    for first in range(rank * 32, count, world * 32):
        part = [cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) for picture in pictures[first : first + 32]]
        x = torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            latents[first : first + 32] = vae.encoder(x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)).float().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=40000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    open_latents(given.folder, given.pictures, given.size, "w+").flush()
    launch(encode, given.processes, given.folder, given.pictures, given.size)


if __name__ == "__main__":
    main()
