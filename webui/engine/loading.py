"""A model's folder or file becomes a ready pipeline; the last ones are kept as far as memory goes."""

from __future__ import annotations

from collections import OrderedDict
from inspect import signature
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from webui.engine import memory
from webui.engine.adapters import Adapters, Set
from webui.engine.catalogue import Model
from webui.engine.families import FAMILIES, PIPELINES
from webui.engine.preview import Preview
from webui.engine.safety import UNUSED, inspect
from webui.engine.single import open_file
from webui.engine.texts import TEXTS, Prompts, Spoken
from webui.errors import ModelError

KEPT = 4
"""Most models in memory at once; fewer where they do not fit."""

SETS = 8
"""Sets of LoRAs and embeddings whose encoded prompts are kept."""


class Loaded:
    """A pipeline and what belongs to it."""

    def __init__(self, model: Model, device: torch.device, dtype: torch.dtype) -> None:
        """Open the folder or file: safetensors only, nothing from the network.

        Raises:
            ModelError: a file is missing, cut off or not what it should be.
        """
        self.pipe = _open(model, dtype).to(device)
        self.pipe.set_progress_bar_config(disable=True)
        if device.type == "cpu" and not hasattr(self.pipe.vae.config, "z_dim"):  # not for films
            self.pipe.vae.to(memory_format=torch.channels_last)  # decoding is 1.7 times as fast
        self.family = FAMILIES[model.family]
        self.adapters = Adapters(self.pipe)
        self._prompts: OrderedDict[Any, Prompts] = OrderedDict()
        self.preview = Preview(model.path, self.pipe.vae)

    def prompts(self, loras: Set = (), embeddings: Spoken = ()) -> Prompts:
        """What encodes with these LoRAs in the encoders and these embeddings as words, and remembers what it has encoded.

        Raises:
            InvalidRequest, ModelError: an embedding is for other models, or is damaged.
        """
        key = (loras, embeddings)
        if key not in self._prompts:
            self._prompts[key] = TEXTS[self.family.texts](self.pipe, embeddings, self.family.options.get("max_sequence_length", 0))
        self._prompts.move_to_end(key)
        while len(self._prompts) > SETS:
            self._prompts.popitem(last=False)
        return self._prompts[key]


class Loader:
    """Keeps the models that were used last, at most `KEPT`, as far as they fit into memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: OrderedDict[str, Loaded] = OrderedDict()
        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def get(self, model: Model) -> Loaded:
        """The model, loaded if need be.

        Raises:
            ModelError: it cannot be loaded; the sentence says why.
        """
        if model.name not in self._kept:
            dtype = self._room_for(model)
            self._kept[model.name] = Loaded(model, self._device, dtype)
        self._kept.move_to_end(model.name)
        return self._kept[model.name]

    def _room_for(self, model: Model) -> torch.dtype:
        """Let models go, least recently used first, until this one fits; the type that it is loaded in."""
        while True:
            try:
                dtype = memory.choose(model, self._device, memory.free(self._device))
                fits = dtype == memory.preferred(model, self._device) or not self._kept
            except ModelError:
                if not self._kept:
                    raise
                fits = False
            if fits and len(self._kept) < KEPT:
                return dtype
            self._kept.popitem(last=False)
            memory.release()


def _open(model: Model, dtype: torch.dtype) -> Any:
    try:
        # Judged once more, and right here: the folder or file may be another one than that which was listed.
        pipe = (
            open_file(model.path, dtype, _without(getattr(diffusers, FAMILIES[model.family].pipelines[0])))
            if model.path.is_file()
            else _open_folder(model.path, dtype)
        )
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        raise ModelError(f"The model {model.name} cannot be loaded: {words}", "model") from error
    for words, encoder in (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")):
        window = getattr(getattr(getattr(pipe, encoder, None), "config", None), "max_position_embeddings", None)
        if window is not None and type(getattr(pipe, encoder)).__name__.startswith("CLIP"):
            # compel asks the tokenizer for the window; some tokenizers do not say it, or say more than the encoder takes.
            getattr(pipe, words).model_max_length = window
    return pipe


def _open_folder(path: Path, dtype: torch.dtype) -> Any:
    folder = inspect(path, PIPELINES)
    kind = getattr(diffusers, folder.pipeline)
    return kind.from_pretrained(path, dtype=dtype, variant=folder.variant, local_files_only=True, use_safetensors=True, **_without(kind))


def _without(kind: Any) -> dict[str, Any]:
    """What the pipeline is told to do without."""
    parts = dict.fromkeys(UNUSED) | {"requires_safety_checker": False, "add_watermarker": False}
    return {name: value for name, value in parts.items() if name in signature(kind.__init__).parameters}
