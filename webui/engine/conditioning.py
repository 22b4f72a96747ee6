"""Prompts become conditioning: our own parser in front, compel's builder behind.

Prompts longer than the encoder's window are encoded in several windows, joined along the token axis; nothing is cut.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from compel import Compel, ReturnedEmbeddingsType
from compel.prompt_parser import Conjunction, FlattenedPrompt
from torch import Tensor

from webui.engine.mixed import mixed
from webui.engine.prompt import Segment, parse
from webui.errors import InvalidRequest

WINDOWS = 20
"""Most windows of a prompt. Each costs encoder time and cross-attention in every step."""

PASSES = 200
"""Most runs of the text encoder for one prompt: one per window, and one more per window for each weight below 1."""

Window = Sequence[Segment]

KEPT = 64
"""Pairs of prompts whose conditioning is kept."""


class Conditioner:
    """Text to conditioning for one encoder: from its last layer, or from the one before it, as SDXL wants it.

    `cut` is for encoders whose text has one length, such as T5: so many tokens, and what is beyond them is not read.
    """

    def __init__(self, tokenizer: Any, text_encoder: Any, *, penultimate: bool = False, cut: int = 0) -> None:
        self._tokenizer = tokenizer
        self._cut = cut
        layer = (
            ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
            if penultimate
            else ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED
        )
        self._compel = Compel(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            truncate_long_prompts=bool(cut),
            returned_embeddings_type=layer,
            model_max_length=cut or None,
        )
        self._kept: OrderedDict[tuple[str, str], tuple[Tensor, Tensor]] = OrderedDict()

    def __call__(self, prompt: str, negative: str) -> tuple[Tensor, Tensor]:
        """Conditioning of both, padded to one length: each (1, tokens, width).

        Raises:
            InvalidRequest: a prompt fills more than `WINDOWS` windows, or weakens too many of its words.
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
        found = mixed(text)
        parts: list[list[tuple[Window, float]]] = [[(window, weight) for window in parse(part)] for part, weight in found.parts]
        if self._cut:
            parts = [[(_flat(part), 1.0)] for part in (parts if found.kind == "blend" else [[pair for part in parts for pair in part]])]
        self._bounded([window for part in parts for window, _ in part], field)
        if found.kind == "and":
            return self._joined([pair for part in parts for pair in part])
        # A blend: each text by itself, then their sum.
        encoded = self._compel.pad_conditioning_tensors_to_same_length(
            [self._joined([(window, 1.0) for window, _ in part]) for part in parts]
        )
        return sum((one * weight for one, (_, weight) in zip(encoded, found.parts, strict=True)), torch.zeros_like(encoded[0]))

    def _joined(self, windows: Sequence[tuple[Window, float]]) -> Tensor:
        """One behind the other, each with a weight of its own besides those in it."""
        flat = [FlattenedPrompt([(segment.text, segment.weight) for segment in window]) for window, _ in windows]
        conjunction = Conjunction(flat, weights=[weight for _, weight in windows])
        conditioning = self._compel.build_conditioning_tensor_for_conjunction(conjunction)[0]
        return conditioning  # type: ignore[no-any-return]

    def _bounded(self, parts: Sequence[Window], field: str) -> None:
        windows = [self._windows(part) for part in parts]
        if sum(windows) > WINDOWS:
            message = f"The text fills {sum(windows)} windows of the text encoder; at most {WINDOWS} are possible. Shorten it."
            raise InvalidRequest(message, field)
        # compel blends a prompt with itself without the words that are weighted below 1, once for each such weight.
        weak = [sum(segment.weight < 1 for segment in part) for part in parts]
        if sum(taken * (1 + times) for taken, times in zip(windows, weak, strict=True)) > PASSES:
            raise InvalidRequest(f"{sum(weak)} weights below 1 are too many for a text of this length. Use fewer of them.", field)

    def _windows(self, part: Window) -> int:
        """How many windows of the text encoder this part of a prompt fills."""
        if self._cut:
            return 1
        text = " ".join(segment.text for segment in part)
        window: int = self._tokenizer.model_max_length - 2
        tokens = len(self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)
        return max(1, -(-tokens // window))


def _flat(windows: Sequence[tuple[Window, float]]) -> Window:
    """All windows as one."""
    return tuple(Segment(segment.text, segment.weight * weight) for window, weight in windows for segment in window)
