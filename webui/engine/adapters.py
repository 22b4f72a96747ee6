"""LoRAs in the layers of a loaded model. Its own weights are never touched: without LoRAs it is bit for bit what it was."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffusers.loaders.lora_pipeline import FluxLoraLoaderMixin
from safetensors.torch import load_file

from webui.engine.loras import Lora
from webui.engine.tensors import header
from webui.engine.walk import changed_at
from webui.errors import ModelError

KEPT = 8
"""LoRAs that stay in the layers when nobody uses them."""

UP = re.compile(r"\.(lora_up|lora_B|lora\.up)\.weight$")
"""The second matrix of each layer in a file."""

KINDS: Mapping[str, str] = {"dora_scale": "DoRA", "hada_w": "LoHa", "lokr_w": "LoKr"}
"""Part of the names of tensors -> what a file is that has such: Liu et al. 2024; LyCORIS, Yeh et al. 2024."""

NORMS = ("norm_q", "norm_k", "norm_added_q", "norm_added_k")
"""What control LoRAs of FLUX bring whole, by the names of diffusers."""

Active = tuple[tuple[str, float, float], ...]
"""LoRAs by the names that they have in the layers, with their weights in the text encoders and in the denoiser."""


class Adapters:
    """The LoRAs of one pipeline: any number of jobs, each with its own set, between whose calls the layers are switched over."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._names: dict[Path, str] = {}
        self._times: dict[Path, int] = {}
        self._users: Counter[Path] = Counter()
        self._active: Active | None = ()
        self._made = 0

    @contextmanager
    def using(self, loras: Sequence[Lora], files: Mapping[str, Path]) -> Iterator[Active]:
        """Hold these LoRAs in the layers; gives what makes them act. Those that nobody uses go, oldest first, beyond `KEPT`.

        A file that was written anew is read anew, unless somebody is in the middle of a picture with what it was.

        Raises:
            ModelError: a file is damaged, or does not fit the model.
        """
        paths = [files[lora.name] for lora in loras]
        self._users.update(paths)
        try:
            for path in paths:
                if path in self._names and self._users[path] == 1 and self._times[path] != changed_at(path):
                    self._forget(path)
                if path not in self._names:
                    self._load(path)
            yield tuple((self._names[files[lora.name]], lora.text, lora.picture) for lora in loras)
        finally:
            self._users.subtract(paths)
            self._tidy()

    def activate(self, wanted: Active) -> None:
        """Let these LoRAs act, and no others. Nothing is done where they do already."""
        if wanted == self._active:
            return
        if wanted:
            self._pipe.enable_lora()
            parts = self._pipe._lora_loadable_modules
            weights = [{part: text if "text_encoder" in part else picture for part in parts} for _, text, picture in wanted]
            self._pipe.set_adapters([name for name, _, _ in wanted], _held(self._pipe, [name for name, _, _ in wanted], weights))
        else:
            self._pipe.disable_lora()
        self._active = wanted

    def _load(self, path: Path) -> None:
        time = changed_at(path)
        header(path)  # judged once more, right before it is opened
        self._made += 1
        name = f"lora{self._made}"
        self._active = None
        state = load_file(path)
        kind = next((kind for mark, kind in KINDS.items() if any(mark in key for key in state)), "")
        if kind == "DoRA":
            # The library leaves its scales out for every family, and what is left acts as something else.
            raise ModelError(f"The LoRA {path.stem} is a DoRA, of which only a part would act here. Use a plain LoRA instead.", "prompt")
        layers = sum(bool(value.any()) for key, value in state.items() if UP.search(key))
        try:
            if isinstance(self._pipe, FluxLoraLoaderMixin):
                _unchanging(self._pipe, state)
            self._pipe.load_lora_weights(state, adapter_name=name)
            if name not in _loaded(self._pipe):
                raise ValueError("it changes none of its layers.")
            # The library leaves out what it does not understand, without a word.
            if (placed := _placed(self._pipe, name)) < layers:
                raise ValueError(f"{layers - placed} of its {layers} layers are none of the model's.")
        except Exception as error:
            if name in _loaded(self._pipe):
                self._pipe.delete_adapters(name)
            if kind:
                message = f"The LoRA {path.stem} is a {kind}, which cannot be used with this model. Use a plain LoRA instead."
                raise ModelError(message, "prompt") from error
            words = " ".join(str(error).split())[:200]
            raise ModelError(f"The LoRA {path.stem} does not fit this model: {words}", "prompt") from error
        self._names[path], self._times[path] = name, time

    def _tidy(self) -> None:
        idle = [path for path in self._names if not self._users[path]]
        for path in idle[: max(0, len(self._names) - KEPT)]:
            self._forget(path)

    def _forget(self, path: Path) -> None:
        self._pipe.delete_adapters(self._names.pop(path))
        self._active = None


def _unchanging(pipe: Any, state: Mapping[str, Any]) -> None:
    """Whether the model stays as it is when this is loaded: FLUX's loader makes layers wider and overwrites norms where a file asks for
    it, which is not undone when the LoRA goes.

    Raises:
        ValueError: it does not.
    """
    layers = dict(pipe.transformer.named_modules())
    for key, value in pipe.lora_state_dict(dict(state)).items():  # a copy, which it empties
        layer, matrix, end = key.removeprefix("transformer.").rpartition(".lora_")
        if not matrix and any(norm in key for norm in NORMS):
            raise ValueError("it would change the norms of the model itself, and for all pictures that follow.")
        size = {"A.weight": "in_features", "B.weight": "out_features"}.get(end, "")
        width = getattr(layers.get(layer), size, None)
        if width is not None and width != value.shape[1 if end == "A.weight" else 0]:
            if layer == "x_embedder":
                raise ValueError("it is a control LoRA, which needs a picture to start from, and the studio gives it none.")
            raise ValueError("its layers are of another width.")


def _loaded(pipe: Any) -> set[str]:
    """Names of all adapters in any part of the pipeline."""
    return {name for names in pipe.get_list_adapters().values() for name in names}


def _placed(pipe: Any, name: str) -> int:
    """How many layers the adapter changes: where its second matrix is not zero, as it is where nothing was loaded."""
    parts = [part for part in (getattr(pipe, part, None) for part in pipe._lora_loadable_modules) if part is not None]
    matrices = [module.lora_B[name] for part in parts for module in part.modules() if name in getattr(module, "lora_B", ())]
    return sum(bool(matrix.weight.any()) for matrix in matrices)


def _held(pipe: Any, names: list[str], weights: list[dict[str, float]]) -> list[dict[str, float]]:
    """The weights of each for those parts alone that it changes."""
    parts = pipe.get_list_adapters()
    return [
        {part: weight for part, weight in each.items() if name in parts.get(part, ())} for name, each in zip(names, weights, strict=True)
    ]
