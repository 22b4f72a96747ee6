"""The U-Net: built for a size, or grown from one that has learned at half of it.

Growing (Karras et al. 2018): most of what there is to learn, shapes and where they stand, is in small pictures, where a sample costs less.
The levels of the small U-Net become the inner ones of the large; one level of few channels is put around them.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from .pipeline import alphas

CHANNELS = {128: (64, 128, 256), 256: (32, 64, 128, 256)}
"""Size in pixels -> channels of each level, outermost first."""


def build(size: int) -> UNet2DConditionModel:
    """15.7 or 15.8 M parameters; 0.9 or 1.2 GFLOP a picture and step, at 128 or 256 pixels. The pooled caption reaches every block
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
    """The U-Net for 256 px that goes on from one for 128 px. What has no counterpart starts anew."""
    large = build(256)
    for name in ("time_embedding.linear_2", "add_embedding", "mid_block"):
        copy(small.get_submodule(name), large.get_submodule(name))
    for level in range(3):
        copy(small.down_blocks[level], large.down_blocks[level + 1])
        copy(small.up_blocks[level], large.up_blocks[level])
    first = large.time_embedding.linear_1
    first.weight.data, first.bias.data = same_answers(small, large)
    return large


def copy(old: nn.Module, new: nn.Module) -> None:
    """Every parameter that has its counterpart; of one that takes fewer channels now, the first ones."""
    before = dict(old.named_parameters())
    for name, parameter in new.named_parameters():
        source = before.get(name)
        if source is not None and source.dim() == parameter.dim():
            part = tuple(slice(min(a, b)) for a, b in zip(source.shape, parameter.shape, strict=True))
            parameter.data[part] = source.data[part]


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
