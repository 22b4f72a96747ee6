"""A model's folder becomes a ready pipeline; the last few are kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import diffusers
import torch
import transformers
from diffusers import StableDiffusionPipeline

from webui.engine.catalogue import Model
from webui.engine.conditioning import Conditioner
from webui.engine.families import PIPELINES
from webui.engine.preview import Preview
from webui.engine.safety import inspect
from webui.errors import ModelError

KEPT = 2
"""Models in memory at once."""


class Loaded:
    """A pipeline and what belongs to it."""

    def __init__(self, model: Model, device: torch.device) -> None:
        """Open the folder: safetensors only, nothing from the network.

        Raises:
            ModelError: a file is missing, cut off or not what it should be.
        """
        self.pipe = _open(model).to(device)
        self.pipe.set_progress_bar_config(disable=True)
        if device.type == "cpu":
            self.pipe.vae.to(memory_format=torch.channels_last)  # decoding is 1.7 times as fast
        self.conditioner = Conditioner(self.pipe.tokenizer, self.pipe.text_encoder)
        self.preview = Preview(model.path, self.pipe.vae)


class Loader:
    """Keeps the `KEPT` models that were used last."""

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
            self._kept[model.name] = Loaded(model, self._device)
        self._kept.move_to_end(model.name)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[model.name]


def _open(model: Model) -> Any:
    # float32 on every device for now: the same seed gives the same picture, whatever machine it runs on.
    try:
        # Once more, and right here: the folder may be another one than that which was listed.
        folder = inspect(model.path, PIPELINES)
        pipe = StableDiffusionPipeline.from_pretrained(
            model.path,
            dtype=torch.float32,
            variant=folder.variant,
            local_files_only=True,
            use_safetensors=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        raise ModelError(f"The model {model.name} cannot be loaded: {words}", "model") from error
    # compel asks the tokenizer for the window; some tokenizers do not say it, or say more than the encoder takes.
    pipe.tokenizer.model_max_length = pipe.text_encoder.config.max_position_embeddings
    return pipe
