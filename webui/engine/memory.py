"""How much memory there is, what a model needs of it, and in which type its weights are loaded for that."""

from __future__ import annotations

import gc

import psutil
import torch

from webui.engine.catalogue import Model
from webui.errors import ModelError

LARGE = 1_500_000_000
"""Parameters from which on a model is loaded in bfloat16 on an accelerator: in float32 it would be slow there, and seldom fit."""

ROOM = {"cpu": 1.5}
"""Memory taken while a model is loaded and run, as a multiple of its weights: those that are cast lie there twice."""

ELSEWHERE = 1.2

BYTES = {torch.float32: 4, torch.bfloat16: 2}


def free(device: torch.device) -> int:
    """Bytes that can still be taken on the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def needed(model: Model, dtype: torch.dtype, device: torch.device) -> int:
    """Bytes that the model takes on the device when it is loaded in this type."""
    return round(sum(model.parameters.values()) * BYTES[dtype] * ROOM.get(device.type, ELSEWHERE))


def preferred(model: Model, device: torch.device) -> torch.dtype:
    """Where memory allows: float32, in which a seed gives the same picture everywhere, unless the model is large."""
    large = sum(model.parameters.values()) >= LARGE and device.type != "cpu"
    return torch.bfloat16 if large else torch.float32


def choose(model: Model, device: torch.device, room: int) -> torch.dtype:
    """The type to load a model in, with `room` bytes free: the preferred one, or else bfloat16.

    Raises:
        ModelError: it does not fit at all.
    """
    for dtype in (preferred(model, device), torch.bfloat16):
        if needed(model, dtype, device) <= room:
            return dtype
    least = needed(model, torch.bfloat16, device)
    raise ModelError(
        f"The model {model.name} cannot be loaded: it needs about {least / 1e9:.1f} GB of memory, and {room / 1e9:.1f} GB are free. "
        "Close other programs, or choose a smaller model.",
        "model",
    )


def exhausted(error: BaseException) -> bool:
    """Whether this says that there is no memory left, on an accelerator or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def release() -> None:
    """Give back what is held for later."""
    gc.collect()
    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
