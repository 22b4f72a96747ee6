"""Embeddings in the text encoders of a loaded model, for the length of a call. The encoders and tokenizers themselves stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import BatchEncoding

from webui.engine.embeddings import Embedding, Names, fits
from webui.errors import ModelError


def read(embedding: Embedding) -> tuple[Tensor, ...]:
    """Its vectors, (vectors, width) for each text encoder.

    Raises:
        ModelError: it cannot be read, or holds numbers that are none.
    """
    try:
        with safe_open(embedding.path, "pt") as file:
            found = tuple(
                file.get_tensor(key).float().reshape(-1, width) for key, width in zip(embedding.keys, embedding.widths, strict=True)
            )
    except Exception as error:
        raise ModelError(f"The embedding {embedding.name} cannot be read. Download it again.", "prompt") from error
    if not all(tensor.isfinite().all() for tensor in found):
        raise ModelError(f"The embedding {embedding.name} is damaged: some of its numbers are none. Download it again.", "prompt")
    return found


def spoken(tokenizers: Sequence[Any], encoders: Sequence[Any], embeddings: Iterable[Embedding]) -> tuple[list[Any], list[Any]]:
    """The tokenizers and text encoders of a model, or, with embeddings, ones around them that know these words too.

    Raises:
        InvalidRequest: one of them is for other encoders.
        ModelError: one of them cannot be read.
    """
    embeddings = tuple(embeddings)
    if not embeddings:
        return list(tokenizers), list(encoders)
    widths = tuple(encoder.get_input_embeddings().weight.shape[1] for encoder in encoders)
    for embedding in embeddings:
        fits(embedding, widths)
    vectors = [read(embedding) for embedding in embeddings]
    first, places = max(_size(encoder) for encoder in encoders), {}
    for embedding, one in zip(embeddings, vectors, strict=True):
        places[embedding.name.lower()] = range(first, first + len(one[0]))
        first += len(one[0])
    start = first - sum(map(len, places.values()))
    words = [Words(tokenizer, places) for tokenizer in tokenizers]
    return words, [Encoder(encoder, start, torch.cat([one[k] for one in vectors])) for k, encoder in enumerate(encoders)]


def _size(encoder: Any) -> int:
    return int(encoder.get_input_embeddings().weight.shape[0])


class Words:
    """A tokenizer that gives each vector of an embedding a number of its own, beyond the tokenizer's."""

    def __init__(self, tokenizer: Any, places: dict[str, range]) -> None:
        self._tokenizer = tokenizer
        self._places = places
        self._names = Names(places)
        self._last = {place[-1] for place in places.values()}
        self._first = min(place[0] for place in places.values())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(
        self,
        texts: str | list[str],
        *,
        add_special_tokens: bool = True,
        truncation: bool = False,
        padding: str | bool = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """As the tokenizer's own call, as far as compel and we use it."""
        most = max_length or self._tokenizer.model_max_length
        rows = [
            self._row(text, add_special_tokens, most if truncation else None) for text in ([texts] if isinstance(texts, str) else texts)
        ]
        if padding == "max_length":
            rows = [[*row, *[self._tokenizer.pad_token_id] * (most - len(row))] for row in rows]
        ids = rows[0] if isinstance(texts, str) and return_tensors is None else rows
        return BatchEncoding({"input_ids": ids}, tensor_type=return_tensors)

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        """A window never ends between two vectors of one embedding: only the last one ends a word."""
        return [
            self._tokenizer.convert_ids_to_tokens(id) if id < self._first else "*</w>" if id in self._last else "*"
            for id in ids
        ]  # fmt: skip

    def _row(self, text: str, marks: bool, most: int | None) -> list[int]:
        ids: list[int] = []
        begun = 0
        for span in self._names.spans(text):
            ids += [*self._plain(text[begun : span.start]), *self._places[span.name]]
            begun = span.end
        ids += self._plain(text[begun:])
        ids = ids[: most - 2 * marks] if most is not None else ids
        return [self._tokenizer.bos_token_id, *ids, self._tokenizer.eos_token_id] if marks else ids

    def _plain(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids) if text.strip() else []


class Encoder:
    """A text encoder that finds vectors for the numbers of embeddings, for the length of each call."""

    def __init__(self, encoder: Any, start: int, vectors: Tensor) -> None:
        self._encoder = encoder
        self._start = start
        self._vectors = vectors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def __call__(self, ids: Tensor, *args: Any, **kwargs: Any) -> Any:
        ours = ids >= self._start
        rows = ids[ours] - self._start

        def put(_: Any, __: Any, out: Tensor) -> Tensor:
            """In a copy: the encoder's own table is not touched."""
            return out.masked_scatter(ours.unsqueeze(-1).to(out.device), self._vectors[rows.cpu()].to(out))

        hook = self._encoder.get_input_embeddings().register_forward_hook(put)
        try:
            return self._encoder(ids.masked_fill(ours, 0), *args, **kwargs)
        finally:
            hook.remove()
