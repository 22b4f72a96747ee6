"""GGUF files: recognised by their header, checked before they are believed, completed from a folder, painted as what they unpack to."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Any

import diffusers
import gguf as library
import numpy as np
import pytest
import torch
from diffusers.hooks.group_offloading import _is_group_offload_enabled
from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES, GGUFLinear
from gguf import GGMLQuantizationType as Packing
from safetensors.torch import save_file

from tests.engine.conftest import events_of, pixels
from tests.families import FLUX, open_plainly, write_family
from tests.ggufs import write_gguf
from webui.engine import gguf, memory, placement, unpacking
from webui.engine.catalogue import Model
from webui.engine.engine import Engine
from webui.engine.families import FAMILIES
from webui.engine.shelf import scan
from webui.events import Failed
from webui.request import Request
from webui.settings import Wishes

WIDE: dict[str, Any] = FLUX | {"num_attention_heads": 4, "guidance_embeds": True, "pooled_projection_dim": 16}
"""As wide as a block: narrower matrices are not packed, in no file."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that lends; a GGUF file; and what that unpacks to, as a .safetensors file."""
    home = tmp_path_factory.mktemp("models")
    write_family(home / "folder", "FLUX.1")
    torch.manual_seed(3)
    transformer = diffusers.FluxTransformer2DModel(**WIDE)
    for packing in (Packing.Q8_0, Packing.Q4_0):
        save_file(write_gguf(home / f"{packing.name}.gguf", transformer, packing), home / f"{packing.name}.safetensors")
    return home


def picture(engine: Engine, name: str, prompt: str = "a boat") -> Any:
    request = Request.parse({"prompt": prompt, "seed": 1, "steps": 3, "width": 64, "height": 64})
    (log,) = events_of(engine, request.resolve(engine._models[name].defaults, name))
    return pixels(log)


def test_it_is_listed_with_family_size_and_packing(home: Path) -> None:
    found = scan([home])["Q4_0.gguf"]
    assert (found.family, found.usable, found.lender) == ("FLUX.1", True, "folder") and found.bytes == (home / "Q4_0.gguf").stat().st_size
    assert found.summary.startswith("GGUF, mostly Q4_0: ") and found.summary.endswith(" bits a number.")
    assert found.parameters["transformer"] == scan([home])["Q4_0.safetensors"].parameters["transformer"]


@pytest.mark.parametrize("packing", ["Q8_0", "Q4_0"])
def test_it_paints_what_it_unpacks_to_and_stays_packed(home: Path, packing: str) -> None:
    engine = Engine([home], "cpu", "off")
    one, whole = picture(engine, f"{packing}.gguf"), picture(engine, f"{packing}.safetensors")
    # Its scales have 11 bits, and are multiplied as such.
    assert np.abs(one - whole).max() <= 2 and whole.std() > 1
    model = engine._models[f"{packing}.gguf"]
    transformer = engine._loader.get(model).pipe.transformer
    layers = [part for part in transformer.modules() if isinstance(part, GGUFLinear)]
    assert sum(layer.weight.numel() for layer in layers) == model.packed["transformer"] > 0
    assert sum(layer.in_features * layer.out_features for layer in layers) == model.matrices["transformer"]


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.denoiser])
def test_other_families_paint_what_their_files_unpack_to(family: str, tmp_path: Path) -> None:
    """In blocks of 32, as far as tiny matrices have so many columns; tables that look like matrices are packed too."""
    transformer = open_plainly(write_family(tmp_path / "folder", family)).transformer
    name = "base" if "base" in family else "file"
    save_file(write_gguf(tmp_path / f"{name}.gguf", transformer), tmp_path / f"{name}.safetensors")
    engine = Engine([tmp_path], "cpu", "off")
    assert engine._models[f"{name}.gguf"].family == family and engine._models[f"{name}.gguf"].packed["transformer"]
    assert np.abs(picture(engine, f"{name}.gguf") - picture(engine, f"{name}.safetensors")).max() <= 2


