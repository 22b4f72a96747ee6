"""A single-file checkpoint becomes a pipeline without the network: weights from the file, everything else from us."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import safe_open
from transformers import CLIPTokenizer

from webui.engine import clip
from webui.engine.families import FAMILIES, File
from webui.engine.files import DATA, recognise


def open_file(path: Path, dtype: torch.dtype, without: dict[str, Any]) -> Any:
    """The pipeline in a file; `without` are the parts it is told to do without.

    Raises:
        ModelError: it is no checkpoint that can be opened.
    """
    found = recognise(path)
    family = FAMILIES[found.family]
    assert family.file is not None
    folder = DATA / family.file.folder
    index = json.loads((folder / "model_index.json").read_text())
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    scheduler = getattr(diffusers, config["_class_name"]).from_config(config | _measured(path, family.file) | found.scheduler)
    words = {part: tokenizer(second=part == "tokenizer_2") for part in index if part.startswith("tokenizer")}
    kind = getattr(diffusers, family.pipelines[0])
    with spelled(path) as file:
        return kind.from_single_file(
            str(file), config=str(folder), local_files_only=True, torch_dtype=dtype, scheduler=scheduler, **words, **without
        )


@contextmanager
def spelled(path: Path) -> Iterator[Path]:
    """The file under an ending in small letters: under another the library takes it for a pickle."""
    if path.suffix == path.suffix.lower():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"{path.stem}{path.suffix.lower()}"
        link.symlink_to(path.resolve())
        yield link


def _measured(path: Path, file: File) -> dict[str, Any]:
    """What the model predicts, by its weights, where they tell it."""
    if file.spread is None:
        return {}
    key, least = file.spread
    with safe_open(path, "pt") as weights:
        if key not in weights.keys():  # noqa: SIM118 - it is no mapping
            return {}
        return {"prediction_type": "v_prediction" if weights.get_tensor(key).float().std(correction=0) > least else "epsilon"}


def tokenizer(*, second: bool = False) -> CLIPTokenizer:
    """CLIP's; SDXL's second one pads with another token."""
    pairs: Any = clip.merges()
    pad = "!" if second else clip.END
    return CLIPTokenizer(vocab=clip.vocabulary(pairs), merges=pairs, model_max_length=clip.WINDOW, pad_token=pad)
