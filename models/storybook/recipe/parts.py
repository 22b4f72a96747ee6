"""A second thing to learn, for nothing: which part of which subject stands where. Dropped at export.

The renderer knows the answer for every place of a picture, where the noise that is to be taken away says little about it: shapes come
sooner. (Auxiliary dense labels on a denoiser's features: measured here, no paper.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from .subjects import PARTS
from .world import WORLDS

COUNT = 0.05
"""How much the parts count beside v. At 0.1 and more, places and weathers suffer."""
EMPTY, PART = 0.5, 2.0
"""How much a place without and one with a subject count: most places are empty."""


class Taught(nn.Module):
    """A U-Net, and the layers that read parts from what it thinks where it is back at the latents' own width."""

    def __init__(self, unet: UNet2DConditionModel, world: str) -> None:
        super().__init__()
        self.unet = unet
        classes = max(PARTS[subject].stop for subject in WORLDS[world].subjects)
        self.head = nn.Sequential(nn.Conv2d(unet.config.block_out_channels[1], 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, classes, 1))
        self._thoughts: list[Tensor] = []
        unet.up_blocks[-2].register_forward_hook(lambda block, given, answer: self._thoughts.append(answer))

    def forward(self, x: Tensor, t: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """v of (n, 4, height, width), and (n, parts + 1, height, width) logits of what stands where: at index 0, nothing."""
        self._thoughts.clear()
        v = self.unet(x, t, hidden, return_dict=False)[0]
        return v, self.head(self._thoughts.pop())


def loss_of(logits: Tensor, parts: Tensor) -> Tensor:
    """Cross-entropy against `parts`, (n, height, width) numbers of `subjects.PARTS`."""
    wrong = F.cross_entropy(logits.float(), parts, reduction="none")
    return (torch.where(parts > 0, PART, EMPTY) * wrong).mean()
