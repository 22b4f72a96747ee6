"""How much memory there is, and what a model and its pictures need of it."""

from __future__ import annotations

import gc
from collections.abc import Mapping

import psutil
import torch

from webui.engine.catalogue import Model
from webui.engine.families import FAMILIES

ROOM = {"cpu": 1.5}
"""Memory taken while a model is loaded and run, as a multiple of its weights: those that are cast lie there twice."""

ELSEWHERE = 1.2

STREAMED = 0.1
"""Share of a part's weights that are on the device at once when its layers are fetched one by one: the largest, and the next."""

PER_PIXEL = 768
"""Numbers that decoding takes per pixel of the picture, measured with the autoencoder of Stable Diffusion; Sana's takes 580, Qwen-Image's,
which is for films, 1730."""

TILE = 512
"""Pixels a side of what is decoded at once in tiles: such a part is blended with its neighbours, which costs a third more time."""

WORTH = 800_000_000
"""Numbers of a part from which on 8 bits save enough to be worth their cost: the denoiser of Stable Diffusion has 860 million. CLIP is
smaller, and so is every autoencoder, which is never quantized: its faults would be seen in every picture."""

EXHAUSTED = ("can't allocate memory", "MPS backend out of memory")
"""What plain errors say where memory has run out: on the CPU, and on a Mac's GPU."""

BYTES: Mapping[torch.dtype, int] = {torch.float32: 4, torch.bfloat16: 2}


def free(device: torch.device) -> int:
    """Bytes that can still be taken on the device; what torch holds there for later is among them."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held
    return int(psutil.virtual_memory().available)


def decoding(width: int, height: int, size: int, *, tiled: bool = False) -> int:
    """Bytes that decoding a picture of so many pixels takes, with numbers of `size` bytes."""
    return min(width * height, TILE**2 if tiled else width * height) * PER_PIXEL * size


def needed(
    model: Model, dtype: torch.dtype, device: torch.device, *, tiled: bool = False, streamed: bool = False, quantized: bool = False
) -> int:
    """Bytes that the model and a picture of its usual size take on the device.

    Args:
        tiled: pictures are decoded in tiles.
        streamed: the layers of its large parts lie in main memory until they are needed.
        quantized: the matrices of what is worth it lie there in 8 bits.
    """
    weights = sum(
        stored(model, part, dtype, quantized=quantized) * (STREAMED if streamed and part in large_parts(model) else 1)
        for part in model.parameters
    )
    picture = decoding(model.defaults.width, model.defaults.height, BYTES[dtype], tiled=tiled)
    return round(weights * ROOM.get(device.type, ELSEWHERE)) + picture


def stored(model: Model, part: str, dtype: torch.dtype, *, quantized: bool = False) -> int:
    """Bytes of a part's weights."""
    small = part in model.packed or (quantized and part in quantizable(model))
    matrices = model.matrices.get(part, 0) if small else 0
    return (model.parameters[part] - matrices) * BYTES[dtype] + model.packed.get(part, matrices)


def quantizable(model: Model) -> tuple[str, ...]:
    """The parts whose matrices are worth being kept in 8 bits: the denoiser and the text encoders, where they are large."""
    parts = (part for part in model.parameters if part in ("unet", "transformer") or part.startswith("text_encoder"))
    return tuple(part for part in parts if model.parameters[part] >= WORTH and part not in model.packed)


def weighing(part: Model, dtype: torch.dtype, device: torch.device) -> int:
    """Bytes that something takes that is loaded beside a model, without the pictures that it makes."""
    return round(sum(part.parameters.values()) * BYTES[dtype] * ROOM.get(device.type, ELSEWHERE))


def large_parts(model: Model) -> tuple[str, ...]:
    """The parts whose layers can be fetched one by one: the denoiser, and language models where the pipeline itself calls them.

    CLIP and the autoencoder are small and stay. So does a T5 that is called by compel, which asks it where it lies and would be told
    main memory.
    """
    family = FAMILIES.get(model.family)
    words = family is not None and family.texts in ("its own", "masked T5")
    return tuple(part for part in model.parameters if part in ("unet", "transformer") or (words and part.startswith("text_encoder")))


def exhausted(error: BaseException) -> bool:
    """Whether this says that there is no memory left, on an accelerator or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in EXHAUSTED)


def release() -> None:
    """Give back what is held for later."""
    gc.collect()
    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
