"""Textual-inversion embeddings (Gal et al. 2022): files whose name is a word of the prompt. Knows nothing of torch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from webui.engine.catalogue import Model
from webui.engine.families import CLIPS, FAMILIES
from webui.engine.prompt import parse_all
from webui.engine.tensors import FLOATS, Header, header, regular
from webui.errors import InvalidRequest, ModelError

ENDING = ".safetensors"
FOLDER = "embeddings"
"""What lies in a folder of this name is taken for an embedding, also when it is damaged."""

KEYS: tuple[tuple[str, ...], ...] = (("clip_l", "clip_g"), ("emb_params",), ("*",), ("string_to_param.*",))
"""Names of the vectors, one per text encoder; diffusers writes the word itself in <> instead."""

VECTORS = 75
"""Most vectors of one embedding: a window of the text encoder."""

MOST = 20
"""Most embeddings in one request."""

LONGEST = 100
"""Longest name in characters."""

WIDTHS: Mapping[str, tuple[int, ...]] = {
    "Stable Diffusion 1.x": (768,),
    "Stable Diffusion 2.x": (1024,),
    "Stable Diffusion XL": (768, 1280),
}
"""Of the text encoders of a family, where single files do not say."""


class Embedding(NamedTuple):
    """One file."""

    name: str
    """The word."""
    path: Path
    keys: tuple[str, ...]
    widths: tuple[int, ...]
    """Of its vectors, one per text encoder that it speaks to."""
    vectors: int
    stamp: tuple[int, int]
    """When it was changed last, and its size: a changed file is another embedding."""


class Span(NamedTuple):
    """Where in a text a name stands."""

    start: int
    end: int
    name: str
    """In lower case."""


def recognise(path: Path) -> Embedding | None:
    """The embedding in a file; `None` if it is something else.

    Raises:
        ModelError: the file is damaged.
    """
    state = regular(path)
    found = vectors(header(path))
    return None if found is None else Embedding(path.stem, path, *found, (state.st_mtime_ns, state.st_size))


def vectors(found: Header) -> tuple[tuple[str, ...], tuple[int, ...], int] | None:
    """Keys, widths and number of the vectors in a file with this header; `None` if it is something else."""
    tensors = found.tensors
    keys = next((keys for keys in KEYS if set(keys) == set(tensors)), None)
    if keys is None and len(tensors) == 1 and re.fullmatch(r"<.{1,200}>", next(iter(tensors))):
        keys = tuple(tensors)
    if keys is None:
        return None
    each = [tensors[key] for key in keys]
    counts = {tensor.shape[0] if len(tensor.shape) == 2 else 1 for tensor in each}
    if len(counts) > 1 or not all(0 < len(tensor.shape) <= 2 and min(tensor.shape) and tensor.dtype in FLOATS for tensor in each):
        return None
    return keys, tuple(tensor.shape[-1] for tensor in each), counts.pop()


def names(models: Mapping[str, Model]) -> dict[str, str]:
    """What may be an embedding: its file's name in lower case -> its name among the models. Nothing is opened."""
    found: dict[str, str] = {}
    for name in models:
        if name.endswith(ENDING):
            folders, _, file = name.rpartition("/")
            word = file.removesuffix(ENDING).lower()
            # One in a folder for embeddings is meant before one elsewhere.
            if 0 < len(word) <= LONGEST and (word not in found or FOLDER in folders.split("/")):
                found[word] = name
    return found


class Names:
    """Finds names, in lower case, in texts."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self._known = frozenset(wanted)
        lengths: dict[str, set[int]] = {}
        for name in self._known:
            lengths.setdefault(name[0], set()).add(len(name))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def spans(self, text: str) -> Iterator[Span]:
        """Where they stand as words of their own, in order and without overlap; of several at one place the longest."""
        start = 0
        while start < len(text):
            found = None if _within_word(text, start) else self._at(text, start)
            if found is not None:
                yield found
            start = found.end if found is not None else start + 1

    def _at(self, text: str, start: int) -> Span | None:
        for length in self._lengths.get(text[start].lower(), ()):
            end = start + length
            if end <= len(text) and text[start:end].lower() in self._known and not _within_word(text, end):
                return Span(start, end, text[start:end].lower())
        return None


def _within_word(text: str, at: int) -> bool:
    """Whether a word goes on from before this place to behind it."""
    return 0 < at < len(text) and all(sign.isalnum() or sign == "_" for sign in text[at - 1 : at + 1])


def spoken(texts: Sequence[str], models: Mapping[str, Model], family: str) -> tuple[Embedding, ...]:
    """The embeddings that texts of a request name, in order of name; none where the family's encoders take none.

    Raises:
        ModelError: one of them is damaged.
        InvalidRequest: there are too many.
    """
    if FAMILIES[family].texts not in CLIPS:
        return ()
    there = names(models)
    known = Names(there)
    said = {span.name for text in texts for segment in parse_all(text) for span in known.spans(segment.text)} if there else set()
    found = [embedding for name in sorted(said) if (embedding := _of(models[there[name]])) is not None]
    if len(found) > MOST:
        raise InvalidRequest(f"{len(found)} embeddings are too many: at most {MOST} in one request.", "prompt")
    return tuple(found)


def _of(model: Model) -> Embedding | None:
    if model.kind == "lora" or (model.kind == "model" and model.usable):
        return None
    try:
        return recognise(model.path)
    except ModelError:
        if FOLDER in model.path.parts[:-1]:
            raise
        return None


def check(texts: Mapping[str, str], model: Model, models: Mapping[str, Model]) -> None:
    """Whether the embeddings that a request names suit its model.

    Args:
        texts: request field -> its text, without LoRAs.

    Raises:
        InvalidRequest: one is for other models.
        ModelError: one is damaged.
    """
    for field, text in texts.items():
        for embedding in spoken((text,), models, model.family):
            fits(embedding, widths_of(model), field)


def fits(embedding: Embedding, widths: tuple[int, ...], field: str = "prompt") -> None:
    """Whether an embedding is for text encoders of these widths.

    Raises:
        InvalidRequest: it is for others, or has too many vectors.
    """
    if embedding.widths != widths:
        kinds = [family for family, its in WIDTHS.items() if its == embedding.widths]
        meant = f"is for {kinds[0]} models" if kinds else f"has vectors of {' and '.join(map(str, embedding.widths))} numbers"
        message = (
            f"The embedding {embedding.name} {meant}; this model's text encoders take {' and '.join(map(str, widths))} numbers. "
            "Take the word out of the prompt, or choose another model."
        )
        raise InvalidRequest(message, field)
    if embedding.vectors > VECTORS:
        raise InvalidRequest(f"The embedding {embedding.name} has {embedding.vectors} vectors; at most {VECTORS} are possible.", field)


def widths_of(model: Model) -> tuple[int, ...]:
    """Of a model's text encoders."""
    usual = WIDTHS.get(model.family, ())
    if model.path.is_file():
        return usual
    try:
        parts = ["text_encoder", "text_encoder_2"][: len(usual)]
        return tuple(int(json.loads((model.path / part / "config.json").read_text())["hidden_size"]) for part in parts)
    except (OSError, ValueError, KeyError, TypeError):
        return usual
