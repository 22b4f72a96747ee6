"""What a family's pipeline is given in place of the prompts: weighted conditioning where we make it, or the words themselves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from webui.engine.conditioning import KEPT, Conditioner
from webui.engine.embeddings import Embedding
from webui.engine.families import Texts
from webui.engine.masked import Masked
from webui.engine.mixed import mixed
from webui.engine.prompt import plain
from webui.engine.stand_ins import Task
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


class _Summary:
    """One encoder's vector for a whole text, (1, width), of the words without their weights: compel would feed it the brackets too."""

    def __init__(self, tokenizer: Any, encoder: Any, field: str = "text_embeds") -> None:
        self._tokenizer, self._encoder, self._field = tokenizer, encoder, field
        self._kept = lru_cache(KEPT)(self._made)

    def __call__(self, text: str) -> Tensor:
        found = mixed(text)
        if found.kind == "and":
            return self._kept(plain(text))
        return torch.stack([self._kept(plain(part)) * weight for part, weight in found.parts]).sum(0)

    def _made(self, words: str) -> Tensor:
        most = self._tokenizer.model_max_length
        ids = self._tokenizer(words, padding="max_length", max_length=most, truncation=True, return_tensors="pt").input_ids
        return getattr(self._encoder(ids.to(self._encoder.device)), self._field)  # type: ignore[no-any-return]


class _Encoded:
    """Nothing is left to encode for the pipeline."""

    def prepare(self, copy: Any, ask: Ask) -> None:
        """Nothing to do."""


class _Single(_Encoded):
    """One CLIP encoder: Stable Diffusion 1.x and 2.x."""

    def __init__(self, pipe: Any, embeddings: Spoken = (), length: int = 0) -> None:
        words, encoders = spoken([pipe.tokenizer], [pipe.text_encoder], embeddings)
        self._conditioner = Conditioner(words[0], encoders[0])

    def __call__(self, prompt: str, negative: str | None) -> dict[str, Any]:
        positive, other = self._conditioner(prompt, negative or "")
        return {"prompt_embeds": positive, "negative_prompt_embeds": None if negative is None else other}


class _Pair(_Encoded):
    """Two CLIP encoders side by side, and the second one's summary of the whole text: SDXL (Podell et al. 2023)."""

    def __init__(self, pipe: Any, embeddings: Spoken = (), length: int = 0) -> None:
        self._pipe = pipe
        words, encoders = spoken([pipe.tokenizer, pipe.tokenizer_2], [pipe.text_encoder, pipe.text_encoder_2], embeddings)
        self._conditioners = [Conditioner(*pair, penultimate=True) for pair in zip(words, encoders, strict=True)]
        self._summary = _Summary(words[1], encoders[1])

    def __call__(self, prompt: str, negative: str | None) -> dict[str, Any]:
        pairs = [conditioner(prompt, negative or "") for conditioner in self._conditioners]
        positive, other = (torch.cat(sides, -1) for sides in zip(*pairs, strict=True))
        given = {"prompt_embeds": positive, "pooled_prompt_embeds": self._summary(prompt)}
        if negative is None:
            return given
        if not negative.strip() and self._pipe.config.force_zeros_for_empty_prompt:
            return given | {f"negative_{name}": torch.zeros_like(value) for name, value in given.items()}
        return given | {"negative_prompt_embeds": other, "negative_pooled_prompt_embeds": self._summary(negative)}


class _Triple(_Encoded):
    """Two CLIP encoders side by side, T5 behind them, and the summaries of the former: Stable Diffusion 3 (Esser et al. 2024)."""

    def __init__(self, pipe: Any, embeddings: Spoken = (), length: int = 0) -> None:
        pairs = ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2))
        self._clips = [Conditioner(*pair, penultimate=True) for pair in pairs]
        self._summaries = [_Summary(*pair) for pair in pairs]
        # Many people leave T5 away: it is larger than the rest of the model.
        self._t5 = Conditioner(pipe.tokenizer_3, pipe.text_encoder_3, cut=length) if pipe.text_encoder_3 is not None else None
        self._width, self._length = pipe.transformer.config.joint_attention_dim, length

    def __call__(self, prompt: str, negative: str | None) -> dict[str, Any]:
        clips = [torch.cat(sides, -1) for sides in zip(*(clip(prompt, negative or "") for clip in self._clips), strict=True)]
        t5 = self._t5(prompt, negative or "") if self._t5 else [clips[0].new_zeros(1, self._length, self._width)] * 2
        both = [torch.cat([pad(clip, (0, self._width - clip.shape[-1])), words], 1) for clip, words in zip(clips, t5, strict=True)]
        given = {"prompt_embeds": both[0], "pooled_prompt_embeds": self._summary(prompt)}
        if negative is None:
            return given
        return given | {"negative_prompt_embeds": both[1], "negative_pooled_prompt_embeds": self._summary(negative)}

    def _summary(self, text: str) -> Tensor:
        return torch.cat([summary(text) for summary in self._summaries], -1)


class _Two(_Encoded):
    """T5, and CLIP's summary of the whole text: FLUX.1 (Black Forest Labs 2024). It is guided without a negative prompt."""

    def __init__(self, pipe: Any, embeddings: Spoken = (), length: int = 0) -> None:
        self._t5 = Conditioner(pipe.tokenizer_2, pipe.text_encoder_2, cut=length)
        self._summary = _Summary(pipe.tokenizer, pipe.text_encoder, "pooler_output")

    def __call__(self, prompt: str, negative: str | None) -> dict[str, Any]:
        return {"prompt_embeds": self._t5(prompt, "")[0], "pooled_prompt_embeds": self._summary(prompt)}


class _Own:
    """The pipeline encodes by itself, in its family's own way; weights are taken out of the text, since it would read them aloud."""

    def __init__(self, pipe: Any, embeddings: Spoken = (), length: int = 0) -> None:
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


TEXTS: Mapping[Texts, Callable[..., Prompts]] = {
    "one CLIP": _Single,
    "two CLIPs": _Pair,
    "two CLIPs and T5": _Triple,
    "CLIP and T5": _Two,
    "masked T5": Masked,
    "its own": _Own,
}
"""Each takes a pipeline, the embeddings that are words besides its own, and how many tokens T5 reads."""
