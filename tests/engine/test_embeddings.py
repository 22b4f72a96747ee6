"""Embeddings are words by the name of their file: in the encoders of one request alone, exactly, and a sentence where they do not fit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from tests.engine.conftest import events_of, pixels
from tests.families import write_family
from tests.tiny import write_pipeline
from webui.engine import embeddings, vectors
from webui.engine.embeddings import VECTORS, Embedding, Names, recognise
from webui.engine.engine import Engine
from webui.engine.judge import judge
from webui.engine.loading import Loaded
from webui.engine.shelf import Shelf
from webui.engine.tokens import TokenCounter
from webui.errors import InvalidRequest, ModelError
from webui.events import Failed
from webui.request import Defaults, Request, Resolved

WIDTH = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_pipeline(folder / "tiny", window=77)
    write_family(folder / "xl", "Stable Diffusion XL")
    (folder / "embeddings").mkdir()
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine([folder], "cpu", "off")


def loaded(engine: Engine, name: str) -> Loaded:
    return engine._loader.get(engine._models[name])


def rows(pipe: Any, words: str, encoder: str = "") -> Tensor:
    """What the encoder's own table has for these letters: (letters, width)."""
    ids = getattr(pipe, f"tokenizer{encoder}")(words, add_special_tokens=False).input_ids
    table: Tensor = getattr(pipe, f"text_encoder{encoder}").get_input_embeddings().weight
    return table[ids].detach().clone()


@pytest.fixture(scope="module", autouse=True)
def files(folder: Path, engine: Engine) -> None:
    """Embeddings that say what ordinary words say; and others."""
    place = folder / "embeddings"
    one, two = loaded(engine, "tiny").pipe, loaded(engine, "xl").pipe
    save_file({"emb_params": rows(one, "c a t")}, place / "Purr-5.safetensors")
    save_file({"<far>": torch.ones(WIDTH) * 3}, place / "far.safetensors")
    save_file({"clip_l": rows(two, "c a t"), "clip_g": rows(two, "c a t", "_2")}, place / "both.safetensors")
    save_file({"emb_params": torch.ones(2, 768)}, place / "classic.safetensors")
    save_file({"emb_params": torch.full((1, WIDTH), torch.nan)}, place / "hollow.safetensors")
    save_file({"emb_params": torch.ones(VECTORS + 1, WIDTH)}, place / "vast.safetensors")
    (place / "torn.safetensors").write_bytes((place / "far.safetensors").read_bytes()[:-3])
    save_file({"something": torch.ones(2, 3)}, folder / "other.safetensors")
    (folder / "ragged too.safetensors").write_bytes(b"abc")
    engine._models = Shelf([folder])


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def asked(prompt: str, name: str = "tiny", **fields: Any) -> Resolved:
    given = {"prompt": prompt, "seed": 5, "steps": 2, "width": 64, "height": 64, "sampler": "Euler"} | fields
    return Request.parse(given).resolve(Defaults(guidance=3.0), name)


def given_to(engine: Engine, name: str, prompt: str, negative: str = "") -> dict[str, Tensor]:
    """What the pipeline is given for these prompts."""
    found = embeddings.spoken((prompt, negative), engine._models, engine._models[name].family)
    return loaded(engine, name).prompts((), found)(prompt, negative)


# Each letter is a token of the tiny tokenizer.
SAME = [
    ("purr-5", "c a t"),
    ("a red PURR-5, (x:1.3)", "a red c a t, (x:1.3)"),
    ("(Purr-5:1.4) boat", "(c a t:1.4) boat"),
    ("[purr-5] boat", "[c a t] boat"),
    ("purr-5++ boat", "(c a t)++ boat"),
    ("a " * 60 + "purr-5 " * 8 + "b", "a " * 60 + "c a t " * 8 + "b"),
    ("a BREAK purr-5", "a BREAK c a t"),
    ('("a", "purr-5").blend(1, 3)', '("a", "c a t").blend(1, 3)'),
]


@pytest.mark.parametrize(("written", "meant"), SAME)
def test_an_embedding_is_what_its_vectors_say(engine: Engine, written: str, meant: str) -> None:
    for prompts in ((written, "x"), ("x", written)):
        theirs = tuple(text.replace(written, meant) for text in prompts)
        ours, plain = given_to(engine, "tiny", *prompts), given_to(engine, "tiny", *theirs)
        for key, value in plain.items():
            assert torch.equal(ours[key], value), key