def test_loras_act_on_it_and_leave_no_trace(home: Path, tmp_path: Path) -> None:
    for file in home.iterdir():
        (tmp_path / file.name).symlink_to(file)
    width, generator = 32, torch.Generator().manual_seed(1)
    state = {}
    for layer in ("attn.to_q", "attn.to_k", "attn.to_out.0", "ff.net.0.proj"):
        rows = 4 * width if "ff" in layer else width
        state[f"transformer.transformer_blocks.0.{layer}.lora_A.weight"] = torch.randn(2, width, generator=generator)
        state[f"transformer.transformer_blocks.0.{layer}.lora_B.weight"] = torch.randn(rows, 2, generator=generator)
    save_file(state, tmp_path / "look.safetensors")
    engine, prompt = Engine([tmp_path], "cpu", "off"), "a boat <lora:look:0.5>"
    before, changed = picture(engine, "Q8_0.gguf"), picture(engine, "Q8_0.gguf", prompt)
    assert np.abs(changed - before).mean() > 1
    assert np.abs(changed - picture(engine, "Q8_0.safetensors", prompt)).max() <= 2
    assert np.array_equal(picture(engine, "Q8_0.gguf"), before)


def test_what_it_needs_is_counted_as_it_lies_there() -> None:
    one = Model(
        name="m", path=Path("m"), title="m", family="FLUX.1", parameters={"transformer": 12_000_000_000, "vae": 80_000_000},
        matrices={"transformer": 11_900_000_000}, packed={"transformer": 6_700_000_000},
    )  # fmt: skip
    assert memory.stored(one, "transformer", torch.bfloat16) == 6_900_000_000
    assert placement.decide(one, torch.device("cuda"), 80 * 10**9, 80 * 10**9, Wishes()).why.endswith(placement.PACKED)
    assert memory.stored(one, "transformer", torch.float32, quantized=True) == 7_100_000_000 and not memory.quantizable(one)


def test_with_layers_fetched_one_by_one_the_picture_is_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, decide = picture(Engine([home], "cpu", "off"), "Q8_0.gguf"), placement.decide
    monkeypatch.setattr(placement, "decide", lambda *given: decide(*given)._replace(streamed=True))
    engine = Engine([home], "cpu", "off")
    assert np.array_equal(picture(engine, "Q8_0.gguf"), plain)
    assert _is_group_offload_enabled(engine._loader.get(engine._models["Q8_0.gguf"]).pipe.transformer)


def test_its_text_encoder_may_be_in_8_bits_beside_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "WORTH", 1)
    engine = Engine([home], "cpu", "off", wishes=Wishes(quantize="int8"))
    picture(engine, "Q8_0.gguf")
    pipe = engine._loader.get(engine._models["Q8_0.gguf"]).pipe
    assert isinstance(pipe.transformer.x_embedder, torch.nn.Linear)
    kinds = [{type(weight).__name__ for weight in part.parameters()} for part in (pipe.transformer, pipe.text_encoder_2)]
    assert "GGUFParameter" in kinds[0] and "Int8Tensor" not in kinds[0] and "Int8Tensor" in kinds[1]


def test_without_its_library_the_sentence_says_how_to_get_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "find_spec", lambda name: None)
    engine = Engine([home], "cpu", "off")
    request = Request.parse({"prompt": "a boat"}).resolve(engine._models["Q8_0.gguf"].defaults, "Q8_0.gguf")
    (log,) = events_of(engine, request)
    assert isinstance(log[-1], Failed) and "pip install 'stepwise-webui[quantize]'" in log[-1].message


def test_blocks_are_as_long_as_the_library_has_them_and_what_diffusers_unpacks_is_read() -> None:
    for number, packing in gguf.PACKINGS.items():
        kind = Packing(number)
        assert kind.name == packing.name and library.GGML_QUANT_SIZES[kind] == (packing.block, packing.bytes)
        assert packing.read == (kind in SUPPORTED_GGUF_QUANT_TYPES or packing.name in gguf.PLAIN)


