"""A small classifier, trained on true renders, that says what a picture shows. It flatters: it reads blobs of colour that a person could
not name. So pictures are looked at, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pens import Picture
from .render import render
from .scene import Scene, draw_scene, label_sizes, labels
from .sheets import shrink

SIDE = 80
LESSONS, EPOCHS = 8000, 5


class Probe(nn.Module):
    """A small CNN with one head for each label."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 32), (32, 64), (64, 128), (128, 128)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.heads = nn.ModuleList(nn.Linear(128 * 25, size) for size in sizes)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = F.dropout(self.body(x), 0.3, self.training)
        return [head(features) for head in self.heads]


def inputs(pictures: Sequence[Picture]) -> Tensor:
    """(n, 3, 80, 80) in [-1, 1]."""
    small = np.stack([shrink(picture, SIDE) for picture in pictures])
    return torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1


def trained_probe(work: Path, world: str) -> Probe:
    """The probe, trained once and kept in `work`."""
    torch.manual_seed(0)
    probe, file = Probe(tuple(label_sizes(world).values())), work / f"probe-{world}.pt"
    if file.exists():
        probe.load_state_dict(torch.load(file, weights_only=True))
        return probe.eval()
    scenes = [draw_scene(seed, world) for seed in range(2 * 10**8, 2 * 10**8 + LESSONS)]
    x = torch.cat([inputs([render(scene)]) for scene in scenes])
    truth = torch.tensor([labels(scene, world) for scene in scenes])
    optimiser = torch.optim.AdamW(probe.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(64):
            loss = sum((F.cross_entropy(guess, truth[rows, k]) for k, guess in enumerate(probe(x[rows]))), torch.zeros(()))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    torch.save(probe.state_dict(), file)
    return probe.eval()


def guesses(probe: Probe, pictures: Sequence[Picture]) -> Tensor:
    """(n, labels) class numbers that the probe sees."""
    with torch.no_grad():
        return torch.stack([guess.argmax(1) for guess in probe(inputs(pictures))], 1)


def right(probe: Probe, pictures: Sequence[Picture], scenes: Sequence[Scene], world: str) -> list[float]:
    """Share of right guesses for each label."""
    truth = torch.tensor([labels(scene, world) for scene in scenes])
    return (guesses(probe, pictures) == truth).float().mean(0).tolist()
