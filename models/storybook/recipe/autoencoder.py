"""Trains the autoencoder: f8, 4 latent channels. `python -m recipe.autoencoder FOLDER --steps 5000 --processes 2`.

AutoencoderTiny of diffusers (TAESD's shape), no blocks at full resolution: they would be half of the decoder's cost. Loss: L1 + 2 MSE + L1
of the gradients, and a pull of each latent channel to mean 0, deviation 1, so that the scaling factor is 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import Tensor

from .data import open_pictures
from .render import render
from .scene import draw_scene
from .trainer import Trainer, launch, learners

CROP = 128


def build() -> AutoencoderTiny:
    """1.0 M parameters."""
    channels = (48, 48, 48, 48)
    return AutoencoderTiny(
        latent_channels=4,
        encoder_block_out_channels=channels,
        decoder_block_out_channels=channels,
        num_encoder_blocks=(0, 1, 3, 3),
        num_decoder_blocks=(3, 3, 1, 0),
        scaling_factor=1.0,
    )


def crop(pictures: Iterable[np.ndarray], chance: np.random.Generator) -> Tensor:
    """(count, 3, 128, 128) in [-1, 1]: crops of whole pictures, and whole pictures shrunk to a crop's size."""
    out = []
    for picture in pictures:
        if chance.random() < 0.7:
            x, y = chance.integers(0, CROP + 1, 2)
            picture = picture[y : y + CROP, x : x + CROP]
        else:
            picture = cv2.resize(picture, (CROP, CROP), interpolation=cv2.INTER_AREA)
        out.append(picture[:, ::-1] if chance.random() < 0.5 else picture)
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 127.5 - 1


def encoded(vae: AutoencoderTiny, x: Tensor) -> Tensor:
    """Pictures (n, 3, height, width) in [-1, 1] to latents (n, 4, height/8, width/8), float32."""
    return vae.encoder(x.to(vae.dtype).contiguous(memory_format=torch.channels_last)).float()


def decoded(vae: AutoencoderTiny, z: Tensor) -> Tensor:
    """And back, of latents with up to 0.05 of noise, which a U-Net leaves too."""
    noisy = z + 0.05 * torch.rand(len(z), 1, 1, 1, device=z.device) * torch.randn_like(z)
    return vae.decoder(noisy.to(vae.dtype).contiguous(memory_format=torch.channels_last)).float()


def loss_of(y: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """Of pictures y decoded from latents z, where they should be x; and how far each channel of z is from mean 0, deviation 1."""
    edges = (y.diff(dim=2) - x.diff(dim=2)).abs().mean() + (y.diff(dim=3) - x.diff(dim=3)).abs().mean()
    pull = (z.mean((0, 2, 3)) ** 2 + (z.std((0, 2, 3)) - 1) ** 2).mean()
    return F.l1_loss(y, x) + 2 * F.mse_loss(y, x) + 0.5 * edges + 0.02 * pull


def psnr(vae: AutoencoderTiny, seeds: range, style: str | None = None) -> float:
    """Mean PSNR in dB on fresh 256 px renders."""
    values = []
    for seed in seeds:
        scene = draw_scene(seed, fresh=None)
        picture = render(scene._replace(style=style) if style else scene)
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
        y = vae.decoder(vae.encoder(x)).clamp(-1, 1)
        values.append(10 * torch.log10(4 / F.mse_loss(y, x)).item())
    return float(np.mean(values))


def averaged(trainer: Trainer) -> AutoencoderTiny:
    vae = build()
    vae.load_state_dict(trainer.averaged())
    return vae.eval()


def train(rank: int, world: int, folder: Path, pictures: int, steps: int, size: int) -> None:
    torch.manual_seed(0)
    vae = build()
    for module in vae.modules():  # residual branches start small
        if hasattr(module, "conv") and isinstance(module.conv, torch.nn.Sequential):
            module.conv[-1].weight.data.mul_(0.3)
    file = folder / "autoencoder.pt"
    trainer = Trainer(vae, file, rate=1e-3, steps=steps, fade=steps, decay=0.998, rank=rank, world=world)
    data = open_pictures(folder, pictures)
    while not trainer.done:
        torch.manual_seed(2 * trainer.step + rank)
        chance = np.random.default_rng((trainer.step, rank))
        x = crop(data[chance.integers(0, len(data), size)], chance).to(trainer.device)
        z = encoded(vae, x)
        trainer.learn(loss_of(decoded(vae, z), x, z))
        trainer.keep()
        if trainer.step % 100 == 0:
            trainer.log(size)
        if rank == 0 and trainer.step % 500 == 0:
            with torch.no_grad():
                print(f"step {trainer.step} psnr {psnr(averaged(trainer), range(10**8, 10**8 + 16)):.2f} dB", flush=True)
    if rank == 0:
        averaged(trainer).save_pretrained(folder / "vae")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=40000)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    launch(train, learners(given.processes), given.folder, given.pictures, given.steps, given.batch)


if __name__ == "__main__":
    main()
