"""What a GGUF file holds, read from its header alone. Artists share denoisers of 2 to 8 bits in this format of llama.cpp.

The tensors have the names of their makers' layout, as in a .safetensors file, and are packed in blocks along their last dimension. Every
count and length of the header is checked before it is believed. Knows nothing of torch.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from webui.engine.tensors import Broken, Header, Tensor, header, told_broken

MAGIC = b"GGUF"
VERSIONS = (2, 3)

PAIRS, TENSORS, DIMENSIONS, TEXT = 1_000, 100_000, 4, 1 << 20
"""Most notes, tensors, dimensions of one and bytes of a text: a denoiser has some ten notes and two thousand tensors."""

HEADER_LIMIT = 32 << 20
"""Bytes: the words of a language model take ten million, and are read one by one."""

NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
"""Type of a note -> how it is written."""

STRING, ARRAY = 8, 9


class Packing(NamedTuple):
    """How the numbers of a tensor lie in a file."""

    name: str
    block: int
    """Numbers that are packed together."""
    bytes: int
    """Of such a block."""
    read: bool = True
    """Whether diffusers unpacks it."""


PACKINGS: Mapping[int, Packing] = {
    0: Packing("F32", 1, 4), 1: Packing("F16", 1, 2), 2: Packing("Q4_0", 32, 18), 3: Packing("Q4_1", 32, 20), 6: Packing("Q5_0", 32, 22),
    7: Packing("Q5_1", 32, 24), 8: Packing("Q8_0", 32, 34), 9: Packing("Q8_1", 32, 40, False), 10: Packing("Q2_K", 256, 84),
    11: Packing("Q3_K", 256, 110), 12: Packing("Q4_K", 256, 144), 13: Packing("Q5_K", 256, 176), 14: Packing("Q6_K", 256, 210),
    15: Packing("Q8_K", 256, 292, False), 16: Packing("IQ2_XXS", 256, 66, False), 17: Packing("IQ2_XS", 256, 74, False),
    18: Packing("IQ3_XXS", 256, 98, False), 19: Packing("IQ1_S", 256, 50, False), 20: Packing("IQ4_NL", 32, 18),
    21: Packing("IQ3_S", 256, 110, False), 22: Packing("IQ2_S", 256, 82, False), 23: Packing("IQ4_XS", 256, 136),
    24: Packing("I8", 1, 1, False), 25: Packing("I16", 1, 2, False), 26: Packing("I32", 1, 4, False), 27: Packing("I64", 1, 8, False),
    28: Packing("F64", 1, 8, False), 29: Packing("IQ1_M", 256, 56, False), 30: Packing("BF16", 1, 2),
    34: Packing("TQ1_0", 256, 54, False), 35: Packing("TQ2_0", 256, 66, False),
}  # fmt: skip
"""By their numbers in a header."""

PLAIN = ("F32", "F16")
"""Those that are loaded as plain tensors, in the type that is computed in."""

BY_NAME: Mapping[str, Packing] = {packing.name: packing for packing in PACKINGS.values()}

RESHAPED = "comfy.gguf.orig_shape."
"""Before the name of a tensor that was packed in another shape than it has, as those of U-Nets are."""


def any_header(file: Path) -> Header:
    """The header of a file that ends in .safetensors or .gguf.

    Raises:
        ModelError: the file is not whole or is something else; the sentence says what, and what to do.
    """
    return told_broken(file, _header) if file.suffix.lower() == ".gguf" else header(file)


def packed(tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Numbers that stay packed in memory, and the bytes that they take."""
    sizes = [(math.prod(one.shape), BY_NAME[one.dtype]) for one in tensors.values() if one.dtype in BY_NAME and one.dtype not in PLAIN]
    return sum(count for count, _ in sizes), sum(count // packing.block * packing.bytes for count, packing in sizes)


def described(tensors: Mapping[str, Tensor]) -> str:
    """How a file is packed, for people."""
    counts: dict[str, int] = {}
    for one in tensors.values():
        counts[one.dtype] = counts.get(one.dtype, 0) + math.prod(one.shape)
    bits = sum(count * BY_NAME[name].bytes * 8 / BY_NAME[name].block for name, count in counts.items()) / max(1, sum(counts.values()))
    return f"GGUF, mostly {max(counts, key=lambda name: counts[name])}: {bits:.1f} bits a number."


def unread(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    """What of a file cannot be read, as the end of a sentence; empty if all can."""
    for one in tensors.values():
        if not BY_NAME[one.dtype].read:
            return f"its weights are packed as {one.dtype}, which this version does not read. Download its Q4_K_M or Q8_0 file"
    if any(name.startswith(RESHAPED) for name in notes):
        return "its tensors were reshaped, which this version does not undo. Download its .safetensors file"
    return ""


def _header(file: Path, size: int) -> Header:
    with file.open("rb") as stream:
        if stream.read(4) != MAGIC:
            raise Broken("is no GGUF file, whatever its name says. Download it again")
        version = _number(stream, "<I")
        if version not in VERSIONS:
            raise Broken(f"is of version {version} of GGUF, and this studio reads 2 and 3. Download a newer file")
        tensors, pairs = _number(stream, "<Q"), _number(stream, "<Q")
        if tensors > TENSORS or pairs > PAIRS:
            raise Broken("is damaged: its header counts more than any model has")
        notes = {_text(stream): _note(stream, _number(stream, "<I")) for _ in range(pairs)}
        found: dict[str, Tensor] = {}
        end = 0
        for _ in range(tensors):
            name, tensor, after = _entry(stream)
            found[name], end = tensor, max(end, after)
        align = notes.get("general.alignment", 32)
        if not isinstance(align, int) or not 0 < align <= 1 << 20:
            raise Broken("is damaged: its header has an impossible alignment")
        begin = math.ceil(stream.tell() / align) * align
    if begin + end > size:
        raise Broken(f"is incomplete: have {size:,} of {begin + end:,} bytes. Download it again")
    return Header(found, {key: str(value) for key, value in notes.items()}, size)


def _entry(stream: BinaryIO) -> tuple[str, Tensor, int]:
    """A tensor's name, what it is, and where it ends, from the beginning of the tensors."""
    name, count = _text(stream), _number(stream, "<I")
    if count > DIMENSIONS:
        raise Broken(f"is damaged: {name[:60]!r} has an impossible shape")
    shape = tuple(_number(stream, "<Q") for _ in range(count))[::-1]  # the other way round in a file
    kind, offset = _number(stream, "<I"), _number(stream, "<Q")
    packing = PACKINGS.get(kind)
    if packing is None:
        raise Broken(f"is packed in a way that this version does not know (type {kind}). Download its Q4_K_M or Q8_0 file")
    numbers = math.prod(shape)
    if shape and shape[-1] % packing.block:
        raise Broken(f"is damaged: {name[:60]!r} does not divide into blocks of {packing.block}")
    return name, Tensor(packing.name, shape), offset + numbers // packing.block * packing.bytes


def _note(stream: BinaryIO, kind: int) -> Any:
    """A note's value; of an array only how long it is."""
    if kind == STRING:
        return _text(stream)
    if kind == ARRAY:
        inner, count = _number(stream, "<I"), _number(stream, "<Q")
        if count > TEXT or inner == ARRAY:
            raise Broken("is damaged: its header has an impossible list")
        if inner in NUMBERS:
            stream.seek(count * struct.calcsize(NUMBERS[inner]), os.SEEK_CUR)
        else:
            for _ in range(count):
                _note(stream, inner)
        return count
    if kind not in NUMBERS:
        raise Broken("is damaged: its header has a note of an unknown type")
    return _number(stream, NUMBERS[kind])


def _text(stream: BinaryIO) -> str:
    length = _number(stream, "<Q")
    if length > TEXT:
        raise Broken("is damaged: its header has an impossible text")
    return _exactly(stream, length).decode("utf-8", errors="replace")


def _number(stream: BinaryIO, form: str) -> Any:
    return struct.unpack(form, _exactly(stream, struct.calcsize(form)))[0]


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if stream.tell() > HEADER_LIMIT:
        raise Broken("is damaged: its header is longer than any model's")
    if len(data) < length:
        raise Broken("is incomplete: it ends within its header. Download it again")
    return data
