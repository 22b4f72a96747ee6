"""Writes GGUF files as denoisers are shared in them: matrices packed, the rest in float32, the names of their makers' layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Packing

from tests.denoisers import original


def write_gguf(
    file: Path, denoiser: Any, packing: Packing = Packing.Q8_0, *, architecture: str = "flux", **notes: str
) -> dict[str, torch.Tensor]:
    """The weights in a file. What they are once they are unpacked, by the same names."""
    writer = gguf.GGUFWriter(file, "flux")
    for key, note in notes.items():
        writer.add_string(key.replace("__", "."), note)
    block, _ = gguf.GGML_QUANT_SIZES[packing]
    unpacked = {}
    for name, value in original(denoiser).items():
        numbers = value.float().numpy()
        if numbers.ndim == 2 and numbers.shape[1] % block == 0:
            data = gguf.quants.quantize(numbers, packing)
            writer.add_tensor(name, data, raw_dtype=packing)
            numbers = gguf.quants.dequantize(data, packing)
        else:
            writer.add_tensor(name, np.ascontiguousarray(numbers))
        unpacked[name] = torch.from_numpy(np.array(numbers))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return unpacked
