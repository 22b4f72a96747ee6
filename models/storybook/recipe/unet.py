"""Trains the U-Net on latents: `python -m recipe.unet FOLDER --size 128`. Stop it when you like and start it again: it goes on from its
checkpoint. The rate is constant, so a run has no planned end: to finish, start it once more with `--steps` a little ahead of the
checkpoint and `--fade` as many steps, over which the rate falls to zero.

v-prediction (Salimans & Ho 2022), captions dropped in one of ten for classifier-free guidance (Ho & Salimans 2022). It begins at 128 px
and grows: see `denoiser`.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from .captions import caption
from .denoiser import CHANNELS, build, grow
from .encode import open_latents, open_parts
from .parts import COUNT, Taught
from .parts import loss_of as parts_loss
from .pipeline import alphas, assemble
from .scene import draw_scene
from .sheets import paint, sheet
from .text import tokens_of
from .trainer import Trainer, launch, learners

SIGMAS = {128: (0.8, 1.3), 256: (1.2, 1.5)}
"""Size in pixels -> mean and deviation of log sigma while training, after Karras et al. 2022 (latents have deviation 1). In a picture
twice as wide the same shape is decided at twice the sigma; but its new level has all the fine work to learn, at small sigmas."""
EVENLY = 0.2
"""Share of the samples whose timestep is drawn evenly: the ends of the schedule must be known too."""


def start(folder: Path, size: int, before: str | None) -> UNet2DConditionModel:
    """A fresh U-Net; or one that goes on from `before`, in the folder: the EMA weights of a checkpoint, or a folder with a saved U-Net.
    One of half the size is grown."""
    if before is None:
        return build(size)
    if (folder / before).is_dir():
        unet = UNet2DConditionModel.from_pretrained(folder / before, torch_dtype=torch.float32)
    else:
        averages = torch.load(folder / before, weights_only=True)["ema"]
        # The level put around it when it grows adds parameters, by whose number the two are told apart; those of the head come last.
        unet = next(unet for unet in map(build, reversed(CHANNELS)) if len(list(unet.parameters())) <= len(averages))
        for parameter, saved in zip(unet.parameters(), averages, strict=False):
            parameter.data.copy_(saved)
    return unet if tuple(unet.config.block_out_channels) == CHANNELS[size] else grow(unet)


def averaged(trainer: Trainer, size: int) -> UNet2DConditionModel:
    unet = build(size)
    unet.load_state_dict({name.removeprefix("unet."): value for name, value in trainer.averaged().items() if name.startswith("unet.")})
    return unet.eval()


def timesteps(n: int, size: int, alphas: Tensor, chance: torch.Generator) -> Tensor:
    """(n,) timesteps, stratified; mostly where shapes are decided: log sigma is normal. The loss is even in v: with min-SNR weights
    (Hang et al. 2023) a sample at log sigma 2 counted a fiftieth, but it is there, at 1 to 4, that naming another
    subject changes the error most."""
    even = (torch.randperm(n, generator=chance) + torch.rand(n, generator=chance)) / n
    log_sigma = ((1 - alphas) / alphas).log() / 2
    middle, spread = SIGMAS[size]
    shaped = torch.searchsorted(log_sigma, middle + spread * torch.special.ndtri(even)).clamp(max=999)
    return torch.where(torch.rand(n, generator=chance) < EVENLY, (even * 1000).long(), shaped)


def losses_of(taught: Taught, x: Tensor, weight: Tensor, hidden: Tensor, alphas: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Error of v, weighted by place: (n, 1, height, width); and the logits of the parts."""
    t = timesteps(len(x), 8 * x.shape[-1], alphas, chance)
    noise = torch.randn(x.shape, generator=chance).to(x.device)
    a, b = (part.sqrt().view(-1, 1, 1, 1).to(x.device) for part in (alphas[t], 1 - alphas[t]))
    v, logits = taught((a * x + b * noise).to(taught.unet.dtype), t.to(x.device), hidden)
    return ((v.float() - (a * noise - b * x)).square() * weight).mean(), logits


def train(rank: int, processes: int, given: argparse.Namespace) -> None:
    folder, file = given.folder, given.folder / f"unet{given.size}.pt"
    torch.manual_seed(0)
    unet = start(folder, given.size, None if file.exists() else given.continue_from)
    unet.set_attn_processor(AttnProcessor())  # explicit softmax: its backward is 1.3 times as fast as SDPA's on a CPU
    taught = Taught(unet, given.world)
    # Averages of 250 steps: of a longer memory a third would still be, after a thousand, what the last change was to undo.
    trainer = Trainer(taught, file, rate=given.rate, steps=given.steps, fade=given.fade, decay=0.996, rank=rank, world=processes)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=trainer.dtype).eval().to(trainer.device)
    latents, parts = open_latents(folder, given.pictures, given.size), open_parts(folder, given.pictures, given.size)
    signal = alphas()
    while not trainer.done:
        chance = np.random.default_rng((trainer.step, rank))  # of the step's number: a run that was killed goes on as if it had not been
        words, noise = random.Random(int(chance.integers(1 << 62))), torch.Generator().manual_seed(int(chance.integers(1 << 62)))
        picks = chance.integers(0, given.pictures, given.batch)
        scenes = [draw_scene(int(k), given.world) for k in picks]
        texts = ["" if words.random() < 0.1 else caption(scene, words) for scene in scenes]
        with torch.no_grad():
            hidden = encoder(tokens_of(tokenizer, texts).to(trainer.device)).last_hidden_state
        x = torch.from_numpy(latents[picks].astype(np.float32)).to(trainer.device)
        seen = torch.from_numpy(parts[picks].astype(np.int64)).to(trainer.device)
        loss, logits = losses_of(taught, x, 1 + given.focus * (seen > 0)[:, None], hidden, signal, noise)
        trainer.learn(loss + COUNT * parts_loss(logits, seen))
        trainer.keep()
        if trainer.step % 25 == 0:
            trainer.log(given.batch)
        if rank == 0 and trainer.step % 500 == 0:
            prompts = [caption(draw_scene(10**8 + k, given.world), random.Random(k)) for k in range(12)]
            pipe = assemble(folder, given.size, averaged(trainer, given.size))
            sheet(paint(pipe, prompts, given.size, steps=12), 6, folder / f"step{trainer.step:06}-{given.size}.png")
    if rank == 0:
        averaged(trainer, given.size).save_pretrained(folder / "unet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=80000)
    parser.add_argument("--world", default="small")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10**9, help="where it ends; for as long as it is let if left out")
    parser.add_argument("--fade", type=int, default=0, help="over how many steps, at the end, the rate falls to zero")
    parser.add_argument("--batch", type=int, default=24, help="per process")
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--focus", type=float, default=2.0, help="how much more a subject's pixels count than the others'")
    parser.add_argument("--continue-from", default=None, help="in FOLDER: a checkpoint, or the folder unet")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    launch(train, learners(given.processes), given)


if __name__ == "__main__":
    main()
