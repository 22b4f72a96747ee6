"""The trained parts as one pipeline, and the noise schedule that it was trained with."""

from __future__ import annotations

from pathlib import Path

from diffusers import AutoencoderTiny, DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

BETAS = {"beta_start": 0.00085, "beta_end": 0.02, "beta_schedule": "scaled_linear"}


def alphas() -> Tensor:
    """(1000,) share of the signal's power left at each timestep."""
    return DDPMScheduler(**BETAS).alphas_cumprod


def assemble(folder: Path, size: int, unet: UNet2DConditionModel | None = None) -> StableDiffusionPipeline:
    """The pipeline of the trained parts, float32; `size` is its native width and height in pixels."""
    unet = unet or UNet2DConditionModel.from_pretrained(folder / "unet")
    unet.register_to_config(sample_size=size // 8)
    # Trailing spacing starts where hardly any signal is left: very dark and very light pictures need it (Lin et al. 2024).
    scheduler = DDIMScheduler(
        **BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1, timestep_spacing="trailing"
    )
    return StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(folder / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
