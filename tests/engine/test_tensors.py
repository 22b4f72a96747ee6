"""Headers of weights files: what is whole is read, everything else is named for what it is, and nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import pickle
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from webui.engine.tensors import COPYING, header
from webui.errors import ModelError


def written(file: Path, entries: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    """A file with this header, as JSON unless it is bytes, and this data; last changed a while ago."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return aged(file)


def aged(file: Path) -> Path:
    """Not changed lately, so that nobody takes it for one that is being copied."""
    then = time.time() - 10 * COPYING
    os.utime(file, (then, then))
    return file


def tensor(begin: int = 0, end: int = 8, **changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [begin, end]} | changes


def test_what_a_whole_file_says(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    tensors = {"b": torch.zeros(3, 4, dtype=torch.float16), "a": torch.zeros(2), "ids": torch.zeros(5, dtype=torch.int64)}
    save_file(tensors, file, {"note": "yes"})
    found = header(file)
    assert {name: (entry.dtype, entry.shape) for name, entry in found.tensors.items()} == {
        "b": ("F16", (3, 4)), "a": ("F32", (2,)), "ids": ("I64", (5,)),
    }  # fmt: skip
    assert (found.parameters, found.bytes, found.metadata) == (14, file.stat().st_size, {"note": "yes"})


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda file: file.write_bytes(b""), "too small"),
    "seven bytes": (lambda file: file.write_bytes(b"1234567"), "too small"),
    "cut off": (lambda file: written(file, {"a": tensor()}, b"1234"), r"incomplete: have \d+ of \d+ bytes. Download it again"),
    "header cut off": (lambda file: written(file, b"{}", length=5000), "incomplete: have 10 bytes, and its header alone has 5,008"),
    "trailing junk": (lambda file: written(file, {"a": tensor()}, b"12345678junk"), "4 bytes too many"),
    "length 2^63": (lambda file: written(file, b"{}", length=2**63), "not a safetensors file"),
    "length 200 MB": (lambda file: written(file, b"{}", length=200_000_000), "not a safetensors file"),
    "not JSON": (lambda file: written(file, b"{nope"), "not JSON"),
    "list": (lambda file: written(file, []), "not a JSON object"),
    "bad UTF-8": (lambda file: written(file, b'{"\xff": 1}'), "not JSON"),
    "deep": (lambda file: written(file, b"[" * 100_000), "not JSON"),
    "unknown type": (lambda file: written(file, {"a": tensor(dtype="X9")}, b"12345678"), "unknown type, 'X9'"),
    "type is a list": (lambda file: written(file, {"a": tensor(dtype=["F32"])}, b"12345678"), "unknown type"),
    "overlap": (lambda file: written(file, {"a": tensor(), "b": tensor(4, 12)}, b"x" * 12), "overlap"),
    "hole": (lambda file: written(file, {"a": tensor(), "b": tensor(12, 20)}, b"x" * 20), "holes"),
    "begins late": (lambda file: written(file, {"a": tensor(4, 12)}, b"x" * 12), "holes"),
    "negative place": (lambda file: written(file, {"a": tensor(-8, 0)}, b"x" * 8), "impossible"),
    "overflow": (lambda file: written(file, {"a": tensor(shape=[2**40, 2**40])}, b"x" * 8), "another size"),
    "negative shape": (lambda file: written(file, {"a": tensor(shape=[-2])}, b"x" * 8), "impossible"),
    "boolean shape": (lambda file: written(file, {"a": tensor(shape=[True, 2])}, b"x" * 8), "impossible"),
    "wrong count": (lambda file: written(file, {"a": tensor(shape=[3])}, b"x" * 8), "another size"),
    "entry is text": (lambda file: written(file, {"a": "tensor"}), "describe 'a'"),
    "three places": (lambda file: written(file, {"a": tensor(data_offsets=[0, 4, 8])}, b"x" * 8), "describe 'a'"),
    "Git LFS": (lambda file: file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n"), "Git LFS pointer"),
    "web page": (lambda file: file.write_bytes(b"<!DOCTYPE html><title>404</title>"), "web page"),
    "GGUF": (lambda file: file.write_bytes(b"GGUF\x03\0\0\0" + bytes(90)), "GGUF"),
    "folder": (lambda file: file.mkdir(), "is a folder"),
    "pipe": (lambda file: os.mkfifo(file), "is a pipe"),
    "device": (lambda file: file.symlink_to("/dev/zero"), "is a device"),
    "nothing": (lambda file: file.symlink_to("nowhere"), "missing"),
    "loop": (lambda file: file.symlink_to(file), "missing"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_a_sentence_at_once(tmp_path: Path, kind: str) -> None:
    make, words = WRONG[kind]
    file = tmp_path / "model.safetensors"
    make(file)
    if file.is_file() and not file.is_symlink():
        aged(file)
    began = time.monotonic()
    with pytest.raises(ModelError, match=words) as refused:
        header(file)
    assert time.monotonic() - began < 1
    assert refused.value.message.startswith("model.safetensors ") and refused.value.message.endswith(".") and refused.value.field == "model"


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path may have a hundred characters only
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("model.safetensors")
        with pytest.raises(ModelError, match="is a socket"):
            header(Path("model.safetensors"))


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.trace), "w")


