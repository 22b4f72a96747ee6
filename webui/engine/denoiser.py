"""A file that holds a denoiser becomes one: its configuration is read from its shapes, and its tensors are renamed as diffusers has them.

Where diffusers' own converters take any size, they do it. Those of FLUX.1, Chroma and Lumina 2 have the sizes of the published models in
them (3072; 2304 and 768), so that a smaller one would be cut in the wrong places: these are renamed by the tables in `renames.py`, which
cut by the file's own shapes, and copy nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import torch
from safetensors.torch import load_file

from webui.engine.denoisers import inner, measured
from webui.engine.families import FAMILIES
from webui.engine.files import recognise
from webui.engine.opening import lender, open_around
from webui.engine.renames import RENAMES, renamed
from webui.errors import ModelError


def open_lent(path: Path, around: Path, dtype: torch.dtype, small: Collection[str] = ()) -> Any:
    """The pipeline of a file that holds a denoiser, with the other parts of the folder `around`; those named in `small` in 8 bits.

    Raises:
        ModelError: the file or the folder cannot be opened.
    """
    family = recognise(path).family
    return open_around(around, family, dtype, _denoiser(path, family, around, dtype, "transformer" in small), small)


def _denoiser(path: Path, family: str, around: Path, dtype: torch.dtype, small: bool) -> Any:
    row = FAMILIES[family].denoiser
    assert row is not None
    folder = lender(around)
    kind = folder.configs[""][folder.denoiser][1]
    tensors = _tensors(path, dtype)
    tensors = {name: tensors[key] for name, key in inner(tensors).items()}
    try:
        # Where neither the shapes nor the folder say it, it is as its class has it, which is as it was published.
        usual = {name: one.default for name, one in signature(getattr(diffusers, kind).__init__).parameters.items() if name != "self"}
        shapes = {name: tuple(getattr(tensor, "quant_shape", tensor.shape)) for name, tensor in tensors.items()}
        config = measured(row, shapes, {**usual, **folder.configs[folder.denoiser]})
        if kind in RENAMES:
            tensors = renamed(tensors, RENAMES[kind], config)
    except (KeyError, IndexError) as error:
        raise ModelError(f"It is {family}, but {error} is missing or of another shape. Download the whole file.", "model") from None
    # What is to be in 8 bits is left as it lies in the file until each matrix of it is.
    more: dict[str, Any] = {"torch_dtype": None if small else dtype}
    if path.suffix.lower() == ".gguf":
        more = {"quantization_config": diffusers.GGUFQuantizationConfig(compute_dtype=dtype), "torch_dtype": dtype}
    with TemporaryDirectory() as place:  # diffusers reads a configuration from a file alone
        (Path(place) / "config.json").write_text(json.dumps({**config, "_class_name": kind}))
        made = getattr(diffusers, kind).from_single_file(tensors, config=place, subfolder="", local_files_only=True, **more)
    if missing := [name for name, parameter in made.named_parameters() if parameter.is_meta]:
        raise ModelError(f"It is {family}, but {len(missing)} of its tensors are missing, such as {missing[0]}.", "model")
    return made


def _tensors(path: Path, dtype: torch.dtype) -> dict[str, Any]:
    """All tensors of a file. Matrices that a GGUF file has packed stay so: each is unpacked whenever it is used."""
    if path.suffix.lower() != ".gguf":
        return load_file(path)  # mapped into memory, not read
    if find_spec("gguf") is None:
        raise ModelError("It is a GGUF file, for which a library is missing: pip install 'stepwise-webui[quantize]'.", "model")
    from diffusers.models.model_loading_utils import load_gguf_checkpoint
    from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

    return {
        name: dequantize_gguf_tensor(tensor).to(dtype) if hasattr(tensor, "quant_type") and len(tensor.shape) != 2 else tensor
        for name, tensor in load_gguf_checkpoint(path).items()
    }
