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
from diffusers.loaders.single_file import load_single_file_sub_model
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from webui.engine import unpacking
from webui.engine.denoisers import Shapes, inner, measured
from webui.engine.families import FAMILIES
from webui.engine.files import DATA, Checkpoint, recognise
from webui.engine.opening import lender, open_around
from webui.engine.renames import RENAMES, renamed
from webui.engine.single import tokenizer
from webui.errors import ModelError


def open_lent(path: Path, around: Path, dtype: torch.dtype, small: Collection[str] = ()) -> Any:
    """The pipeline of a file that holds a denoiser, and perhaps some other parts; the rest is of the folder `around`.

    Args:
        small: the parts that are to be in 8 bits.

    Raises:
        ModelError: the file or the folder cannot be opened.
    """
    found = recognise(path)
    index = lender(around).configs[""]
    kind, config = class_of(around)
    denoiser = _denoiser(path, found.family, kind, config, dtype, "transformer" in small)
    return open_around(around, found.family, dtype, denoiser, small, **_held(path, found, index, around, dtype))


def open_alone(path: Path, dtype: torch.dtype, small: Collection[str] = ()) -> Any:
    """The pipeline of a file that holds all that it needs, with configurations and tokenizers of ours: Stable Diffusion 3 with its CLIPs.

    Raises:
        ModelError: the file cannot be opened.
    """
    found = recognise(path)
    folder = DATA / "sd3"
    index = json.loads((folder / "model_index.json").read_text())
    parts = dict.fromkeys(part for part, value in index.items() if value == [None, None])
    words = {part: tokenizer(second=part == "tokenizer_2") for part in ("tokenizer", "tokenizer_2")}
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    scheduler = getattr(diffusers, config["_class_name"]).from_config(config)
    denoiser = _denoiser(path, found.family, index["transformer"][1], {}, dtype, "transformer" in small)
    held = _held(path, found, index, folder, dtype)
    return getattr(diffusers, index["_class_name"])(**parts | held | words, transformer=denoiser, scheduler=scheduler)


def class_of(around: Path) -> tuple[str, Mapping[str, Any]]:
    """Class and configuration of a folder's own denoiser, whose weights may be missing.

    Raises:
        ModelError: the folder must not be opened.
    """
    folder = lender(around)
    return folder.configs[""][folder.denoiser][1], folder.configs[folder.denoiser]


def config_of(family: str, kind: str, shapes: Shapes, config: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration of a file's denoiser, by the shapes of its tensors under its makers' names (`denoisers.inner`).

    What they do not say (such as how positions are encoded) is as the folder's `config` has it, or else as it is published.

    Args:
        kind: class of diffusers, as `class_of` says it.

    Raises:
        ModelError: a tensor is missing.
    """
    row = FAMILIES[family].denoiser
    assert row is not None
    usual = {name: one.default for name, one in signature(getattr(diffusers, kind).__init__).parameters.items() if name != "self"}
    with _whole(family):
        return measured(row, shapes, {**usual, **config})


def _denoiser(path: Path, family: str, name: str, config: Mapping[str, Any], dtype: torch.dtype, small: bool) -> Any:
    packed = path.suffix.lower() == ".gguf"
    tensors: dict[str, Any] = unpacking.read(path, dtype) if packed else load_file(path)  # the latter is mapped into memory, not read
    tensors = {name: tensors[key] for name, key in inner(tensors).items()}
    config = config_of(family, name, {name: unpacking.shape(tensor) for name, tensor in tensors.items()}, config)
    kind = getattr(diffusers, name)
    # What is to be in 8 bits is left as it lies in the file until each matrix of it is (`quantized.quantize`).
    given = unpacking.given(dtype) if packed else {"torch_dtype": None if small else dtype}
    with _whole(family), TemporaryDirectory() as place:  # diffusers reads a configuration from a file alone
        (Path(place) / "config.json").write_text(json.dumps({**config, "_class_name": name}))
        if name in RENAMES:
            tensors = _known(kind, config, renamed(tensors, RENAMES[name], config))
        made = kind.from_single_file(tensors, config=place, subfolder="", local_files_only=True, **given)
        _check(made)
    if packed:
        unpacking.settle(made, dtype)
    return made


def _known(kind: Any, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that the denoiser has, all of them: or else diffusers would rename them once more."""
    with torch.device("meta"):
        return {name: tensors[name] for name in kind.from_config(config).state_dict()}


def _held(path: Path, found: Checkpoint, index: Mapping[str, Any], folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """The parts that the file holds beside its denoiser and that its pipeline has, with the configurations of a folder."""
    row = FAMILIES[found.family].denoiser
    assert row is not None
    opened = {}
    for part in found.holds:
        library, kind = index.get(part) or (None, None)
        if part in row.held and library is not None:
            with safe_open(path, "pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys() if key.startswith(row.held[part])}  # noqa: SIM118 - no mapping
            with _whole(found.family):
                opened[part] = load_single_file_sub_model(
                    library, kind, part, tensors, diffusers.pipelines, False, str(folder), local_files_only=True, torch_dtype=dtype
                )
                _check(opened[part])
                opened[part].eval()  # diffusers leaves a T5 as it is trained, with dropout
    return opened


def _check(part: Any) -> None:
    """Whether every tensor has come.

    Raises:
        KeyError: one has not.
    """
    if missing := [name for name, parameter in part.named_parameters() if parameter.is_meta]:
        raise KeyError(missing[0])


@contextmanager
def _whole(family: str) -> Iterator[None]:
    """A tensor that is looked for in vain is missing in the file."""
    try:
        yield
    except (KeyError, IndexError) as error:
        raise ModelError(f"It is {family}, but its tensor {error} is missing. Download the whole file.", "model") from error
