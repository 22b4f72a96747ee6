"""The U-Net: built for a size, or grown from one that has learned at half of it.

Growing (Karras et al. 2018): most of what there is to learn, shapes and where they stand, is in small pictures, where a sample costs less.
The levels of the small U-Net become the inner ones of the large; one level is put around them.
"""

from __future__ import annotations

import itertools

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from .pipeline import alphas

CHANNELS = {128: (64, 128, 256), 256: (64, 64, 128, 256)}
"""Size in pixels -> channels of each level, outermost first."""
SCALE = 1.3
"""By how much halved latents are too faint for the small U-Net, at a middling sigma: their noise has lost half, their picture little."""


def build(size: int) -> UNet2DConditionModel:
    """15.7 or 16.1 M parameters; 0.9 or 1.7 GFLOP a picture and step, at 128 or 256 pixels. The pooled caption reaches every block
    (`addition_embed_type`); attention at the lowest level only: cheap. Its output is 0 at first."""
    channels = CHANNELS[size]
    plain = len(channels) - 1
    unet = UNet2DConditionModel(
        sample_size=size // 8,
        in_channels=4,
        out_channels=4,
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * plain,
        cross_attention_dim=192,
        attention_head_dim=4,
        norm_num_groups=16,
        time_embedding_dim=256,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )
    unet.conv_out.weight.data.zero_()
    return unet


def grow(small: UNet2DConditionModel) -> UNet2DConditionModel:
    """The U-Net for 256 px that goes on from one for 128 px: until it learns more, it paints what the small one would, twice as wide. The
    residual branches of the new level are silent at first.
    """
    large = build(256)
    for name in ("time_embedding.linear_2", "add_embedding", "mid_block", "conv_norm_out", "conv_out"):
        large.get_submodule(name).load_state_dict(small.get_submodule(name).state_dict())
    for level in range(3):
        large.down_blocks[level + 1].load_state_dict(small.down_blocks[level].state_dict())
        large.up_blocks[level].load_state_dict(small.up_blocks[level].state_dict(), strict=False)  # the last gains an upsampler
    first = large.time_embedding.linear_1
    first.weight.data, first.bias.data = same_answers(small, large)
    halve(small.conv_in, large.conv_in, large.down_blocks[0].downsamplers[0].conv)
    let_through(large.up_blocks[2].upsamplers[0].conv)
    for block in (large.down_blocks[0], large.up_blocks[3]):
        for resnet in block.resnets:
            nn.init.zeros_(resnet.conv2.weight)
            nn.init.zeros_(resnet.conv2.bias)
            if resnet.conv_shortcut is not None:
                let_through(resnet.conv_shortcut)
    return large


def let_through(conv: nn.Conv2d) -> None:
    """As many of the first channels as there is room for go through unchanged."""
    nn.init.dirac_(conv.weight)
    nn.init.zeros_(conv.bias)


def halve(small: nn.Conv2d, gather: nn.Conv2d, shrink: nn.Conv2d) -> None:
    """Sets `gather` and `shrink`, of stride 2, so that one after the other they do what `small` does to latents of half the size.

    The first channels of `gather` are each latent's 3 x 3 neighbours; with the 3 x 3 of `shrink` that is 5 x 5. Three averages of two would
    be 6 wide: in the third, one latent stands for both.
    """
    pool = torch.tensor([[0.5, 0.5, 0, 0, 0], [0, 0, 0.5, 0.5, 0], [0, 0, 0, 0, 1]])
    wide = torch.einsum("ocij,iy,jx->ocyx", small.weight.data, pool, pool)
    neighbours = 4 * 9
    gather.weight.data[:neighbours] = torch.eye(neighbours).view(neighbours, 4, 3, 3)
    gather.bias.data[:neighbours] = 0
    shrink.weight.data.zero_()
    shrink.bias.data.copy_(small.bias.data)
    for row, column in itertools.product(range(5), range(5)):
        near = [min(max(at - 1, 0), 2) for at in (row, column)]  # which of the 3 x 3 of `shrink`
        shift = [at - part for at, part in zip((row, column), near, strict=True)]  # and of which neighbour
        shrink.weight.data[:, 3 * shift[0] + shift[1] : neighbours : 9, near[0], near[1]] = SCALE * wide[:, :, row, column]


def same_answers(small: UNet2DConditionModel, large: UNet2DConditionModel) -> tuple[Tensor, Tensor]:
    """Weight and bias of the large one's first layer of time, by least squares: so that the inner levels hear the timestep that they know.

    Halving a picture halves the deviation of its noise too. What the inner levels see at sigma, they learned at sigma / 2.
    """
    sigma = ((1 - alphas()) / alphas()).sqrt()
    learned = torch.searchsorted(sigma, sigma / 2).clamp(max=999)
    with torch.no_grad():
        wanted = small.time_embedding.linear_1(small.time_proj(learned)).double()
        given = large.time_proj(torch.arange(1000)).double()
    given = torch.cat([given, torch.ones(1000, 1)], 1)
    # Slow waves are all but constant over the timesteps: without a ridge, their weights would be larger than float16 can say.
    solved = torch.linalg.solve(given.T @ given + 1e-2 * torch.eye(given.shape[1]), given.T @ wanted).float()
    return solved[:-1].T.contiguous(), solved[-1].contiguous()
