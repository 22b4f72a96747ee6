"""What a weights file holds, read from its header alone: nothing is unpickled, mapped or believed. Knows nothing of torch.

safetensors only. Everything else that people put into `models/` is named for what it is, and refused with what to do about it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from webui.errors import ModelError

log = logging.getLogger(__name__)

HEADER_LIMIT = 100_000_000
"""Largest header that the safetensors library reads, in bytes."""

BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Of one number, by the type's name in a header."""

FLOATS = ("F16", "BF16", "F32", "F64")
"""Types that the engine computes with."""

COPYING = 10.0
"""Seconds since its last change within which a file that is not whole is taken for one that is still being written."""

PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
"""Endings of files that can run code when they are opened."""

PICKLE = (
    "is a pickle, which can run code when it is opened, so it is never opened here. "
    "Download its .safetensors version; or, where you trust it, read it with torch.load(file, weights_only=True) "
    "and write its tensors with safetensors.torch.save_file"
)

SIGNS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself. Run git lfs pull in its folder, or download the file"),
    (b"GGUF", "is a GGUF file under another name. Rename it, so that it ends in .gguf"),
    (b"<!DOCTYPE", "is a web page, probably an error that was downloaded in the file's place. Download the file again"),
    (b"<!doctype", "is a web page, probably an error that was downloaded in the file's place. Download the file again"),
    (b"<html", "is a web page, probably an error that was downloaded in the file's place. Download the file again"),
    (b"PK\x03\x04", PICKLE),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
)
"""How a file begins that is no safetensors file, and what it is then."""


TABLE = re.compile(
    r"(?<!\.weight)$|embed_tokens|token_embedding|position_embedding|word_embeddings|relative_attention_bias|shared\."
    r"|text_projection|lm_head|output_layer"
)
"""What has two dimensions and is no layer's matrix: tables that are looked up in. Nor is what libraries never quantize: the last layer of
a language model, which turns states into words."""

LIMIT = 1 << 63
"""Of any number in a header."""


class Tensor(NamedTuple):
    """One entry of a header."""

    dtype: str
    shape: tuple[int, ...]


class Header(NamedTuple):
    """What a safetensors file says about itself."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    bytes: int
    """Of the whole file."""

    @property
    def parameters(self) -> int:
        """Numbers in all tensors of a floating point type."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values() if tensor.dtype.startswith(("F", "BF")))

    @property
    def matrices(self) -> int:
        """Numbers in the matrices of layers."""
        return in_matrices(self.tensors)


def in_matrices(tensors: Mapping[str, Tensor]) -> int:
    """Numbers in the weights of linear layers, by their names and shapes."""
    return sum(math.prod(tensor.shape) for name, tensor in tensors.items() if len(tensor.shape) == 2 and not TABLE.search(name))


