"""Writes tiny pipelines with random weights to disk: true files of a true format, some hundred kilobytes, loaded in a second."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WINDOW = 16
"""Of the text encoder: short, so that prompts of a few words are already long."""


def tokenizer(window: int = WINDOW) -> CLIPTokenizer:
    """A CLIP tokenizer of single characters."""
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: k for k, token in enumerate(tokens)}, merges=[], model_max_length=window)


def write_pipeline(folder: Path, *, seed: int = 0, prediction: str = "v_prediction", kl: bool = False, window: int = WINDOW) -> Path:
    """A Stable Diffusion pipeline of 64 x 64 pixels; the seed decides its weights, `kl` the kind of its autoencoder."""
    torch.manual_seed(seed)
    words = tokenizer(window)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=window, bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
        )
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1, cross_attention_dim=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2, norm_num_groups=8,
    )  # fmt: skip
    vae = _large_autoencoder() if kl else _small_autoencoder()
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.02, beta_schedule="scaled_linear", prediction_type=prediction, clip_sample=False, steps_offset=1
    )
    pipe: Any = StableDiffusionPipeline(
        vae, text_encoder, words, unet, scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipe.save_pretrained(folder)
    (folder / "card.json").write_text(
        json.dumps({"title": "Tiny", "width": 64, "height": 64, "steps": 4, "guidance": 3.0, "sampler": "Euler"})
    )
    return folder


def _small_autoencoder() -> AutoencoderTiny:
    """Of the built-in model's class."""
    channels = (8, 8, 8, 8)
    return AutoencoderTiny(
        latent_channels=4, encoder_block_out_channels=channels, decoder_block_out_channels=channels,
        num_encoder_blocks=(0, 1, 1, 1), num_decoder_blocks=(1, 1, 1, 0),
    )  # fmt: skip


def _large_autoencoder() -> AutoencoderKL:
    """Of Stable Diffusion's own class."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, sample_size=64,
    )  # fmt: skip
