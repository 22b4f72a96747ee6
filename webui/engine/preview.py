"""Latents become a small picture, so cheaply that nobody would switch it off: one linear map, 0.3 % of a step.

The map is a convolution from latents to `scale * scale` RGB pixels each, then a pixel shuffle (Shi et al. 2016). The built-in model ships
its own (3x3, four pixels a side); for any other autoencoder one is fitted through its decoder before its first preview, which takes a
second with that of Stable Diffusion on a CPU: a fifth of what the model takes to load, so nobody waits for it who wants no preview.
"""

from __future__ import annotations

import io
import logging
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from webui.engine import placement

QUALITY = 80
SIDE, POINTS = 8, 3
"""Of the smooth random latents that a missing map is fitted on, and of the points that they run through. Wider ones and more of them give
0.4 dB more of a picture, and a large decoder takes ten seconds for them instead of one."""

log = logging.getLogger(__name__)


class Preview:
    """The latent-to-RGB map of one autoencoder; `folder` is where it came with one, if it did."""

    def __init__(self, folder: Path, vae: Any) -> None:
        self._folder, self._vae = folder, vae

    @cached_property
    def _map(self) -> tuple[Tensor, Tensor]:
        """Weight and bias: (3 scale^2, channels, k, k) and (3 scale^2,)."""
        return _shipped(self._folder / "preview.safetensors", _channels(self._vae)) or _fit(self._vae)

    def fast(self, x0: Tensor) -> bytes:
        """A JPEG of the clean estimate (1, channels, h, w), `scale` pixels per latent."""
        weight, bias = self._map
        edge, scale = weight.shape[-1] // 2, math.isqrt(len(bias) // 3)
        latents = F.pad(x0.float().cpu(), (edge,) * 4, mode="replicate") if edge else x0.float().cpu()
        return jpeg(F.pixel_shuffle(F.conv2d(latents, weight, bias), scale)[0])

    def fine(self, x0: Tensor) -> bytes:
        """A JPEG of the clean estimate through the model's own decoder, at full size."""
        return jpeg(decode(self._vae, x0)[0].cpu())


def decode(vae: Any, latents: Tensor) -> Tensor:
    """(n, 3, height, width), nominally in [0, 1] but not clamped, from latents (n, channels, h, w) as the sampler sees them."""
    config = vae.config
    mean, spread = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))
    scaled = latents / getattr(config, "scaling_factor", 1.0) + (getattr(config, "shift_factor", None) or 0)
    if mean is not None and spread is not None:
        scaled = scaled * scaled.new_tensor(spread)[:, None, None] + scaled.new_tensor(mean)[:, None, None]
    if hasattr(config, "z_dim"):  # an autoencoder for films: ours have one frame
        return placement.decode(vae, scaled[:, :, None].to(vae.dtype))[:, :, 0].float() / 2 + 0.5
    return placement.decode(vae, scaled.to(vae.dtype)).float() / 2 + 0.5


def _channels(vae: Any) -> int:
    """Of its latents."""
    return int(getattr(vae.config, "latent_channels", None) or vae.config.z_dim)


def jpeg(rgb: Tensor) -> bytes:
    """(3, h, w) in [0, 1], clamped, as JPEG."""
    stream = io.BytesIO()
    pixels = (rgb.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def _shipped(file: Path, channels: int) -> tuple[Tensor, Tensor] | None:
    """Weight and bias of the map that came with the model, if there is one that fits its latents."""
    if not file.is_file():
        return None
    try:
        numbers = load_file(file)
        weight, bias = numbers["weight"].float(), numbers["bias"].float()
        rgb = F.conv2d(torch.zeros(1, channels, 8, 8), weight, bias)
        scale = math.isqrt(len(bias) // 3)
        if len(bias) == 3 * scale**2 and weight.shape[-2] == weight.shape[-1] and weight.shape[-1] % 2 and rgb.isfinite().all():
            return weight, bias
    except (SafetensorError, KeyError, RuntimeError, OSError) as error:
        log.debug("%s: %s", file, error)
    log.warning("%s does not fit the model and is left aside", file)
    return None


@torch.no_grad()
def _fit(vae: Any) -> tuple[Tensor, Tensor]:
    """A 1x1 map by least squares on smooth random latents and what the decoder makes of them.

    1x1 only: on smooth latents neighbours are nearly collinear, and a wider map generalises worse.
    """
    channels = _channels(vae)
    generator = torch.Generator().manual_seed(0)
    count = math.ceil(2 * channels / POINTS**2)  # twice as many points as there are unknowns for each colour
    points = 1.2 * torch.randn(count, channels, POINTS, POINTS, generator=generator)
    smooth = F.interpolate(torch.cat([points, -points]), size=(SIDE, SIDE), mode="bicubic")  # opposites settle the bias
    pictures = torch.cat([decode(vae, one[None].to(vae.device)).cpu().clamp(0, 1) for one in smooth])
    pixels = F.adaptive_avg_pool2d(pictures, SIDE).permute(0, 2, 3, 1).reshape(-1, 3)
    inputs = torch.cat([smooth.permute(0, 2, 3, 1).reshape(-1, channels), torch.ones(len(pixels), 1)], 1)
    ridge = 1e-3 * torch.eye(channels + 1)
    solved = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ pixels)
    return solved[:-1].T.reshape(3, channels, 1, 1).contiguous(), solved[-1].contiguous()
