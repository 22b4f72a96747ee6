"""A file that holds a denoiser becomes one: its configuration is read from its shapes, and its tensors are renamed as diffusers has them.

Where diffusers' own converters take any size, they do it. Those of FLUX.1, Chroma and Lumina 2 have the sizes of the published models in
them (3072; 2304 and 768), so that a smaller one would be cut in the wrong places: these are renamed by the tables in `renames.py`, which
cut by the file's own shapes, and copy nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import torch
from safetensors.torch import load_file
from torch import Tensor

from webui.engine import unpacking
from webui.engine.denoisers import Shapes, inner, measured
from webui.engine.families import FAMILIES
from webui.engine.files import recognise
from webui.engine.opening import lender, open_around
from webui.engine.renames import RENAMES, renamed
from webui.errors import ModelError


def open_lent(path: Path, around: Path, dtype: torch.dtype, small: Collection[str] = ()) -> Any:
    """The pipeline of a file that holds a denoiser, with the other parts of the folder `around`; those in `small` are to be in 8 bits.

    Raises:
        ModelError: the file or the folder cannot be opened.
    """
    family = recognise(path).family
    return open_around(around, family, dtype, _denoiser(path, family, around, dtype, "transformer" in small), small)


def config_of(family: str, around: Path, shapes: Shapes) -> tuple[str, dict[str, Any]]:
    """Class and configuration of a file's denoiser, by the shapes of its tensors under its makers' names (`denoisers.inner`).

    What they do not say (such as how positions are encoded) is as the folder `around` has it, or else as it is published.

    Raises:
        ModelError: the folder must not be opened, or a tensor is missing.
    """
    row = FAMILIES[family].denoiser
    assert row is not None
    folder = lender(around)
    kind = folder.configs[""][folder.denoiser][1]
    usual = {name: one.default for name, one in signature(getattr(diffusers, kind).__init__).parameters.items() if name != "self"}
    with _whole(family):
        return kind, measured(row, shapes, {**usual, **folder.configs[folder.denoiser]})


def _denoiser(path: Path, family: str, around: Path, dtype: torch.dtype, small: bool) -> Any:
    packed = path.suffix.lower() == ".gguf"
    tensors: dict[str, Any] = unpacking.read(path, dtype) if packed else load_file(path)  # the latter is mapped into memory, not read
    tensors = {name: tensors[key] for name, key in inner(tensors).items()}
    name, config = config_of(family, around, {name: unpacking.shape(tensor) for name, tensor in tensors.items()})
    kind = getattr(diffusers, name)
    # What is to be in 8 bits is left as it lies in the file until each matrix of it is (`quantized.quantize`).
    given = unpacking.given(dtype) if packed else {"torch_dtype": None if small else dtype}
    with _whole(family), TemporaryDirectory() as place:  # diffusers reads a configuration from a file alone
        (Path(place) / "config.json").write_text(json.dumps({**config, "_class_name": name}))
        if name in RENAMES:
            tensors = _known(kind, config, renamed(tensors, RENAMES[name], config))
        made = kind.from_single_file(tensors, config=place, subfolder="", local_files_only=True, **given)
        if missing := [name for name, parameter in made.named_parameters() if parameter.is_meta]:
            raise KeyError(missing[0])
    if packed:
        unpacking.settle(made, dtype)
    return made


def _known(kind: Any, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that the denoiser has, all of them: or else diffusers would rename them once more."""
    with torch.device("meta"):
        return {name: tensors[name] for name in kind.from_config(config).state_dict()}


@contextmanager
def _whole(family: str) -> Iterator[None]:
    """A tensor that is looked for in vain is missing in the file."""
    try:
        yield
    except (KeyError, IndexError) as error:
        raise ModelError(f"It is {family}, but its tensor {error} is missing. Download the whole file.", "model") from error
