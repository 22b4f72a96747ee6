"""What changes a model and is none itself: LoRAs, autoencoders, textual-inversion embeddings. Told by the tensors' names and shapes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, NamedTuple

from webui.engine.catalogue import Latents
from webui.engine.embeddings import WIDTHS as WORD_WIDTHS
from webui.engine.embeddings import vectors
from webui.engine.tensors import Header

Kind = Literal["lora", "vae", "embedding"]

LORA = re.compile(r"^lora_(unet|te|te1|te2|transformer)_|\.lora_(A|B|up|down)\.|\.lora\.(up|down)\.")

CROSS = re.compile(r"attn2[._]to_k[._](lora_down|lora_A|lora\.down)")
"""The layer of a LoRA that takes the text: the second dimension of its tensor is the width of ..."""

WIDTHS: Mapping[int, str] = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}
"""... these families' text."""

JOINT = re.compile(r"joint_transformer_blocks|joint_blocks")
"""Layers that Stable Diffusion 3 alone has."""

TEXT_SIDE = ("lora_te", "text_encoder", "te_", "te1_", "te2_")
"""How tensors of a LoRA begin that change a text encoder; the others change the denoiser."""

AUTOENCODER = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "loss.", "bn.")

CHANNELS: Mapping[int, str] = {
    4: "For Stable Diffusion 1.x, 2.x or XL.",
    16: "For models with 16 latent channels, such as Stable Diffusion 3 or FLUX.1.",
    32: "For FLUX.2.",
}
"""Latent channels of an autoencoder -> whose it may be; autoencoders of one layout are told apart by nothing else."""


SINGLE = "AutoencoderKL"
"""What an autoencoder in a single file is."""

USUAL: Mapping[str, float] = {SINGLE: 0.18215, "AutoencoderTiny": 1.0}
"""By what latents are scaled where a folder's configuration does not say it, as older ones do not."""

USUAL_CHANNELS = 4


class Extra(NamedTuple):
    """A file that goes with models."""

    kind: Kind
    family: str
    """What it is for; empty where its tensors do not say."""
    parameters: Mapping[str, int]
    """Numbers in each part that it changes or is."""
    summary: str = ""
    latents: Latents | None = None
    """Of an autoencoder, where they are known."""


def extra(found: Header) -> Extra | None:
    """What the file is, if it is one of these."""
    return _lora(found) or _autoencoder(found) or _embedding(found)


def _lora(found: Header) -> Extra | None:
    if not any(LORA.search(key) for key in found.tensors):
        return None
    counted: Counter[str] = Counter()
    for key, tensor in found.tensors.items():
        counted["text encoder" if key.startswith(TEXT_SIDE) else "denoiser"] += math.prod(tensor.shape)
    return Extra("lora", _family(found), counted)


def _family(found: Header) -> str:
    for key, tensor in found.tensors.items():
        if CROSS.search(key) and tensor.shape[1:2] and tensor.shape[1] in WIDTHS:
            return WIDTHS[tensor.shape[1]]
    return "Stable Diffusion 3" if any(JOINT.search(key) for key in found.tensors) else ""


def _autoencoder(found: Header) -> Extra | None:
    names = {key.removeprefix("first_stage_model."): tensor for key, tensor in found.tensors.items()}
    first = names.get("decoder.conv_in.weight")
    if first is None or len(first.shape) != 4 or not all(key.startswith(AUTOENCODER) for key in names):
        return None
    channels = first.shape[1]
    # FLUX.2's have a batch norm; diffusers opens them from folders alone.
    read = None if any(key.startswith("bn.") for key in names) else Latents(SINGLE, channels)
    return Extra("vae", "", {"vae": found.parameters}, CHANNELS.get(channels, f"It has {channels} latent channels."), read)


def latents_of(config: Mapping[str, Any]) -> Latents | None:
    """Those of an autoencoder in a folder, by its configuration."""
    kind = str(config.get("_class_name", ""))
    channels, scale = config.get("latent_channels", config.get("z_dim", USUAL_CHANNELS)), config.get("scaling_factor", USUAL.get(kind))
    return Latents(kind, channels, scale) if kind and type(channels) is int and type(scale) in (float, int, NoneType) else None


def _embedding(found: Header) -> Extra | None:
    known = vectors(found)
    family = next((name for name, widths in WORD_WIDTHS.items() if known is not None and widths == known[1]), "")
    if known is None or not family:
        return None
    count = known[2]
    return Extra("embedding", family, {"vectors": found.parameters}, f"{count} vector{'s' * (count != 1)} of a text encoder.")
