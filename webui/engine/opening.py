"""A diffusers folder becomes a pipeline: judged once more, safetensors only, nothing from the network."""

from __future__ import annotations

from collections.abc import Collection
from inspect import signature
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from webui.engine import quantized
from webui.engine.families import FAMILIES, LENDERS, PIPELINES, family_of
from webui.engine.safety import UNUSED, Folder, inspect

SPARED = ("text_encoder_3", "tokenizer_3")
"""The T5 of Stable Diffusion 3: many people leave it away, since it is larger than the rest."""


def open_folder(path: Path, dtype: torch.dtype, small: Collection[str] = ()) -> Any:
    """The pipeline of a whole folder, with the parts that are named in `small` in 8 bits.

    Raises:
        ModelError: it must not be opened; the sentence says why.
    """
    return _opened(path, inspect(path, PIPELINES), dtype, small)


def lender(path: Path) -> Folder:
    """The folder that lends its parts, judged as it lies there now; its denoiser may be missing.

    Raises:
        ModelError: it must not be opened; the sentence says why.
    """
    return inspect(path, PIPELINES, LENDERS)


def open_around(path: Path, family: str, dtype: torch.dtype, denoiser: Any, small: Collection[str] = (), **more: Any) -> Any:
    """The pipeline of a folder with another denoiser, of a family that may be kin to the folder's.

    Args:
        path: `Model.around` of the file that holds the denoiser.
        family: the file's.
        denoiser: opened, of the class that the folder names.
        small: the folder's parts that are to be in 8 bits.
        more: other parts that do not come from the folder.

    Raises:
        ModelError: the folder must not be opened; the sentence says why.
    """
    folder = lender(path)
    pipe = _opened(path, folder, dtype, small, **{folder.denoiser: denoiser}, **more)
    row = FAMILIES[family].denoiser
    if row is not None and family_of(folder.pipeline, folder.configs) != family:
        # Its kin runs on another schedule, or is guided in another way.
        pipe.register_modules(scheduler=type(pipe.scheduler).from_config({**pipe.scheduler.config, **row.scheduler}))
        pipe.register_to_config(**row.pipeline)
    return pipe


def _opened(path: Path, folder: Folder, dtype: torch.dtype, small: Collection[str], **instead: Any) -> Any:
    kind = getattr(diffusers, folder.pipeline)
    given = {"dtype": dtype, "variant": folder.variant, "local_files_only": True, "use_safetensors": True}
    apart = {part: _part(path / part, *where, dtype, part in small) for part, where in folder.apart.items()}
    replaced = {part: value for part, value in apart.items() if part in folder.configs[""]}
    libraries = {part: value[0] for part, value in folder.configs[""].items() if isinstance(value, list)}
    given |= quantized.loading({part: libraries[part] for part in small if part in libraries.keys() - apart.keys() - instead.keys()})
    # What the folder says that it does without must be said once more.
    absent = [part for part in SPARED if folder.configs[""].get(part) == [None, None]]
    parts = without(kind) | dict.fromkeys(absent) | apart | dict.fromkeys(replaced) | instead
    pipe = kind.from_pretrained(path, **given, **parts)
    pipe.register_modules(**replaced)
    return pipe


def _part(folder: Path, library: str, kind: str, dtype: torch.dtype, small: bool) -> Any:
    """One part of a pipeline, loaded by itself."""
    assert library == "transformers"
    given = {} if "Tokenizer" in kind else {"dtype": dtype, "use_safetensors": True}
    given |= {"quantization_config": quantized.configuration(library)} if small else {}
    return getattr(transformers, kind).from_pretrained(folder, local_files_only=True, **given)


def without(kind: Any) -> dict[str, Any]:
    """What a pipeline of this class is told to do without."""
    parts = dict.fromkeys(UNUSED) | {"requires_safety_checker": False, "add_watermarker": False}
    return {name: value for name, value in parts.items() if name in signature(kind.__init__).parameters}
