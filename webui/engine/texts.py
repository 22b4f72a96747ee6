"""What a family's pipeline is given in place of the prompts: weighted conditioning where we make it, or the words themselves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Protocol

import torch
from torch import Tensor

from webui.engine.conditioning import KEPT, Conditioner
from webui.engine.embeddings import Embedding
from webui.engine.families import Texts
from webui.engine.loop import Task
from webui.engine.mixed import mixed
from webui.engine.prompt import plain
from webui.engine.vectors import spoken

Spoken = tuple[Embedding, ...]
Ask = Callable[[Task], Any]


class Prompts(Protocol):
    """Both prompts as arguments of the pipeline; `negative` is `None` where there is no guidance by one."""

    def __call__(self, prompt: str, negative: str | None) -> dict[str, Any]:
        """The arguments. Heavy: a task of its own.

        Raises:
            InvalidRequest: a prompt is longer than can be encoded.
        """

    def prepare(self, copy: Any, ask: Ask) -> None:
        """Make a job's copy of the pipeline ask the loop for what it encodes by itself."""


class _Single:
    """One CLIP encoder: Stable Diffusion 1.x and 2.x."""

    def __init__(self, pipe: Any, embeddings: Spoken = ()) -> None:
        words, encoders = spoken([pipe.tokenizer], [pipe.text_encoder], embeddings)
        self._conditioner = Conditioner(words[0], encoders[0])

    def __call__(self, prompt: str, negative: str | None) -> dict[str, Any]:
        positive, other = self._conditioner(prompt, negative or "")
        return {"prompt_embeds": positive, "negative_prompt_embeds": None if negative is None else other}

    def prepare(self, copy: Any, ask: Ask) -> None:
        """Nothing is left to encode."""


class _Pair:
    """Two CLIP encoders side by side, and the second one's summary of the whole text: SDXL (Podell et al. 2023)."""

    def __init__(self, pipe: Any, embeddings: Spoken = ()) -> None:
        self._pipe = pipe
        words, encoders = spoken([pipe.tokenizer, pipe.tokenizer_2], [pipe.text_encoder, pipe.text_encoder_2], embeddings)
        self._conditioners = [Conditioner(*pair, penultimate=True) for pair in zip(words, encoders, strict=True)]
        self._second = words[1], encoders[1]
        self._summary = lru_cache(KEPT)(self._summarise)

    def __call__(self, prompt: str, negative: str | None) -> dict[str, Any]:
        pairs = [conditioner(prompt, negative or "") for conditioner in self._conditioners]
        positive, other = (torch.cat(sides, -1) for sides in zip(*pairs, strict=True))
        given = {"prompt_embeds": positive, "pooled_prompt_embeds": self._summary(prompt)}
        if negative is None:
            return given
        if not negative.strip() and self._pipe.config.force_zeros_for_empty_prompt:
            return given | {f"negative_{name}": torch.zeros_like(value) for name, value in given.items()}
        return given | {"negative_prompt_embeds": other, "negative_pooled_prompt_embeds": self._summary(negative)}

    def prepare(self, copy: Any, ask: Ask) -> None:
        """Nothing is left to encode."""

    def _summarise(self, text: str) -> Tensor:
        """(1, width), of the words without their weights: compel would feed the brackets to the encoder too."""
        found = mixed(text)
        if found.kind == "blend":
            return sum((self._summary(part) * weight for part, weight in found.parts[1:]), self._summary(found.parts[0][0]) * found.parts[0][1])
        words, encoder = self._second
        ids = words(plain(text), padding="max_length", max_length=words.model_max_length, truncation=True, return_tensors="pt").input_ids
        return encoder(ids.to(encoder.device)).text_embeds  # type: ignore[no-any-return]


class _Own:
    """The pipeline encodes by itself, in its family's own way; weights are taken out of the text, since it would read them aloud."""

    def __init__(self, pipe: Any, embeddings: Spoken = ()) -> None:
        self._pipe = pipe
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def __call__(self, prompt: str, negative: str | None) -> dict[str, Any]:
        return {"prompt": plain(prompt)} | ({} if negative is None else {"negative_prompt": plain(negative)})

    def prepare(self, copy: Any, ask: Ask) -> None:
        """Encoding becomes a task, done once for all jobs of one text."""

        def encode_prompt(*args: Any, **kwargs: Any) -> Any:
            key = repr((args, sorted(kwargs.items())))
            return ask(Task(partial(self._encode, key, args, kwargs), (id(self), key)))

        copy.__dict__["encode_prompt"] = encode_prompt

    def _encode(self, key: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = self._pipe.encode_prompt(*args, **kwargs)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


TEXTS: Mapping[Texts, Callable[..., Prompts]] = {"one CLIP": _Single, "two CLIPs": _Pair, "its own": _Own}
"""Each takes a pipeline, and the embeddings that are words besides its own."""
