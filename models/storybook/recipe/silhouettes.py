"""A second thing to learn, for nothing: where the subject stands, and which it is. Dropped at export.

The renderer knows the answer for every place of a picture, where the noise that is to be taken away says little about it: shapes come
sooner. (Auxiliary dense labels on a denoiser's features: measured here, no paper.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from .scene import Scene
from .world import WORLDS

CHANNELS = 128
"""Of the level of a quarter of the latents' pixels in the smaller U-Net, which is read as it goes up: the same in both."""
COUNT = 0.05
"""How much the silhouettes count beside v. At 0.1 and more, places and weathers suffer."""
EMPTY = 0.5
"""How much a place without a subject counts, against 2 for one with a subject: most places are empty."""


class Taught(nn.Module):
    """A U-Net, and the layers that read silhouettes from what it thinks."""

    def __init__(self, unet: UNet2DConditionModel, world: str) -> None:
        super().__init__()
        self.unet = unet
        self.head = nn.Sequential(nn.Conv2d(CHANNELS, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, len(WORLDS[world].subjects) + 1, 1))
        self._thoughts: list[Tensor] = []
        unet.up_blocks[1].register_forward_hook(lambda block, given, answer: self._thoughts.append(answer))

    def forward(self, x: Tensor, t: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """v of (n, 4, height, width), and (n, subjects + 1, .., ..) logits of what stands where: at index 0, nothing."""
        self._thoughts.clear()
        v = self.unet(x, t, hidden, return_dict=False)[0]
        return v, self.head(self._thoughts.pop())


def loss_of(logits: Tensor, scenes: Sequence[Scene], cover: Tensor, world: str) -> Tensor:
    """Cross-entropy against the share that the subject has of each place: `cover` (n, 1, height, width), 0 to 1. Scenes with two different
    subjects, whose cover does not tell them apart, count nothing."""
    subjects = WORLDS[world].subjects
    share = F.adaptive_avg_pool2d(cover, logits.shape[-2:])[:, 0]
    which = torch.tensor([1 + subjects.index(scene.subject) for scene in scenes], device=logits.device)
    single = torch.tensor([not scene.second for scene in scenes], device=logits.device)
    certain = logits.float().log_softmax(1)
    named = certain.gather(1, which.view(-1, 1, 1, 1).expand(-1, 1, *logits.shape[-2:]))[:, 0]
    wrong = -(EMPTY * (1 - share) * certain[:, 0] + 2 * share * named)
    return (wrong.mean((1, 2)) * single).mean()