@pytest.mark.parametrize("how", ["protocol 2", "protocol 5", "torch", "old torch"])
def test_a_pickle_is_named_and_never_opened(tmp_path: Path, how: str) -> None:
    file, trace = tmp_path / "model.safetensors", tmp_path / "ran"
    if "torch" in how:
        torch.save({"a": Evil(trace)}, file, _use_new_zipfile_serialization=how == "torch")
    else:
        file.write_bytes(pickle.dumps(Evil(trace), protocol=int(how[-1])))
    with pytest.raises(ModelError, match=r"pickle, which can run code .* \.safetensors version"):
        header(file)
    assert not trace.exists()


def test_a_file_that_grows_is_being_copied(tmp_path: Path) -> None:
    file = written(tmp_path / "model.safetensors", {"a": tensor()}, b"1234")
    os.utime(file)
    with pytest.raises(ModelError, match=r"still being copied.* Wait"):
        header(file)
    with file.open("ab") as stream:
        stream.write(b"5678")
    assert header(file).parameters == 2


def test_a_doubled_name_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entry = json.dumps(tensor())
    header(written(tmp_path / "a.safetensors", f'{{"a": {entry}, "a": {entry}}}'.encode(), b"x" * 8))
    assert "names a tensor twice" in caplog.text


def test_a_hundred_thousand_tensors_are_read_in_time(tmp_path: Path) -> None:
    entries = {f"tensor.{k}": {"dtype": "F16", "shape": [1], "data_offsets": [2 * k, 2 * k + 2]} for k in range(100_000)}
    file = written(tmp_path / "many.safetensors", entries, bytes(200_000))
    began = time.process_time()
    assert header(file).parameters == 100_000
    assert time.process_time() - began < 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_is_said(tmp_path: Path) -> None:
    file = written(tmp_path / "a.safetensors", {"a": tensor()}, b"x" * 8)
    file.chmod(0)
    with pytest.raises(ModelError, match="no permission"):
        header(file)


STARTS = [b"", struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 60) + json.dumps({"a": tensor()}).encode()]


@given(data=st.binary(max_size=300), start=st.sampled_from(STARTS))
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise_anything_but_a_sentence_and_what_passes_the_library_opens(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    file.write_bytes(start + data)
    try:
        names = set(header(file).tensors)
    except ModelError:
        return
    try:
        with safe_open(file, "pt") as opened:
            assert set(opened.keys()) == names
    except SafetensorError as error:
        pytest.fail(f"passed, but the library refuses it: {error}")