def regular(file: Path) -> os.stat_result:
    """Size and time of a regular file, its links followed. Never opens it: opening a FIFO would wait for ever.

    Raises:
        ModelError: it is something else, is missing, or may not be looked at.
    """
    try:
        found = file.stat()
    except PermissionError:
        raise ModelError(f"{_name(file)} may not be read: no permission.", "model") from None
    except OSError:
        raise ModelError(f"{_name(file)} is missing, or a link that leads nowhere.", "model") from None
    if not stat.S_ISREG(found.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise ModelError(f"{_name(file)} is {kinds.get(stat.S_IFMT(found.st_mode), 'a device')}, not a file.", "model")
    return found


def header(file: Path) -> Header:
    """The header of a safetensors file, checked in full: every byte of the file belongs to exactly one tensor.

    Raises:
        ModelError: the file is not whole or is something else; the sentence says what, and what to do.
    """
    return told_broken(file, _header)


def told_broken(file: Path, read: Callable[[Path, int], Header]) -> Header:
    """What `read` makes of the file and its size, with what goes wrong in words.

    Raises:
        ModelError: the file is not whole or is something else; the sentence says what, and what to do.
    """
    found = regular(file)
    try:
        return read(file, found.st_size)
    except PermissionError:
        raise ModelError(f"{_name(file)} may not be read: no permission.", "model") from None
    except OSError as error:
        raise ModelError(f"{_name(file)} cannot be read: {error.strerror}.", "model") from None
    except Broken as broken:
        if 0 <= time.time() - found.st_mtime < COPYING:
            raise ModelError(
                f"{_name(file)} is still being copied, or {broken}. Wait until it is there, then look again.", "model"
            ) from None
        raise ModelError(f"{_name(file)} {broken}.", "model") from None


class Broken(Exception):
    """What is wrong with a file, as the rest of a sentence that begins with its name."""


def _header(file: Path, size: int) -> Header:
    with file.open("rb") as stream:
        start = stream.read(64)
        for sign, meaning in SIGNS:
            # A header's length never looks like these: it would be longer than any file.
            if start.startswith(sign):
                raise ModelError(f"{_name(file)} {meaning}.", "model")
        if size < 10:
            raise Broken(f"is too small to be a model: {size} bytes. Download it again")
        length = int.from_bytes(start[:8], "little")
        if length > HEADER_LIMIT:
            raise Broken("is not a safetensors file")
        if length > size - 8:
            raise Broken(f"is incomplete: have {size:,} bytes, and its header alone has {length + 8:,}. Download it again")
        stream.seek(8)
        text = stream.read(length)
    tensors, places, metadata = _entries(file, text)
    end = _laid_out(places)
    have = size - 8 - length
    if have < end:
        raise Broken(f"is incomplete: have {size:,} of {8 + length + end:,} bytes. Download it again")
    if have > end:
        raise Broken(f"has {have - end:,} bytes too many at its end. Download it again")
    return Header(tensors, metadata, size)


def _entries(file: Path, text: bytes) -> tuple[dict[str, Tensor], list[tuple[int, int]], dict[str, str]]:
    """Type and shape of every tensor, their places in the file, and the file's own notes."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Broken("is not a safetensors file, or is damaged: its header is not JSON") from None
    if not isinstance(value, dict):
        raise Broken("is not a safetensors file: its header is not a JSON object")
    notes = value.pop("__metadata__", None) or {}
    # The key once for each tensor that there is: counting it costs nothing, where hearing of every pair doubles the time.
    if text.count(b'"data_offsets"') > len(value):
        log.warning("%s names a tensor twice; the last one counts", _name(file))
    metadata = {str(key): note for key, note in notes.items() if isinstance(note, str)} if isinstance(notes, dict) else {}
    tensors: dict[str, Tensor] = {}
    places: list[tuple[int, int]] = []
    for name, entry in value.items():
        dtype, shape, begin, end = _entry(name, entry)
        tensors[name] = Tensor(dtype, shape)
        places.append((begin, end))
    return tensors, places, metadata


def _entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    # Plain loops: there are a thousand of these in a file, and may be ten thousand files.
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        bits = BITS.get(dtype) if isinstance(dtype, str) else None
    except (TypeError, KeyError, ValueError):
        raise Broken(f"is damaged: its header does not describe {name[:60]!r} as a tensor") from None
    if bits is None:
        raise Broken(f"holds numbers of an unknown type, {str(dtype)[:20]!r}")
    count = 1
    for number in shape:
        if type(number) is not int or not 0 <= number < LIMIT:
            raise Broken(f"is damaged: {name[:60]!r} has an impossible shape or place")
        count *= number
    if type(begin) is not int or type(end) is not int or not (0 <= begin < LIMIT and 0 <= end < LIMIT):
        raise Broken(f"is damaged: {name[:60]!r} has an impossible shape or place")
    if (count * bits + 7) // 8 != end - begin:
        raise Broken(f"is damaged: {name[:60]!r} has another size than its shape says")
    return dtype, shape, begin, end


def _laid_out(places: list[tuple[int, int]]) -> int:
    """Where the last tensor ends; they must follow each other without holes."""
    places.sort()
    if places and (places[0][0] != 0 or any(before[1] != after[0] for before, after in pairwise(places))):
        raise Broken("is damaged: its tensors overlap or leave holes")
    return places[-1][1] if places else 0


def _name(file: Path) -> str:
    """The file's name, fit to be shown."""
    return file.name if file.name.isprintable() else ascii(file.name)
