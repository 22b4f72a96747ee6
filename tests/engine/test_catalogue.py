"""Which models there are, whatever lies in the folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from webui.engine.cards import JSON_LIMIT
from webui.engine.catalogue import BUILTIN, find, usable
from webui.engine.shelf import scan
from webui.engine.walk import DEPTH
from webui.errors import ModelError
from webui.request import Defaults


def write(folder: Path, card: Any = None, kind: str = "StableDiffusionPipeline") -> Path:
    """A folder that looks like a model; a string for a card is written as it is."""
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    if card is not None:
        (folder / "card.json").write_text(card if isinstance(card, str) else json.dumps(card), encoding="utf-8")
    return folder


def test_a_card_says_what_the_page_shows(tmp_path: Path) -> None:
    card = {
        "title": "Märchen", "summary": "Pictures.", "licence": "CC0", "width": 256, "height": 128, "steps": 12, "guidance": 4.5,
        "sampler": "Euler", "schedule": "Karras", "ideas": ["a cat"], "vocabulary": {"colours": ["red", "blue"]}, "future": 1,
    }  # fmt: skip
    write(tmp_path / "tales", card)
    model = scan([tmp_path])["tales"]
    assert (model.name, model.path, model.title, model.summary, model.licence) == (
        "tales", tmp_path / "tales", "Märchen", "Pictures.", "CC0",
    )  # fmt: skip
    assert model.defaults == Defaults(width=256, height=128, steps=12, guidance=4.5, sampler="Euler", schedule="Karras")
    assert model.ideas == ("a cat",) and model.vocabulary == {"colours": ("red", "blue")}


def test_without_a_card_there_are_generic_values(tmp_path: Path) -> None:
    write(tmp_path / "bare")
    model = scan([tmp_path])["bare"]
    assert model.title == "bare" and model.defaults == Defaults()


BAD_CARDS: dict[str, Any] = {
    "not JSON": "{", "a list": [], "empty": "", "title": {"title": 5}, "ideas": {"ideas": "a cat"}, "words": {"vocabulary": {"a": "b"}},
    "steps": {"steps": 10**9}, "text": {"steps": "20"}, "size": {"width": 250}, "nan": '{"guidance": NaN}',
    "sampler": {"sampler": "Best"}, "pair": {"sampler": "DDIM", "schedule": "Karras"}, "huge": '"' + "x" * JSON_LIMIT + '"',
    "deep": "[" * 100_000, "surrogate": '{"title": "\\ud800"}', "number": '{"steps": ' + "9" * 5000 + "}",
}  # fmt: skip


@pytest.mark.parametrize("card", BAD_CARDS.values(), ids=BAD_CARDS)
def test_a_card_that_is_wrong_is_left_aside_and_the_model_kept(tmp_path: Path, card: Any) -> None:
    write(tmp_path / "odd", card)
    model = scan([tmp_path])["odd"]
    assert model.title == "odd" and model.defaults == Defaults()


def test_a_card_cannot_say_where_the_model_is(tmp_path: Path) -> None:
    write(tmp_path / "sly", {"name": "other", "path": "/etc"})
    model = scan([tmp_path])["sly"]
    assert (model.name, model.path) == ("sly", tmp_path / "sly")


def test_what_is_no_model_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "good")
    write(tmp_path / ".hidden")
    (tmp_path / "empty").mkdir()
    (tmp_path / "picture.png").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert [name for name in scan([tmp_path]) if not name.startswith("loop")] == ["good"]


def strange(folder: Path) -> None:
    """What people leave in a folder of models."""
    write(folder / "video", kind="WanPipeline")
    (folder / "list").mkdir()
    (folder / "list" / "model_index.json").write_text("[]")
    (folder / "folder" / "model_index.json").mkdir(parents=True)
    (folder / "lost" / "unet").mkdir(parents=True)
    (folder / "lost" / "unet" / "config.json").write_text("{}")
    (folder / "deep").mkdir()
    (folder / "deep" / "cut.safetensors").write_bytes(b"x")
    (folder / "old.ckpt").write_bytes(b"PK\x03\x04")
    (folder / "shelf.safetensors").mkdir()
    os.mkfifo(folder / "pipe.safetensors")


@pytest.mark.skipif(os.name == "nt", reason="there are no pipes there")
def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path: Path) -> None:
    strange(tmp_path)
    models = scan([tmp_path])
    assert usable(models) == {}
    for name, words in {
        "video": "'WanPipeline'", "list": "not a JSON object", "folder": "model_index.json is a folder",
        "lost": "model_index.json is missing",
        "deep/cut.safetensors": "too small", "old.ckpt": "is a pickle", "shelf.safetensors": "is a folder", "pipe.safetensors": "is a pipe",
    }.items():  # fmt: skip
        assert words in models[name].reason and models[name].reason.endswith("."), models[name].reason
        with pytest.raises(ModelError) as refused:
            find(models, name)
        assert refused.value.message == f"The model {name} cannot be loaded: {models[name].reason}"
    assert models["old.ckpt"].bytes == 4


def test_ten_thousand_files_in_a_deep_tree_are_listed_in_time(tmp_path: Path) -> None:
    whole = tmp_path / "0.safetensors"
    save_file({"a": torch.zeros(2)}, whole)
    for shelf in range(100):
        folder = tmp_path / f"shelf {shelf}" / ("🎨" * (shelf % 2))
        folder.mkdir(parents=True)
        for book in range(100):
            (folder / f"-{'n' * 200}{book}.safetensors").hardlink_to(whole)
    began = time.process_time()
    assert len(scan([tmp_path])) == 10_001
    assert time.process_time() - began < 3


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_not_text_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "good")
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff")))
    write(tmp_path / "two\nlines")
    models = scan([tmp_path])
    assert list(usable(models)) == ["good"]
    assert all(model.name.isprintable() and "Rename" in model.reason for model in models.values() if not model.usable)


def test_a_folder_that_may_not_be_read_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path / "good")
    closed = write(tmp_path / "closed")
    closed.chmod(0)
    try:
        assert "good" in scan([tmp_path, tmp_path / "missing", tmp_path / "good" / "model_index.json"])
    finally:
        closed.chmod(0o700)


def test_models_may_lie_deeper_and_are_named_by_their_path(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b")
    write(tmp_path.joinpath(*"x" * DEPTH, "too-deep"))
    assert list(scan([tmp_path])) == ["a/b"]


def test_the_first_folder_wins_where_two_have_one_name(tmp_path: Path) -> None:
    for folder in ("mine", "built-in"):
        write(tmp_path / folder / "same", {"title": folder})
    assert scan([tmp_path / "mine", tmp_path / "built-in"])["same"].title == "mine"


def test_finding_a_model(tmp_path: Path) -> None:
    for name in ("apple", "apricot", BUILTIN):
        write(tmp_path / name)
    models = scan([tmp_path])
    assert find(models, "apple").name == "apple"
    assert find(models, None).name == BUILTIN
    with pytest.raises(ModelError, match="apple") as refused:
        find(models, "aple")
    assert refused.value.field == "model"
    with pytest.raises(ModelError, match="There is no model"):
        find({}, None)
    with pytest.raises(ModelError, match="no model called"):
        find(models, "x" * 255)
    del models[BUILTIN]
    assert find(models, None).name == "apple"
