"""The tokenizer and the text encoder. `python -m recipe.text FOLDER`.

The encoder is pretrained on the renderer's own labels for two minutes and then frozen: a text model that learns through the U-Net's
cross-attention alone aligns a hundred times slower.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .captions import caption, vocabulary
from .scene import draw_scene, label_sizes, labels

WINDOW = 32
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes of byte-level BPE (Radford et al. 2019)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + k) for k in range(len(rest))]


def merges_for(words: set[str]) -> list[tuple[str, str]]:
    """Byte pair merges (Sennrich et al. 2016) until each word is one token."""
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in sorted(words)}
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for parts in pieces.values() for pair in itertools.pairwise(parts)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, parts in pieces.items():
            joined: list[str] = []
            for part in parts:
                if joined and (joined[-1], part) == best:
                    joined[-1] += part
                else:
                    joined.append(part)
            pieces[word] = joined
    return merges


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that knows every word of the captions; unknown words fall apart into bytes."""
    symbols, merges = byte_symbols(), merges_for(vocabulary())
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(pair) for pair in merges), START, END]
    return CLIPTokenizer(vocab={token: k for k, token in enumerate(dict.fromkeys(tokens))}, merges=merges, model_max_length=WINDOW)


def build_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """1.5 M parameters: three layers of 192."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=192, intermediate_size=768, num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=WINDOW, projection_dim=192, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def tokens_of(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """(n, 32) token numbers, padded and cut to the window."""
    return tokenizer(texts, padding="max_length", truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt").input_ids


def train(folder: Path, world: str, steps: int) -> None:
    torch.manual_seed(0)
    chance = random.Random(0)
    tokenizer = build_tokenizer()
    encoder = build_encoder(tokenizer)
    sizes = tuple(label_sizes(world).values())
    # One head reads the end of the text, the other any padding after it: causal attention lets both see the whole caption.
    heads = nn.ModuleList(nn.Linear(192, sum(sizes)) for _ in range(2))
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    for step in range(1, steps + 1):
        scenes = [draw_scene(chance.randrange(10**7), world, fresh=None) for _ in range(128)]
        ids = tokens_of(tokenizer, [caption(scene, chance) for scene in scenes])
        truth = torch.tensor([labels(scene, world) for scene in scenes])
        hidden = encoder(ids).last_hidden_state
        ends = (ids == tokenizer.eos_token_id).int().argmax(1)
        pads = torch.tensor([chance.randint(int(end), WINDOW - 1) for end in ends])
        rows = torch.arange(len(ids))
        guesses = [head(hidden[rows, place]).split(sizes, 1) for head, place in zip(heads, (ends, pads), strict=True)]
        loss = sum((F.cross_entropy(part[k], truth[:, k]) for part in guesses for k in range(len(sizes))), torch.zeros(()))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        rate.step()
        if step % 50 == 0:
            right = [(guesses[0][k].argmax(1) == truth[:, k]).float().mean().item() for k in range(len(sizes))]
            print(f"step {step} loss {loss.item():.3f} right {' '.join(f'{x:.2f}' for x in right)}", flush=True)
    tokenizer.save_pretrained(folder / "tokenizer")
    encoder.eval().save_pretrained(folder / "text_encoder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--world", default="small")
    parser.add_argument("--steps", type=int, default=400)
    given = parser.parse_args()
    train(given.folder, given.world, given.steps)


if __name__ == "__main__":
    main()
