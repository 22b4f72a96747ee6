"""Makes "clear weather" louder where a text says no more than that: `python -m recipe.emphasise FOLDER`. All else stays as it is.

An encoder whose captions said the weather only where it was not clear has learned that silence means clear weather: to say it alone moved
the hidden states half as far as snow or fog did, and as a negative prompt it was hardly heard. What the word adds is there, so it needs not
be learned anew, and the U-Net with it: the encoder is taught its own answers (Hinton et al. 2015), with that made larger.
"""

from __future__ import annotations

import argparse
import copy
import random
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from .captions import DROPPED, WEATHERS, aside, caption
from .scene import draw_scene
from .text import tokens_of

WORD, PHRASE = "clear", WEATHERS["clear"][-1]
TIMES = 6.0
"""How many times as much the word adds as before."""
BATCH = 64


def texts(world: str, chance: random.Random) -> tuple[list[str], Tensor]:
    """Captions, then as many texts without a subject, as negative prompts are; some with their words in any order, as people write them
    too. And whether each is of the latter, with one that is empty: (n, 1, 1)."""
    said, alone = [], [k >= BATCH // 2 for k in range(BATCH)]
    for short in alone:
        scene = draw_scene(chance.randrange(10**7), world, fresh=None)
        if chance.random() < 0.5:
            scene = scene._replace(weather="clear")
        left = {name for name, share in DROPPED.items() if chance.random() < share}
        words = (aside(scene, chance) if short else caption(scene, chance, left)).split()
        if chance.random() < 0.2:
            chance.shuffle(words)
        said.append(" ".join(words))
    return [*said, ""], torch.tensor([*alone, True]).view(-1, 1, 1)


def addition(encoder: CLIPTextModel, tokenizer: CLIPTokenizer) -> Tensor:
    """(192,): what the word adds to the hidden states behind it, on average over captions that do not say the weather."""
    plain = [caption(draw_scene(seed), random.Random(seed), ("weather",)) for seed in range(300)]
    with torch.no_grad():
        ends = [encoder(tokens_of(tokenizer, said)).last_hidden_state[:, -1] for said in (plain, [f"{one}, {PHRASE}" for one in plain])]
    return (ends[1] - ends[0]).mean(0)


def after(ids: Tensor, word: int) -> Tensor:
    """(n, window, 1): whether a token is the word or stands behind it; the encoder is causal, no other can know of it."""
    return (ids == word).cumsum(1).clamp(max=1).unsqueeze(2)


def train(folder: Path, world: str, steps: int) -> None:
    torch.manual_seed(0)
    chance = random.Random(0)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    teacher = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
    encoder, word = copy.deepcopy(teacher), tokenizer(WORD).input_ids[1]
    more = (TIMES - 1) * addition(teacher, tokenizer)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-3, weight_decay=0.0)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, steps)
    for step in range(1, steps + 1):
        said, alone = texts(world, chance)
        ids = tokens_of(tokenizer, said)
        louder = after(ids, word) * alone
        with torch.no_grad():
            wanted = teacher(ids).last_hidden_state + louder * more
        off = (encoder(ids).last_hidden_state - wanted).square()
        optimiser.zero_grad()
        off.mean().backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
        rate.step()
        if step % 50 == 0:
            heard = louder[..., 0].bool()
            behind, elsewhere = (float(part.mean().sqrt()) for part in (off[heard], off[~heard]))
            print(f"step {step} off by {behind:.3f} behind the word, {elsewhere:.3f} elsewhere", flush=True)
    encoder.eval().save_pretrained(folder / "text_encoder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--world", default="small")
    parser.add_argument("--steps", type=int, default=1500)
    given = parser.parse_args()
    train(given.folder, given.world, given.steps)


if __name__ == "__main__":
    main()
