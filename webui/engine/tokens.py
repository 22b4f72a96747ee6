"""How many tokens a prompt has, by the model's own tokenizer, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from webui.engine import clip
from webui.engine.catalogue import Model
from webui.engine.loras import TAG
from webui.engine.prompt import plain
from webui.errors import ModelError

CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""How CLIP's tokenizer cuts text before it merges bytes (Radford et al. 2021)."""

OPTIONS = {"unk_token": clip.END, "end_of_word_suffix": clip.LAST}


class Tokens(NamedTuple):
    """`window` tokens fit into one window of the text encoder; a longer prompt takes several windows."""

    total: int
    window: int

    @property
    def windows(self) -> int:
        """How many windows the prompt takes, at least 1."""
        return max(1, -(-self.total // self.window))


class TokenCounter:
    """Counts with the tokenizers of the models it has met."""

    def __init__(self) -> None:
        self._loaded: dict[Path, tuple[Tokenizer, int]] = {}

    def count(self, model: Model, prompt: str) -> Tokens:
        """Tokens of the prompt, its weights not counted.

        Raises:
            ModelError: the model's tokenizer or text encoder cannot be read.
        """
        if model.path not in self._loaded:
            try:
                single = model.path.is_file()
                self._loaded[model.path] = _clips() if single else (_tokenizer(model.path / "tokenizer"), _window(model.path))
            except Exception as error:
                raise ModelError(f"The tokenizer of {model.name} cannot be read.", "model") from error
        tokenizer, window = self._loaded[model.path]
        return Tokens(len(tokenizer.encode(plain(TAG.sub("", prompt)), add_special_tokens=False).ids), window)


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


def _window(folder: Path) -> int:
    """Tokens of the text encoder's window without the two that mark start and end."""
    return int(json.loads((folder / "text_encoder" / "config.json").read_text()).get("max_position_embeddings", 77)) - 2
