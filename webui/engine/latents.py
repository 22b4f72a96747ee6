"""The latents of each family, laid out as pictures are: (1, channels, h, w)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from webui.engine.families import Layout


def _plain(pipe: Any, x0: Tensor, width: int, height: int) -> Tensor:
    return x0


def _packed(pipe: Any, x0: Tensor, width: int, height: int) -> Tensor:
    """From tokens of two by two latents; Qwen-Image's have a frame as well."""
    unpacked: Tensor = pipe._unpack_latents(x0, height, width, pipe.vae_scale_factor)
    return unpacked if unpacked.ndim == 4 else unpacked[:, :, 0]


def _flux2(pipe: Any, x0: Tensor, width: int, height: int) -> Tensor:
    """From tokens of two by two latents that a batch norm has normalised."""
    grain = 2 * pipe.vae_scale_factor
    tokens = x0.transpose(1, 2).reshape(len(x0), -1, height // grain, width // grain)
    norm = pipe.vae.bn
    deviation = torch.sqrt(norm.running_var + pipe.vae.config.batch_norm_eps)
    unpacked: Tensor = pipe._unpatchify_latents(tokens * deviation[:, None, None] + norm.running_mean[:, None, None])
    return unpacked


def _any(pipe: Any, x0: Tensor, width: int, height: int) -> Tensor | None:
    """By what they look like: nobody has looked at the pipeline. Where they look like nothing, there is nothing to see on the way."""
    channels = getattr(pipe.vae.config, "latent_channels", None)
    if x0.ndim == 3 and hasattr(pipe, "_unpack_latents"):
        x0 = _packed(pipe, x0, width, height)
    return x0 if x0.ndim == 4 and x0.shape[1] == channels else None


LAYOUTS: Mapping[Layout, Callable[[Any, Tensor, int, int], Tensor | None]] = {
    "plain": _plain,
    "packed": _packed,
    "flux2": _flux2,
    "any": _any,
}
"""Each takes the pipeline, x0 as it lies in a step, and the picture's width and height in pixels."""
