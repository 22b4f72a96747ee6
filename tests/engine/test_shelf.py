"""What lies in the models' folders: read when asked for, kept for the next start, looked at again when it changes, summed once."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.fake import write_model
from tests.tiny import write_pipeline
from webui.engine import entry
from webui.engine.catalogue import find
from webui.engine.engine import Engine
from webui.engine.ledger import Ledger
from webui.engine.loras import known, tags
from webui.engine.shelf import Shelf, scan
from webui.engine.stock import Stock, prompt_word
from webui.engine.tensors import COPYING
from webui.errors import InvalidRequest, ModelError
from webui.events import Event, Rendered
from webui.request import Request
from webui.settings import builtin_models

CROSS = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"


def aged(path: Path) -> Path:
    """Not changed lately."""
    then = time.time() - 10 * COPYING
    os.utime(path, (then, then))
    return path


def lora(file: Path, width: int = 768, notes: dict[str, str] | None = None) -> Path:
    """A LoRA of one layer for the family whose text has this width."""
    file.parent.mkdir(parents=True, exist_ok=True)
    encoder = {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.zeros(4, 5)}
    save_file({CROSS: torch.zeros(4, width)} | encoder, file, notes)
    return aged(file)


KINDS: dict[str, tuple[dict[str, tuple[int, ...]], str, str, str]] = {
    # Tensors, kind, family, words of the summary.
    "sd1 embedding": ({"emb_params": (3, 768)}, "embedding", "Stable Diffusion 1.x", "3 vectors"),
    "sd2 embedding": ({"emb_params": (1, 1024)}, "embedding", "Stable Diffusion 2.x", "1 vector of"),
    "sdxl embedding": ({"clip_l": (2, 768), "clip_g": (2, 1280)}, "embedding", "Stable Diffusion XL", "2 vectors"),
    "diffusers' embedding": ({"<cat-toy>": (768,)}, "embedding", "Stable Diffusion 1.x", "1 vector of"),
    "autoencoder": ({"decoder.conv_in.weight": (8, 4, 3, 3), "encoder.conv_in.weight": (8, 3, 3, 3)}, "vae", "", "1.x, 2.x or XL"),
    "with a prefix": ({"first_stage_model.decoder.conv_in.weight": (8, 16, 3, 3)}, "vae", "", "16 latent channels"),
    "of other channels": ({"decoder.conv_in.weight": (8, 7, 3, 3)}, "vae", "", "7 latent channels"),
    "lora": ({CROSS: (4, 2048)}, "lora", "Stable Diffusion XL", ""),
    "of no known family": ({"transformer.x.lora_A.weight": (4, 9)}, "lora", "", ""),
    "of another width": ({"emb_params": (2, 2)}, "model", "", ""),
    "with something else": ({"emb_params": (3, 768), "x": (3, 768)}, "model", "", ""),
    "a probe": ({"weight": (1, 768), "bias": (1,)}, "model", "", ""),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_goes_with_models_is_known_by_its_tensors(tmp_path: Path, name: str) -> None:
    tensors, kind, family, words = KINDS[name]
    save_file({key: torch.zeros(shape) for key, shape in tensors.items()}, tmp_path / "a.safetensors")
    found = scan([tmp_path])["a.safetensors"]
    assert (found.kind, found.family) == (kind, family) and words in found.summary
    assert kind == "model" or sum(found.parameters.values()) == sum(torch.zeros(shape).numel() for shape in tensors.values())
    assert not found.usable
    with pytest.raises(ModelError, match="cannot be loaded: It is"):
        find({found.name: found}, found.name)


def test_an_autoencoder_in_a_folder_of_its_own_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "vae" / "better"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    save_file({"decoder.conv_in.weight": torch.zeros(8, 4, 3, 3)}, folder / "diffusion_pytorch_model.safetensors")
    models = scan([tmp_path])
    assert list(models) == ["vae/better"] and models["vae/better"].kind == "vae" and models["vae/better"].title == "better"


def test_a_loras_own_notes_are_shown(tmp_path: Path) -> None:
    counts = {"10_ink": {"ink drawing": 20, "a <b>cat</b>": 7}, "5_x": {"ink drawing": 1, "broken": "many"}}
    lora(tmp_path / "a.safetensors", notes={"ss_tag_frequency": json.dumps(counts)})
    spec = {"modelspec.title": "Ink", "modelspec.trigger_phrase": "in ink", "modelspec.license": "CC0-1.0"}
    lora(tmp_path / "b.safetensors", notes=spec)
    lora(tmp_path / "c.safetensors", notes={"ss_tag_frequency": "[" * 100_000})
    lora(tmp_path / "d.safetensors")
    (tmp_path / "d.json").write_text(json.dumps({"activation text": "sks", "description": "<p>Old\nphotographs</p>", "licence": "MIT"}))
    models = scan([tmp_path])
    assert models["a.safetensors"].words == ("ink drawing", "a cat")
    assert (models["b.safetensors"].title, models["b.safetensors"].words, models["b.safetensors"].licence) == (
        "Ink",
        ("in ink",),
        "CC0-1.0",
    )
    assert models["c.safetensors"].words == ()
    assert (models["d.safetensors"].words, models["d.safetensors"].summary) == (("sks",), "Old photographs")
    assert models["a.safetensors"].parameters == {"denoiser": 4 * 768, "text encoder": 20}


@pytest.mark.parametrize(
    ("front", "licence", "training"),
    [
        ("license: mit\ndatasets:\n- a/b\n- c/d\nbase_model: x/y", "mit", "Trained on a/b, c/d. Made from x/y."),
        (
            "datasets: [a, b, c, d, e]\nbase_model: [x/y]\nbase_model_relation: merge",
            "",
            "Trained on a, b, c and 2 more. Merged from x/y.",
        ),
        ("license: [a, b]\ndatasets: {a: b}\nbase_model: 3", "", "Made from 3."),
        ("license: no\ndatasets:\n  - <b>x</b>\n  - ''\n  - [y]", "no", "Trained on x."),
        ("a: &a [x, x]\nb: &b [*a, *a]\ndatasets: [*b, *b]\nlicense: mit", "mit", ""),
        ("license: mit\ndatasets: [", "", ""),
        ("[" * 30_000, "", ""),
        ("license: !!python/object/apply:os.system [true]", "", ""),
        ("- " * 30_000, "", ""),
        ("- license: mit", "", ""),
        (f"license: {'x' * 70_000}", "", ""),
    ],
    ids=range(11),
)
def test_what_a_readme_says_of_licence_and_training_is_one_line(tmp_path: Path, front: str, licence: str, training: str) -> None:
    write_model(tmp_path / "a")
    (tmp_path / "a" / "card.json").unlink()
    (tmp_path / "a" / "README.md").write_text(f"---\n{front}\n---\n# A\ndatasets: none\n")
    model = scan([tmp_path])["a"]
    assert (model.licence, model.training) == (licence, training) and model.usable


def test_a_card_of_our_own_says_what_a_model_was_trained_on(tmp_path: Path) -> None:
    write_model(tmp_path / "a")
    card = json.loads((tmp_path / "a" / "card.json").read_text()) | {"training": "Trained on squares."}
    (tmp_path / "a" / "card.json").write_text(json.dumps(card))
    (tmp_path / "a" / "README.md").write_text("---\ndatasets: other\n---\n")
    assert scan([tmp_path])["a"].training == "Trained on squares."
    assert "no outside pictures" in scan([builtin_models()])["storybook"].training


def test_a_licence_is_read_from_the_readme_of_a_folder(tmp_path: Path) -> None:
    for name, front in {"a": "license: openrail++\ntags: x", "b": "license: other\nlicense_name: flux-1-dev", "c": "tags: x"}.items():
        write_model(tmp_path / name)
        (tmp_path / name / "card.json").unlink()
        (tmp_path / name / "README.md").write_text(f"---\n{front}\n---\n# A\nlicense: none\n")
    assert [model.licence for model in scan([tmp_path]).values()] == ["openrail++", "flux-1-dev", ""]


def test_a_picture_of_the_same_name_is_the_thumbnail(tmp_path: Path) -> None:
    lora(tmp_path / "a.safetensors")
    write_model(tmp_path / "folder")
    for name in ("a.png", "a.preview.png", "folder.webp", "other.png"):
        (tmp_path / name).touch()
    models = scan([tmp_path])
    assert (models["a.safetensors"].thumbnail, models["folder"].thumbnail) == ("a.preview.png", "folder.webp")


def test_a_name_that_no_prompt_can_say_is_refused(tmp_path: Path) -> None:
    lora(tmp_path / "a:b.safetensors")
    assert "Rename it" in scan([tmp_path])["a:b.safetensors"].reason


def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are read from now on."""
    names: list[str] = []

    def read(name: str, place: Any) -> Any:
        names.append(name)
        return real(name, place)

    real = entry.read
    monkeypatch.setattr("webui.engine.shelf.read", read)
    return names


