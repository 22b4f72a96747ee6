"""How many tokens a prompt has, by the model's own tokenizer, without torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from webui.engine import clip
from webui.engine.catalogue import Model
from webui.engine.embeddings import Embedding, Names, spoken
from webui.engine.families import CLIPS, FAMILIES
from webui.engine.loras import TAG
from webui.engine.mixed import mixed
from webui.engine.prompt import Segment, parse, plain
from webui.engine.tensors import regular
from webui.errors import ModelError

log = logging.getLogger(__name__)

CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""How CLIP's tokenizer cuts text before it merges bytes (Radford et al. 2021)."""

OPTIONS = {"unk_token": clip.END, "end_of_word_suffix": clip.LAST}


KINDS = {"clip": "CLIP", "t5": "T5", "umt5": "T5", "gemma": "Gemma", "qwen": "Qwen", "llama": "Llama", "chatglm": "ChatGLM"}
"""How a text encoder's type begins in its configuration, and what people call it."""

GLM_MARKS = 2
"""Tokens that ChatGLM's text begins with."""

USUAL = 512
"""Tokens that encoders other than CLIP are given, where the family does not say."""


class Count(NamedTuple):
    """Tokens for one text encoder. `window` of them fit into one of its windows; a longer prompt takes several, or is cut."""

    encoder: str
    total: int
    window: int
    windows: int


class Tokens(NamedTuple):
    """Tokens for all of a model's text encoders; `total`, `window` and `windows` are those of the one that has the most."""

    counts: tuple[Count, ...]
    cut: bool = False
    """Whether what is beyond the window is not read."""
    sample: bool = False
    """Whether another seed may draw another prompt."""
    problem: str = ""
    """Why the prompt cannot be drawn as it stands, in a sentence; then it is counted as it was typed."""

    @property
    def most(self) -> Count:
        """The count that is shown where there is room for one."""
        return max(self.counts, key=lambda count: (count.total, count.windows))

    @property
    def total(self) -> int:
        """Tokens."""
        return self.most.total

    @property
    def window(self) -> int:
        """Tokens of one window."""
        return self.most.window

    @property
    def windows(self) -> int:
        """How many windows the prompt takes, at least 1."""
        return self.most.windows


class _Encoder(NamedTuple):
    name: str
    length: Callable[[str], int]
    """How many tokens a text has, without the marks of start and end."""
    window: int

    def counted(self, text: str, embeddings: Mapping[str, Embedding], *, whole: bool) -> Count:
        if whole:
            total = self.length(plain(text))
            return Count(self.name, total, self.window, max(1, -(-total // self.window)))
        found = mixed(text)
        parts = [[self._of(window, embeddings) for window in parse(part)] for part, _ in found.parts]
        windows = [sum(max(1, -(-tokens // self.window)) for tokens in part) for part in parts]
        together = max if found.kind == "blend" else sum
        return Count(self.name, together(map(sum, parts)), self.window, together(windows))

    def _of(self, window: Sequence[Segment], embeddings: Mapping[str, Embedding]) -> int:
        pieces, vectors, known = [], 0, Names(embeddings)
        for text in (segment.text for segment in window):
            begun = 0
            for span in known.spans(text):
                pieces.append(text[begun : span.start])
                vectors += embeddings[span.name].vectors
                begun = span.end
            pieces.append(text[begun:])
        return self.length(" ".join(pieces)) + vectors


class TokenCounter:
    """Counts with the tokenizers of the models it has met."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[Path, str], tuple[_Encoder, ...]] = {}

    def count(self, model: Model, prompt: str, models: Mapping[str, Model] | None = None) -> Tokens:
        """Tokens of the prompt, its weights not counted; an embedding among the `models` counts as many as it has vectors.

        Raises:
            ModelError: the model's tokenizer or text encoder cannot be read, or an embedding is damaged.
            InvalidRequest: the prompt names too many embeddings.
        """
        where = model.around or model.path  # a file that lacks its tokenizer, in the folder that lends it
        key = where, model.family  # one folder may lend to two families, which have windows of their own
        if key not in self._loaded:
            try:
                self._loaded[key] = _encoders(model, where)
            except Exception as error:
                raise ModelError(f"The tokenizer of {model.name} cannot be read.", "model") from error
        own = bool(model.family) and FAMILIES[model.family].texts not in CLIPS
        text = TAG.sub("", prompt)
        embeddings = {} if own or not models else {one.name.lower(): one for one in spoken((text,), models, model.family)}
        return Tokens(tuple(one.counted(text, embeddings, whole=own) for one in self._loaded[key]), cut=own)


def _encoders(model: Model, where: Path) -> tuple[_Encoder, ...]:
    if where.is_file():
        tokenizer, window = _clips()
        two = model.family and FAMILIES[model.family].texts.startswith("two CLIPs")
        return tuple(_Encoder(name, _length(tokenizer), window) for name in (("CLIP L", "CLIP G") if two else ("CLIP",)))
    found = [_encoder(model, where, "")]
    for end in ("_2", "_3"):
        try:
            found.append(_encoder(model, where, end))
        except Exception:  # noqa: BLE001 - the tokenizers library has no other; many come without a file that it reads, and the first counts
            log.debug("no tokenizer%s of %s is counted with", end, model.name)
    return tuple(found)


def _encoder(model: Model, where: Path, end: str) -> _Encoder:
    config = json.loads((where / f"text_encoder{end}" / "config.json").read_text())
    kind = str(config.get("model_type", "clip"))
    name = next((name for start, name in KINDS.items() if kind.startswith(start)), "text encoder")
    if name == "CLIP":
        window = int(config.get("max_position_embeddings", clip.WINDOW)) - 2  # without the marks of start and end
    else:
        marks = GLM_MARKS if name == "ChatGLM" else 1
        window = int(FAMILIES[model.family].options.get("max_sequence_length", USUAL)) - marks if model.family else USUAL
    if name == "CLIP" and model.family and FAMILIES[model.family].texts.startswith("two CLIPs"):
        name = {"": "CLIP L", "_2": "CLIP G"}[end]
    folder = where / f"tokenizer{end}"
    return _Encoder(name, _glm(folder) if name == "ChatGLM" else _length(_tokenizer(folder)), window)


def _length(tokenizer: Tokenizer) -> Callable[[str], int]:
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _glm(folder: Path) -> Callable[[str], int]:
    """Of Kolors, whose tokenizer is a model of sentencepiece and has no other file."""
    file = folder / "tokenizer.model"
    regular(file)  # it would wait for ever at a pipe
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(file))
    return lambda text: len(pieces.encode(text))


def _tokenizer(folder: Path) -> Tokenizer:
    file = folder / "tokenizer.json"
    if file.is_file():
        tokenizer = Tokenizer.from_file(str(file))
        # Many files carry how some script once cut and padded its prompts.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    # Older folders hold CLIP's two files instead.
    return _clip(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"), **OPTIONS))


def _clips() -> tuple[Tokenizer, int]:
    """CLIP's own, for checkpoints in a single file, and the room in its window."""
    pairs = clip.merges()
    return _clip(models.BPE(clip.vocabulary(pairs), pairs, **OPTIONS)), clip.WINDOW - 2


def _clip(pieces: models.BPE) -> Tokenizer:
    """How CLIP prepares text."""
    tokenizer = Tokenizer(pieces)
    tokenizer.add_special_tokens([clip.START, clip.END])
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(CLIP_WORDS), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
