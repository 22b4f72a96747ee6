"""The token counter without torch counts what the engine's tokenizer makes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from tests.families import write_family
from tests.tiny import WINDOW, tokenizer
from webui.engine.catalogue import Model
from webui.engine.prompt import plain
from webui.engine.shelf import scan
from webui.engine.tokens import TokenCounter
from webui.errors import ModelError


@pytest.fixture(scope="module")
def tiny(models: Path) -> Model:
    return scan([models])["tiny"]


@pytest.fixture(scope="module")
def theirs(tiny: Model) -> CLIPTokenizer:
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(tiny.path / "tokenizer")
    return tokenizer


PROMPTS = st.text(max_size=80) | st.lists(st.sampled_from(["a", "boat", "(red:1.3)", "don't", "12", "é", ",", "BREAK", "sky++"])).map(
    " ".join
)


@given(text=PROMPTS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_counts_what_transformers_counts(tiny: Model, theirs: CLIPTokenizer, text: str) -> None:
    text = text.encode(errors="replace").decode()
    expected = len(theirs(plain(text), add_special_tokens=False, truncation=False, verbose=False).input_ids)
    assert TokenCounter().count(tiny, text).total == expected


def test_windows(tiny: Model) -> None:
    counter = TokenCounter()
    room = WINDOW - 2
    for letters, windows in ((0, 1), (1, 1), (room, 1), (room + 1, 2), (5 * room, 5)):
        counted = counter.count(tiny, "a" * letters)
        assert (counted.total, counted.window, counted.windows) == (letters, room, windows)


def test_weights_are_not_counted(tiny: Model) -> None:
    counter = TokenCounter()
    assert counter.count(tiny, "(red:1.3) [boat] sky++") == counter.count(tiny, "red boat sky")


def test_a_file_that_cuts_and_pads_is_not_obeyed(tiny: Model, tmp_path: Path) -> None:
    words = tokenizer()
    words("a", truncation=True, max_length=WINDOW, padding="max_length")
    shutil.copytree(tiny.path / "text_encoder", tmp_path / "text_encoder")
    words.save_pretrained(tmp_path / "tokenizer")
    saved = json.loads((tmp_path / "tokenizer" / "tokenizer.json").read_text())
    assert saved["truncation"] and saved["padding"], "transformers writes down how it was last used"
    model = Model(name="m", path=tmp_path, title="m")
    assert [TokenCounter().count(model, "a" * letters).total for letters in (3, 100)] == [3, 100]


def test_older_folders_with_two_files_count_the_same(tiny: Model, tmp_path: Path) -> None:
    shutil.copytree(tiny.path / "text_encoder", tmp_path / "text_encoder")
    (tmp_path / "tokenizer").mkdir()
    table = json.loads((tiny.path / "tokenizer" / "tokenizer.json").read_text())["model"]["vocab"]
    (tmp_path / "tokenizer" / "vocab.json").write_text(json.dumps(table))
    (tmp_path / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    old = Model(name="old", path=tmp_path, title="old")
    for text in ("a red boat", "don't 12 (x:1.2)!", "Été, à la plage", "a <|endoftext|> b"):
        assert TokenCounter().count(old, text) == TokenCounter().count(tiny, text)


@pytest.mark.parametrize("content", ["", "{}", "[1", '{"version": 3}'])
def test_a_broken_tokenizer_is_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match="cannot be read"):
        TokenCounter().count(Model(name="m", path=tmp_path, title="m"), "a")


@pytest.mark.parametrize(
    ("family", "encoders", "cut"),
    [
        ("Stable Diffusion XL", [("CLIP L", 75), ("CLIP G", 75)], False),
        ("Stable Diffusion 3", [("CLIP L", 75), ("CLIP G", 75), ("T5", 255)], True),
        ("FLUX.1", [("CLIP", 75), ("T5", 511)], True),
    ],
)
def test_each_text_encoder_has_its_count_and_the_largest_is_shown(
    tmp_path: Path, family: str, encoders: list[tuple[str, int]], cut: bool
) -> None:
    model = scan([write_family(tmp_path / "m", family).parent])["m"]
    counted = TokenCounter().count(model, "a (red:1.3) boat, far BREAK away")
    assert [(count.encoder, count.window) for count in counted.counts] == encoders
    assert counted.cut == cut and counted.total == max(count.total for count in counted.counts) > 5
    tokenizer = CLIPTokenizer.from_pretrained(model.path / "tokenizer")
    assert counted.counts[0].total == len(tokenizer("a red boat, far away", add_special_tokens=False).input_ids)
    assert counted.counts[0].windows == (1 if cut else 2), "BREAK begins a window where there are windows"


def test_a_folder_that_lends_to_two_families_has_the_window_of_each(tmp_path: Path) -> None:
    dev = scan([write_family(tmp_path / "m", "FLUX.1").parent])["m"]
    schnell = dev.model_copy(update={"name": "s", "family": "FLUX.1 schnell", "path": tmp_path / "s.safetensors", "around": dev.path})
    counter = TokenCounter()
    assert [counter.count(one, "a").counts[-1].window for one in (dev, schnell, dev)] == [511, 255, 511]


def test_kolors_counts_with_its_own_tokenizer(tmp_path: Path) -> None:
    model = scan([write_family(tmp_path / "m", "Kolors").parent])["m"]
    theirs = ChatGLMTokenizer(str(model.path / "tokenizer" / "tokenizer.model"))
    for text in ("a red boat", "", "don't 12, far  away", "a (red:1.3) boat"):
        (counted,) = TokenCounter().count(model, text).counts
        assert counted.total == len(theirs(plain(text)).input_ids) - 2 and counted.encoder == "ChatGLM"
    assert counted.window == 254 and TokenCounter().count(model, "").cut, "256 with two marks"


def test_a_blend_takes_as_many_as_its_longest_text(tiny: Model) -> None:
    counter = TokenCounter()
    assert counter.count(tiny, '("a", "a b c").blend(1, 1)').total == 3
    both = counter.count(tiny, '("a", "a b c").and()')
    assert (both.total, both.windows) == (4, 2)