def test_only_what_is_asked_for_is_read_and_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ink", "oil", "wax"):
        lora(tmp_path / "loras" / f"{name}.safetensors")
    write_model(tmp_path / "fake")
    names = opened(monkeypatch)
    shelf = Shelf([tmp_path])
    for _ in range(2):
        assert find(shelf, "fake").name == "fake"
        assert set(known(shelf, tags("a <lora:ink:1>")[1], "Stable Diffusion 1.x")) == {"ink"}
    assert sorted(names) == ["fake", "loras/ink.safetensors"]


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second passes between two looks at the folders."""
    monkeypatch.setattr("webui.engine.stock.PAUSE", 0)


def test_a_file_that_is_dropped_in_is_found_without_a_restart(tmp_path: Path) -> None:
    (tmp_path / "loras").mkdir()
    write_model(tmp_path / "fake")
    shelf, stock = Shelf([tmp_path]), Stock([tmp_path])
    lora(tmp_path / "loras" / "new.safetensors")
    write_model(tmp_path / "second")
    assert "second" in shelf and "third" not in shelf
    assert "loras/new.safetensors" in stock.models() and stock.revision == 2
    (tmp_path / "loras" / "new.safetensors").unlink()
    assert "loras/new.safetensors" not in stock.models() and stock.revision == 3
    assert stock.models() and stock.revision == 3


def test_the_engine_finds_what_was_dropped_in_after_its_start(tmp_path: Path) -> None:
    engine = Engine([tmp_path], "cpu", "off")
    write_pipeline(tmp_path / "tiny")
    request = Request(prompt="a", seed=1, model="tiny").resolve(scan([tmp_path])["tiny"].defaults, "tiny")
    log: list[Event] = []
    engine.submit("a", request, log.append)
    while engine.step():
        pass
    assert isinstance(log[-1], Rendered)


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    file = lora(tmp_path / "a.safetensors")
    shelf = Shelf([tmp_path])
    first = shelf["a.safetensors"]
    assert shelf["a.safetensors"] is first
    lora(file, 2048)
    assert shelf["a.safetensors"].family == "Stable Diffusion XL" and shelf["a.safetensors"].stamp != first.stamp


def test_a_file_that_is_still_being_copied_is_looked_at_until_it_is_whole(tmp_path: Path) -> None:
    whole = lora(tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "whole.safetensors").unlink()
    stock = Stock([tmp_path])
    copying = tmp_path / "slow.safetensors"
    copying.write_bytes(whole[:-10])
    reason = stock.refresh()["slow.safetensors"].reason
    assert "still being copied" in reason and f"have {len(whole) - 10:,} of {len(whole):,}" in reason
    with copying.open("ab") as stream:
        stream.write(whole[-10:])
    assert stock.models()["slow.safetensors"].kind == "lora"


def test_what_was_read_is_kept_for_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lora(tmp_path / "models" / "a.safetensors")
    aged(tmp_path / "models" / "b.ckpt") if (tmp_path / "models" / "b.ckpt").write_bytes(b"PK") else None
    write_model(tmp_path / "models" / "fake")
    ledger = tmp_path / "outputs" / "models.sqlite"
    first = Stock([tmp_path / "models"], ledger)
    before = first.models()
    first.close()
    names = opened(monkeypatch)
    second = Stock([tmp_path / "models"], ledger)
    assert names == [] and second.models() == before
    (tmp_path / "models" / "a.safetensors").unlink()
    second.refresh()
    second.close()
    with sqlite3.connect(ledger) as db:
        assert db.execute("select count(*) from entries").fetchone() == (2,)
    db.close()


@pytest.mark.parametrize("wrong", [b"", b"no database " * 1000])
def test_a_ledger_that_is_broken_begins_anew(tmp_path: Path, wrong: bytes) -> None:
    lora(tmp_path / "models" / "a.safetensors")
    ledger = tmp_path / "models.sqlite"
    ledger.write_bytes(wrong)
    for _ in range(2):
        stock = Stock([tmp_path / "models"], ledger)
        assert list(stock.models()) == ["a.safetensors"]
        stock.close()
    assert list(Ledger(ledger).entries()) == [tmp_path / "models" / "a.safetensors"]


def test_a_row_of_the_ledger_that_is_not_understood_is_read_again(tmp_path: Path) -> None:
    lora(tmp_path / "models" / "a.safetensors")
    ledger = tmp_path / "models.sqlite"
    Stock([tmp_path / "models"], ledger).close()
    with sqlite3.connect(ledger) as db:
        db.execute("update entries set model = '{}'")
    db.close()
    assert Stock([tmp_path / "models"], ledger).models()["a.safetensors"].kind == "lora"


def test_a_folder_that_cannot_be_written_to_keeps_nothing_and_works(tmp_path: Path) -> None:
    lora(tmp_path / "models" / "a.safetensors")
    (tmp_path / "file").touch()
    assert list(Stock([tmp_path / "models"], tmp_path / "file" / "models.sqlite").models()) == ["a.safetensors"]


def summed(stock: Stock) -> None:
    """Until every file has its checksum."""
    end = time.monotonic() + 10
    while stock.sum_up():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_checksums_are_computed_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = lora(tmp_path / "models" / "a.safetensors")
    write_model(tmp_path / "models" / "fake")
    ledger = tmp_path / "models.sqlite"
    stock = Stock([tmp_path / "models"], ledger)
    assert stock.models()["a.safetensors"].sha256 == ""
    summed(stock)
    model = stock.models()["a.safetensors"]
    data = file.read_bytes()
    assert model.sha256 == hashlib.sha256(data).hexdigest()
    assert model.body == hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
    stock.close()
    monkeypatch.setattr("webui.engine.stock.digest", None)
    again = Stock([tmp_path / "models"], ledger)
    assert again.models()["a.safetensors"] == model and again.sum_up() == 0
    lora(file, 2048)
    assert again.refresh()["a.safetensors"].sha256 == ""


def test_a_loras_word_is_its_name_or_its_path_where_two_have_one(tmp_path: Path) -> None:
    for name in ("a/ink", "b/ink", "b/oil"):
        lora(tmp_path / f"{name}.safetensors")
    save_file({"emb_params": torch.zeros(1, 768)}, tmp_path / "ugly.safetensors")
    models = scan([tmp_path])
    word = prompt_word(models)
    assert [word(models[name]) for name in models] == ["<lora:a/ink:0.8>", "<lora:b/ink:0.8>", "<lora:oil:0.8>", "ugly"]
    for prompt in ("<lora:b/ink:0.8>", "<lora:oil:0.8>"):
        assert known(models, tags(prompt)[1], "Stable Diffusion 1.x")
    with pytest.raises(InvalidRequest, match="Did you mean: oil"):
        known(models, tags("<lora:oill>")[1], "Stable Diffusion 1.x")
