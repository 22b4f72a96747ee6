"""Prompts become conditioning: our own parser in front, compel's builder behind.

Prompts longer than the encoder's window are encoded in several windows, joined along the token axis; nothing is cut.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from compel import Compel
from compel.prompt_parser import Conjunction, FlattenedPrompt
from torch import Tensor

from webui.engine.prompt import parse, plain
from webui.errors import InvalidRequest

WINDOWS = 20
"""Most windows of a prompt. Each costs encoder time and cross-attention in every step."""

KEPT = 64
"""Pairs of prompts whose conditioning is kept."""


class Conditioner:
    """Text to conditioning for one model."""

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:
        self._tokenizer = tokenizer
        self._compel = Compel(tokenizer=tokenizer, text_encoder=text_encoder, truncate_long_prompts=False)
        self._kept: OrderedDict[tuple[str, str], tuple[Tensor, Tensor]] = OrderedDict()

    def __call__(self, prompt: str, negative: str) -> tuple[Tensor, Tensor]:
        """Conditioning of both, padded to one length: each (1, tokens, width).

        Raises:
            InvalidRequest: a prompt is longer than `WINDOWS` windows.
        """
        key = (prompt, negative)
        if key not in self._kept:
            pair = self._compel.pad_conditioning_tensors_to_same_length(
                [self._encode(prompt, "prompt"), self._encode(negative, "negative")]
            )
            self._kept[key] = (pair[0], pair[1])
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _encode(self, text: str, field: str) -> Tensor:
        window = self._tokenizer.model_max_length - 2
        tokens = len(self._tokenizer(plain(text), add_special_tokens=False, truncation=False).input_ids)
        if tokens > WINDOWS * window:
            raise InvalidRequest(f"The text has {tokens} tokens; at most {WINDOWS * window} for this model. Shorten it.", field)
        flat = [FlattenedPrompt([(segment.text, segment.weight) for segment in part]) for part in parse(text)]
        conditioning = self._compel.build_conditioning_tensor_for_conjunction(Conjunction(flat))[0]
        return conditioning  # type: ignore[no-any-return]