@pytest.mark.parametrize(("written", "meant"), [("a both boat", "a c a t boat"), ("(both:1.5) x", "(c a t:1.5) x")])
def test_sdxl_hears_it_with_both_encoders_and_in_its_summary(engine: Engine, written: str, meant: str) -> None:
    ours, plain = given_to(engine, "xl", written, written), given_to(engine, "xl", meant, meant)
    assert len(plain) == 4
    for key, value in plain.items():
        assert torch.equal(ours[key], value), key
    assert not torch.equal(ours["pooled_prompt_embeds"], given_to(engine, "xl", "a boat")["pooled_prompt_embeds"])


def test_others_who_share_the_model_get_the_same_pictures_to_the_last_bit(engine: Engine) -> None:
    plain = asked("a red boat")
    encoder = loaded(engine, "tiny").pipe.text_encoder
    before = [pixels(log) for log in events_of(engine, plain)]
    state = {key: value.clone() for key, value in encoder.state_dict().items()}
    size = len(loaded(engine, "tiny").pipe.tokenizer)
    alone = pixels(events_of(engine, asked("a far boat"))[0])
    beside = [pixels(log) for log in events_of(engine, plain)]
    assert (before[0] == beside[0]).all()
    together = events_of(engine, asked("a far boat"), plain, asked("a Purr-5 boat", negative="far"))
    assert abs(pixels(together[1]) - before[0]).max() <= 1, "a shared forward differs in the last bit of a float, as without embeddings"
    assert abs(pixels(together[0]) - alone).max() <= 1
    assert (alone != before[0]).any()
    assert all(torch.equal(value, state[key]) for key, value in encoder.state_dict().items()) and len(encoder.state_dict()) == len(state)
    assert len(loaded(engine, "tiny").pipe.tokenizer) == size and not encoder.get_input_embeddings()._forward_hooks
    (after,) = events_of(engine, plain)
    assert (pixels(after) == before[0]).all()


def test_a_changed_file_is_another_embedding(folder: Path, engine: Engine) -> None:
    file = folder / "embeddings" / "shift.safetensors"
    save_file({"emb_params": torch.ones(1, WIDTH)}, file)
    engine._models = Shelf([folder])
    first = given_to(engine, "tiny", "a shift")
    save_file({"emb_params": torch.ones(2, WIDTH) * -1}, file)
    assert not torch.equal(first["prompt_embeds"], given_to(engine, "tiny", "a shift")["prompt_embeds"])


@pytest.mark.parametrize(
    ("prompt", "name", "sentence"),
    [
        ("a classic boat", "tiny", "is for Stable Diffusion 1.x models"),
        ("a far boat", "xl", "has vectors of 16 numbers"),
        ("both", "tiny", "16 and 16 numbers"),
        ("vast", "tiny", f"at most {VECTORS}"),
        ("torn", "tiny", "incomplete"),
    ],
)
def test_what_does_not_fit_is_a_sentence_before_and_in_the_engine(engine: Engine, prompt: str, name: str, sentence: str) -> None:
    for fields in ({"prompt": prompt}, {"prompt": "x", "negative": prompt}):
        request = asked(**{"name": name, **fields})
        with pytest.raises((InvalidRequest, ModelError), match=sentence) as refused:
            judge(request, engine._models[name], engine._models)
        assert refused.value.message.endswith((".", "again."))
        (log,) = events_of(engine, request)
        assert isinstance(log[-1], Failed) and sentence in log[-1].message
    assert (pixels(events_of(engine, asked("a boat"))[0]) >= 0).all(), "and the engine goes on"


def test_vectors_that_are_no_numbers_are_a_sentence(engine: Engine) -> None:
    (log,) = events_of(engine, asked("hollow"))
    assert isinstance(log[-1], Failed) and "damaged" in log[-1].message


def test_other_files_are_not_words(engine: Engine) -> None:
    for prompt in ("an other boat", "a ragged too boat", "a tiny xl boat"):
        assert embeddings.spoken((prompt,), engine._models, "Stable Diffusion 1.x") == ()


def test_families_that_encode_by_themselves_hear_words(engine: Engine) -> None:
    assert embeddings.spoken(("far classic torn",), engine._models, "FLUX.1") == ()


def test_what_a_file_says_of_itself(folder: Path) -> None:
    place = folder / "embeddings"
    found = recognise(place / "both.safetensors")
    assert found is not None and found[:1] + found[2:5] == ("both", ("clip_l", "clip_g"), (WIDTH, WIDTH), 3)
    far = recognise(place / "far.safetensors")
    assert far is not None and (far.widths, far.vectors) == ((WIDTH,), 1)
    assert recognise(folder / "other.safetensors") is None
    with pytest.raises(ModelError, match="incomplete"):
        recognise(place / "torn.safetensors")


