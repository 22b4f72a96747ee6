"""T5 as Chroma, PixArt-Sigma and AuraFlow have it: with a mask over what is no text. The pipeline encodes; weights come afterwards."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from webui.engine.conditioning import KEPT
from webui.engine.mixed import mixed
from webui.engine.prompt import parse_all, plain

log = logging.getLogger(__name__)

Rows = tuple[Tensor, Tensor]
"""(1, tokens, width) and their mask, (1, tokens)."""


class Masked:
    """Both prompts, each encoded by the pipeline itself. A word that weighs w is w times as far from the empty text as it was."""

    def __init__(self, pipe: Any, embeddings: object = (), length: int = 0) -> None:
        self._pipe, self._length = pipe, length
        self._kept = lru_cache(KEPT)(self._made)
        self._bare = lru_cache(KEPT)(self._encoded)

    def __call__(self, prompt: str, negative: str | None) -> dict[str, Any]:
        """The pipeline's arguments."""
        rows, mask = self._kept(prompt)
        given = {"negative_prompt": None, "prompt_embeds": rows, "prompt_attention_mask": mask}
        if negative is None:
            return given
        rows, mask = self._kept(negative)
        return given | {"negative_prompt_embeds": rows, "negative_prompt_attention_mask": mask}

    def prepare(self, copy: Any, ask: Any) -> None:
        """Nothing is left to encode."""

    def _made(self, text: str) -> Rows:
        found = mixed(text)
        if found.kind == "and":
            return self._weighted(text)
        parts = [(self._weighted(part), weight) for part, weight in found.parts]
        rows = torch.stack([rows * weight for (rows, _), weight in parts]).sum(0)
        return rows, torch.stack([mask for (_, mask), _ in parts]).amax(0)

    def _weighted(self, text: str) -> Rows:
        rows, mask = self._bare(plain(text))
        weights: list[float] = []
        for segment in parse_all(text):
            weights += [segment.weight] * len(self._ids(segment.text))
        if all(weight == 1 for weight in weights):
            return rows, mask
        if len(weights) != len(self._ids(plain(text))):
            log.warning("this tokenizer joins words across weights, so they are left out: %r", text[:200])
            return rows, mask
        count = min(len(weights), self._length - 1)
        by = torch.tensor(weights[:count]).to(rows).reshape(1, -1, 1)
        base = self._bare("")[0][:, :count]
        return torch.cat([base + (rows[:, :count] - base) * by, rows[:, count:]], 1), mask

    def _encoded(self, words: str) -> Rows:
        out = self._pipe.encode_prompt(words, do_classifier_free_guidance=False, max_sequence_length=self._length)
        # Chroma returns the places of its tokens in between.
        return (out[0], out[2]) if len(out) == 6 else (out[0], out[1])

    def _ids(self, text: str) -> list[int]:
        if hasattr(self._pipe, "_text_preprocessing"):  # PixArt-Sigma reads small letters
            (text,) = self._pipe._text_preprocessing(text, clean_caption=False)
        return list(self._pipe.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)
