"""Wildcard files, and prompts on their way to what is encoded, recorded and made again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fake import FakeWorker
from webui.comparison import Axis, Comparison
from webui.errors import InvalidRequest
from webui.events import Finished
from webui.people import OWNER
from webui.prompts import wildcards
from webui.prompts.styles import Style
from webui.prompts.words import Words
from webui.request import Defaults, Request, Resolved
from webui.settings import Settings
from webui.studio import Studio


@pytest.fixture
def words(tmp_path: Path) -> Words:
    folder = tmp_path / "wildcards" / "boat"
    folder.mkdir(parents=True)
    (folder.parent / "colour.txt").write_text("\ufeff# colours\nred\n\n  bl\x00\x1bue  \r\n3::green\n")
    (folder / "kind.txt").write_text("__colour__ sloop\n{small|large} barge\n")
    return Words(tmp_path)


def asked(**fields: object) -> Resolved:
    return Request.parse({"seed": 3} | fields).resolve(Defaults(), "m")


def test_files_have_comments_empty_lines_and_folders(words: Words) -> None:
    assert words.wildcards.names() == ["boat/kind", "colour"]
    assert words.wildcards.deck("colour").lines == ("red", "blue", "green")
    made = {words.drawn(asked(prompt="__boat/kind__", seed=seed)).text for seed in range(100)}
    assert made == {"red sloop", "blue sloop", "green sloop", "small barge", "large barge"}


def test_a_changed_file_is_read_again(tmp_path: Path, words: Words) -> None:
    words.drawn(asked(prompt="__colour__"))
    (tmp_path / "wildcards" / "colour.txt").write_text("violet")
    assert words.drawn(asked(prompt="__colour__")).text == "violet"


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "a//b", "./colour", "boat"])
def test_nothing_outside_of_the_folder_is_read(tmp_path: Path, words: Words, name: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(InvalidRequest):
        words.wildcards.deck(name)
    if "." not in name[:1]:
        with pytest.raises(InvalidRequest):
            words.drawn(asked(prompt=f"__{name}__"))


def test_what_cannot_be_drawn_from_is_a_sentence_about_its_field(tmp_path: Path, words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "wildcards"
    (folder / "empty.txt").write_text("# nothing\n\n")
    (folder / "latin.txt").write_bytes("é".encode("latin-1"))
    (folder / "self.txt").write_text("__self__")
    (folder / "large.txt").write_text("x" * 60)
    (folder / "folder.txt").mkdir()
    sentences = {
        "empty": "no lines", "latin": "UTF-8", "self": "itself", "large": "MB", "folder": "no wildcard", "color": "Did you mean: colour",
    }  # fmt: skip
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.txt")
        sentences["pipe"] = "no wildcard"
    monkeypatch.setattr(wildcards, "FILE_LIMIT", 50)
    for name, sentence in sentences.items():
        for field in ("prompt", "negative"):
            with pytest.raises(InvalidRequest, match=sentence) as refused:
                words.drawn(asked(**{field: f"a __{name}__"}))
            assert refused.value.field == field


def test_a_plain_request_stays_as_it_is(words: Words) -> None:
    request = asked(prompt="a red boat, (b:1.2)", negative="fog")
    assert words.drawn(request) == request
    assert "drawn" not in words.drawn(request).model_dump()


def test_comments_then_styles_then_choices(words: Words) -> None:
    words.styles.save(Style(name="ink", prompt="ink of {prompt} # for {a|b}\n, {fine|bold} lines", negative="colour"))
    words.styles.save(Style(name="soft", prompt="soft", negative="__colour__ light"))
    request = words.drawn(asked(prompt="{cat|dog} # or a horse", negative="fog", styles=["ink", "soft"]))
    assert request.drawn in {f"ink of {animal}\n, {kind} lines, soft" for animal in ("cat", "dog") for kind in ("fine", "bold")}
    assert request.drawn_negative in {f"fog, colour, {colour} light" for colour in ("red", "blue", "green")}
    assert request.prompt == "{cat|dog} # or a horse" and request.negative == "fog"
    with pytest.raises(InvalidRequest, match="no style"):
        words.drawn(asked(styles=["none"]))


def test_a_sample_says_whether_it_is_one(words: Words) -> None:
    assert words.sample(Request(prompt="a cat # {b|c}")) == ("a cat", False, "")
    text, chance, _ = words.sample(Request(prompt="a {cat|dog}", seed=5))
    assert chance and text == words.drawn(asked(prompt="a {cat|dog}", seed=5)).text
    for request in (Request(prompt="a __cat__"), Request(prompt="a", styles=("none",)), Request(prompt="{" * 60 + "|" + "}" * 60)):
        sample = words.sample(request)
        assert sample.text == request.prompt and sample.problem.endswith(".")


# --- through the studio ---

TEMPLATE = "a {red|blue|green|black|white} __thing__"


@pytest.fixture
def things(settings: Settings) -> list[str]:
    folder = settings.models.parent / "wildcards"
    folder.mkdir()
    names = ["boat", "house", "fish", "tree"]
    (folder / "thing.txt").write_text("\n".join(names))
    return names


def test_each_picture_of_a_batch_has_its_own_draw_and_keeps_it_with_the_template(
    studio: Studio, worker: FakeWorker, things: list[str]
) -> None:
    jobs = studio.submit(Request(prompt=TEMPLATE, steps=1, seed=1).series(12))
    assert len({job.request.text for job in jobs}) > 4
    for job in jobs:
        last = job.wait(60)
        assert isinstance(last, Finished)
        recipe = studio.pictures.recipe(last.picture)
        assert recipe.prompt == TEMPLATE and recipe.text == job.request.text and recipe.text.split()[-1] in things
        assert recipe.text.replace(" ", "-") in last.picture, "the file is named after what was drawn"
    assert {request.text for request in worker.submitted} == {job.request.text for job in jobs}
    again = studio.submit(Request(prompt=TEMPLATE, steps=1, seed=1).series(12))
    assert [job.request for job in again] == [job.request for job in jobs]


def test_a_draw_outlives_its_file(studio: Studio, settings: Settings, things: list[str]) -> None:
    (job,) = studio.submit([Request(prompt="__thing__", steps=1, seed=1)])
    job.wait(60)
    (settings.models.parent / "wildcards" / "thing.txt").unlink()
    assert studio.job(job.id).request.text in things
    with pytest.raises(InvalidRequest, match="no wildcard"):
        studio.submit([Request(prompt="__thing__", steps=1, seed=1)])
    with pytest.raises(InvalidRequest, match="no wildcard"):
        studio.submit([Request(prompt=f"__{'船' * 90}__", steps=1, seed=1)])


def test_the_cells_of_a_comparison_draw_from_their_seed(studio: Studio, things: list[str]) -> None:
    steps = Comparison(request=Request(prompt=TEMPLATE, seed=4), axes=(Axis(field="steps", values=(1, 2, 3)),))
    assert len({job.request.text for job in studio.comparisons.begin(steps, OWNER).jobs}) == 1
    prompts = Comparison(request=Request(seed=4), axes=(Axis(field="prompt", values=("a __thing__", "__nothing__", TEMPLATE)),))
    compared = studio.comparisons.begin(prompts, OWNER)
    assert [job.request.prompt for job in compared.jobs] == ["a __thing__", "__nothing__", TEMPLATE]
    assert [job.done and job.last.kind == "failed" for job in compared.jobs] == [False, True, False]
    compared.jobs[2].wait(60)
    assert studio.comparisons.get(compared.entry.id, OWNER).jobs[2].request.text != TEMPLATE