@pytest.mark.parametrize(
    "tensors",
    [
        {"clip_l": (2, 8), "clip_g": (3, 8)}, {"clip_l": (2, 8)}, {"emb_params": (2, 8, 1)}, {"emb_params": ()}, {"emb_params": (0, 8)},
        {"emb_params": (2, 8), "more": (1,)}, {"<a>": (2, 8), "<b>": (2, 8)}, {"conv.weight": (2, 8)},
    ],
)  # fmt: skip
def test_what_is_none_is_none(tmp_path: Path, tensors: dict[str, tuple[int, ...]]) -> None:
    save_file({key: torch.zeros(shape) for key, shape in tensors.items()}, tmp_path / "x.safetensors")
    assert recognise(tmp_path / "x.safetensors") is None


def test_numbers_that_are_whole_are_no_vectors(tmp_path: Path) -> None:
    save_file({"emb_params": torch.zeros(2, 8, dtype=torch.int32)}, tmp_path / "x.safetensors")
    assert recognise(tmp_path / "x.safetensors") is None


def words(text: str, names: Sequence[str]) -> list[str]:
    return [text[span.start : span.end] for span in Names(names).spans(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("EasyNegative, by bad-hands-5", ["EasyNegative", "bad-hands-5"]),
        ("bad-hands", ["bad-hands"]),
        ("bad-hands-55 easynegatives uneasynegative easynegative_2", ["bad-hands"]),
        ("(easynegative)", ["easynegative"]),
        ("easynegative easynegative", ["easynegative"] * 2),
        ("in two words,x", ["in two words"]),
        ("", []),
    ],
)
def test_names_are_whole_words_in_any_case_the_longest_first(text: str, found: list[str]) -> None:
    assert words(text, ["easynegative", "bad-hands-5", "bad-hands", "in two words"]) == found


@example("ß", ["ß", "ß0"])
@given(st.text(max_size=100), st.lists(st.text(min_size=1, max_size=5).map(str.lower).filter(str.strip), max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_text_has_spans_in_order_without_overlap(text: str, names: list[str]) -> None:
    end = 0
    for span in Names(names).spans(text):
        assert end <= span.start < span.end <= len(text) and span.name in names
        end = span.end


def test_the_counter_counts_vectors(engine: Engine) -> None:
    models, counter = engine._models, TokenCounter()

    def counted(prompt: str, name: str = "tiny") -> int:
        return counter.count(models[name], prompt, models).total

    assert counted("a (purr-5:1.2) bd") == counted("a c a t bd") == 6
    assert counted("a far, far") == 4
    assert counted("both", "xl") == 3 and len(counter.count(models["xl"], "a", models).counts) == 2
    assert counter.count(models["tiny"], "purr-5 " * 30, models).windows == 2
    with pytest.raises(ModelError):
        counted("torn")


def test_the_words_of_a_tokenizer_are_those_of_the_original(engine: Engine) -> None:
    pipe = loaded(engine, "tiny").pipe
    one = Embedding("zz", Path("x"), ("emb_params",), (WIDTH,), 2, (0, 0))
    own = vectors.Words(pipe.tokenizer, {"zz": range(500, 502)})
    assert one.vectors == 2
    for text in ("", "a boat", "(x, y)!"):
        for options in ({}, {"add_special_tokens": False}, {"padding": "max_length", "truncation": True, "return_tensors": "pt"}):
            theirs, ours = pipe.tokenizer(text, **options).input_ids, own(text, **options).input_ids
            assert torch.equal(ours, theirs) if torch.is_tensor(theirs) else ours == theirs, (text, options)
    assert own(["a", "zz"]).input_ids == [
        pipe.tokenizer("a").input_ids,
        [pipe.tokenizer.bos_token_id, 500, 501, pipe.tokenizer.eos_token_id],
    ]
    assert own.convert_ids_to_tokens([500, 501]) == ["*", "*</w>"]


def test_ten_thousand_files_are_no_burden() -> None:
    wanted = [f"embedding number {k:05}" for k in range(10_000)]
    text = "a boat, embedding number 00700, (embedding number 09999:1.2), " * 100
    began = time.process_time()
    assert len(list(Names(wanted).spans(text))) == 200
    assert time.process_time() - began < 1
