"""Trains the U-Net on latents: `python -m recipe.unet FOLDER --size 128 --steps 2000`, then `--size 256 --continue-from unet128.pt`.

v-prediction (Salimans & Ho 2022), min-SNR-5 weights (Hang et al. 2023), captions dropped in one of ten for classifier-free guidance
(Ho & Salimans 2022). Most samples at 128 px, where a step costs a quarter; the same weights then go on at 256 px.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from .captions import caption
from .encode import open_latents
from .scene import draw_scene
from .text import tokens_of
from .trainer import Trainer, launch

BETAS = {"beta_start": 0.00085, "beta_end": 0.02, "beta_schedule": "scaled_linear"}


def build() -> UNet2DConditionModel:
    """15.7 M parameters. The pooled caption reaches every block (`addition_embed_type`); attention at the lowest size only: cheap."""
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 128, 256),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=192,
        attention_head_dim=4,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def averaged(trainer: Trainer) -> UNet2DConditionModel:
    unet = build()
    unet.load_state_dict(trainer.averaged())
    return unet.eval()


def loss_of(unet: UNet2DConditionModel, x: Tensor, hidden: Tensor, alphas: Tensor, chance: torch.Generator) -> Tensor:
    """Weighted error of v; t is stratified over the batch."""
    n = len(x)
    t = ((torch.randperm(n, generator=chance) + torch.rand(n, generator=chance)) / n * 1000).long()
    a = alphas[t].sqrt().view(-1, 1, 1, 1)
    b = (1 - alphas[t]).sqrt().view(-1, 1, 1, 1)
    noise = torch.randn(x.shape, generator=chance)
    snr = alphas[t] / (1 - alphas[t])
    noisy = (a * x + b * noise).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    v = unet(noisy, t, hidden, return_dict=False)[0].float()
    error = (v - (a * noise - b * x)).square().mean((1, 2, 3))
    return (error * snr.clamp(max=5) / (snr + 1)).mean()


def train(rank: int, world: int, given: argparse.Namespace) -> None:
    folder = given.folder
    torch.manual_seed(0)
    unet = build()
    unet.conv_out.weight.data.zero_()
    unet.set_attn_processor(AttnProcessor())  # explicit softmax: its backward is 1.3 times as fast as SDPA's on a CPU
    file = folder / f"unet{given.size}.pt"
    if given.continue_from and not file.exists():
        state = torch.load(folder / given.continue_from, weights_only=True)
        for parameter, saved in zip(unet.parameters(), state["ema"], strict=True):
            parameter.data.copy_(saved)
    trainer = Trainer(unet, file, rate=given.rate, steps=given.steps, warmup=100, decay=0.999, rank=rank, world=world)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").eval().to(torch.bfloat16)
    alphas = DDPMScheduler(**BETAS).alphas_cumprod
    latents = open_latents(folder, given.pictures, given.size)
    seed = 7919 * trainer.step + rank
    chance, words, noise = np.random.default_rng(seed), random.Random(seed), torch.Generator().manual_seed(seed)
    while not trainer.done:
        picks = chance.integers(0, given.pictures, given.batch)
        texts = ["" if words.random() < 0.1 else caption(draw_scene(int(k), given.world), words) for k in picks]
        with torch.no_grad():
            hidden = encoder(tokens_of(tokenizer, texts)).last_hidden_state
        x = torch.from_numpy(latents[picks].astype(np.float32))
        trainer.learn(loss_of(unet, x, hidden, alphas, noise))
        if trainer.step % 25 == 0:
            trainer.log(given.batch)
        if trainer.step % 100 == 0 or trainer.done:
            trainer.save()
    if rank == 0:
        averaged(trainer).save_pretrained(folder / "unet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=40000)
    parser.add_argument("--world", default="small")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64, help="per process")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--continue-from", default=None, help="a checkpoint in FOLDER whose EMA weights to start from")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    launch(train, given.processes, given)


if __name__ == "__main__":
    main()
