"""A file that holds a denoiser becomes one: its configuration is read from its shapes, and its tensors are renamed as diffusers has them.

Where diffusers' own converters take any size, they do it. Those of FLUX.1, Chroma and Lumina 2 have the sizes of the published models in
them (3072; 2304 and 768), so that a smaller one would be cut in the wrong places: these are renamed by the tables in `renames.py`, which
cut by the file's own shapes, and copy nothing.
"""

from __future__ import annotations

import json
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


def open_lent(path: Path, around: Path, dtype: torch.dtype) -> Any:
    """The pipeline of a file that holds a denoiser, with the other parts of the folder `around`.

    Raises:
        ModelError: the file or the folder cannot be opened.
    """
    family = recognise(path).family
    return open_around(around, family, dtype, _denoiser(path, family, around, dtype))


def _denoiser(path: Path, family: str, around: Path, dtype: torch.dtype) -> Any:
    row = FAMILIES[family].denoiser
    assert row is not None
    folder = lender(around)
    kind = folder.configs[""][folder.denoiser][1]
    tensors: dict[str, Any] = load_file(path)  # mapped into memory, not read
    tensors = {name: tensors[key] for name, key in inner(tensors).items()}
    try:
        # Where neither the shapes nor the folder say it, it is as its class has it, which is as it was published.
        usual = {name: one.default for name, one in signature(getattr(diffusers, kind).__init__).parameters.items() if name != "self"}
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        config = measured(row, shapes, {**usual, **folder.configs[folder.denoiser]})
        if kind in RENAMES:
            tensors = renamed(tensors, RENAMES[kind], config)
    except (KeyError, IndexError) as error:
        raise ModelError(f"It is {family}, but {error} is missing or of another shape. Download the whole file.", "model") from None
    with TemporaryDirectory() as place:  # diffusers reads a configuration from a file alone
        (Path(place) / "config.json").write_text(json.dumps({**config, "_class_name": kind}))
        made = getattr(diffusers, kind).from_single_file(tensors, config=place, subfolder="", local_files_only=True, torch_dtype=dtype)
    if missing := [name for name, parameter in made.named_parameters() if parameter.is_meta]:
        raise ModelError(f"It is {family}, but {len(missing)} of its tensors are missing, such as {missing[0]}.", "model")
    return made