def listed(file: Path) -> Model:
    """As it is listed when it has lain there for a while."""
    os.utime(file, (time.time() - 60,) * 2)
    return scan([file.parent])[file.name]


def damaged(home: Path, target: Path, change: Any) -> str:
    """What is said of the file once its bytes are changed."""
    target.write_bytes(change((home / "Q8_0.gguf").read_bytes()))
    return listed(target).reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "is incomplete: have "),
        (lambda data: data[:3000], "is incomplete: it ends within its header"),
        (lambda data: data[:20], "is incomplete: it ends within its header"),
        (lambda data: b"", "is no GGUF file, whatever its name says"),
        (lambda data: b"PK\x03\x04" + data[4:], "is no GGUF file, whatever its name says"),
        (lambda data: data[:4] + struct.pack("<I", 1) + data[8:], "is of version 1 of GGUF"),
        (lambda data: data[:8] + struct.pack("<Q", 1 << 60) + data[16:], "is damaged: its header counts more than any model has"),
        (lambda data: data[:16] + struct.pack("<Q", 1 << 60) + data[24:], "is damaged: its header counts more than any model has"),
        (lambda data: data[:24] + struct.pack("<Q", 1 << 60) + data[32:], "is damaged: its header has an impossible text"),
    ],
)
def test_what_is_damaged_is_named_and_never_believed(home: Path, tmp_path: Path, change: Any, words: str) -> None:
    assert words in damaged(home, tmp_path / "file.gguf", change)


def test_other_files_are_called_what_they_are(home: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    (tmp_path / "file.safetensors").write_bytes((home / "Q8_0.gguf").read_bytes())
    assert "is a GGUF file under another name. Rename it, so that it ends in .gguf" in listed(tmp_path / "file.safetensors").reason
    writer = library.GGUFWriter(tmp_path / "t5.gguf", "t5encoder")
    writer.add_tensor("enc.blk.0.attn_q.weight", np.zeros((4, 32), np.float32))
    finish(writer)
    assert listed(tmp_path / "t5.gguf").reason == "It is a text encoder, which is a part of a model."
    writer = library.GGUFWriter(tmp_path / "sdxl.gguf", "sdxl")
    writer.add_tensor("input_blocks.0.0.weight", np.zeros((4, 32), np.float32))
    finish(writer)
    assert "U-Net alone" in listed(tmp_path / "sdxl.gguf").reason
    write_gguf(tmp_path / "reshaped.gguf", diffusers.FluxTransformer2DModel(**WIDE), comfy__gguf__orig_shape__x="4")
    assert "its tensors were reshaped" in listed(tmp_path / "reshaped.gguf").reason


def test_a_header_of_words_is_read_to_its_limit_only(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = library.GGUFWriter(tmp_path / "words.gguf", "llama")
    writer.add_array("tokenizer.ggml.tokens", ["word"] * 1000)
    writer.add_array("tokenizer.ggml.scores", [1.5] * 1000)
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((4, 32), np.float32))
    finish(writer)
    assert listed(tmp_path / "words.gguf").reason == "It is a text encoder, which is a part of a model."
    monkeypatch.setattr(gguf, "HEADER_LIMIT", 4096)
    assert "its header is longer than any model's" in listed(tmp_path / "words.gguf").reason


def test_a_packing_that_is_not_read_says_which_to_take(home: Path, tmp_path: Path) -> None:
    data = (home / "Q8_0.gguf").read_bytes()
    name = b"double_blocks.0.img_mlp.0.weight"
    at = data.index(name) + len(name) + 4 + 16
    assert struct.unpack("<I", data[at : at + 4]) == (8,)
    for kind, words in ((24, "It is FLUX.1, but its weights are packed as I8"), (99, "a way that this version does not know (type 99)")):
        (tmp_path / "file.gguf").write_bytes(data[:at] + struct.pack("<I", kind) + data[at + 4 :])
        said = listed(tmp_path / "file.gguf").reason
        assert words in said and said.endswith("Download its Q4_K_M or Q8_0 file.")


def finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
