"""GGUF files as diffusers takes them: matrices of layers stay packed in memory and are unpacked at each use; everything else is, once.

Its scales are 16-bit numbers, and it multiplies as such: what comes out has eleven bits at most, whatever it is computed in.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from webui.errors import ModelError

MISSING = "GGUF files are read with a library that is not installed: pip install 'stepwise-webui[quantize]'."


def read(path: Path, dtype: torch.dtype) -> dict[str, Any]:
    """All tensors of a file by their names, the matrices packed and the rest in `dtype` where it was packed.

    Raises:
        ModelError: the library is not installed.
    """
    if find_spec("gguf") is None:
        raise ModelError(MISSING, "model")
    from diffusers.models.model_loading_utils import load_gguf_checkpoint

    return {name: _unpacked(tensor, dtype) if tensor.ndim != 2 else tensor for name, tensor in load_gguf_checkpoint(path).items()}


def given(dtype: torch.dtype) -> dict[str, Any]:
    """What `from_single_file` of a denoiser is told of such tensors."""
    from diffusers import GGUFQuantizationConfig

    return {"torch_dtype": dtype, "quantization_config": GGUFQuantizationConfig(compute_dtype=dtype)}


def settle(denoiser: torch.nn.Module, dtype: torch.dtype) -> None:
    """Unpack what no layer would unpack for itself: tables that look like matrices."""
    from diffusers.quantizers.gguf.utils import GGUFLinear

    for part in denoiser.modules():
        if not isinstance(part, GGUFLinear):
            for name, parameter in part.named_parameters(recurse=False):
                if hasattr(parameter, "quant_type"):
                    setattr(part, name, torch.nn.Parameter(_unpacked(parameter, dtype), requires_grad=False))


def shape(tensor: Any) -> tuple[int, ...]:
    """A tensor's shape, or that of what is packed in it."""
    return tuple(getattr(tensor, "quant_shape", tensor.shape))


def _unpacked(tensor: Any, dtype: torch.dtype) -> Any:
    from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

    return dequantize_gguf_tensor(tensor).to(dtype) if hasattr(tensor, "quant_type") else tensor
