"""styles.csv as stable-diffusion-webui has it: read, put around prompts, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.errors import InvalidRequest, StorageError
from webui.prompts import styles as module
from webui.prompts.styles import Style, Styles, around, read, write
from webui.request import PROMPT_LENGTH

INK = Style(name="ink", prompt="ink drawing of {prompt}, black and white", negative="colour")
SOFT = Style(name='Soft, warm "light"', prompt="soft light\nat dusk", negative="")

THEIRS = '\ufeffname,prompt,negative_prompt\r\nNone,,\r\nink,"ink drawing of {prompt}, black and white",colour\r\n' + (
    '"Soft, warm ""light""","soft light\nat dusk",\r\n'
)


@pytest.fixture
def styles(tmp_path: Path) -> Styles:
    return Styles(tmp_path / "styles.csv")


def test_it_reads_what_stable_diffusion_webui_writes_and_writes_the_same(tmp_path: Path, styles: Styles) -> None:
    (tmp_path / "styles.csv").write_bytes(THEIRS.encode())
    assert list(styles.all().values()) == [Style(name="None"), INK, SOFT]
    assert write(styles.all().values()) == THEIRS


@pytest.mark.parametrize(
    "text",
    [
        "name,prompt,negative_prompt\nink,a,b\n",
        "\ufeffname,prompt,negative_prompt\r\nink,a,b\r\n",
        "name,text,negative_prompt\nink,a,b",
        "negative_prompt, name ,prompt\nb,ink,a\n\n",
        "name,prompt,negative_prompt,category\nink,a,b,drawings\n",
        'name, prompt, negative_prompt\nink, "a", "b"\n',
        "name;prompt;negative_prompt\r\nink;a;b\r\n",
        "name,prompt,negative\nink,a,b\n",
    ],
)
def test_older_and_other_tables(text: str) -> None:
    assert read(text) == {"ink": Style(name="ink", prompt="a", negative="b")}


def test_a_short_row_has_empty_texts_and_a_row_without_a_name_is_left_out() -> None:
    assert read("name,prompt,negative_prompt\nink\n,a,b\n") == {"ink": Style(name="ink")}


SPACED = 'name, prompt, negative_prompt\n# ours, and theirs, for, all, of us\nink, "ink, {prompt}", " blurry, bad"\n#old,x,y\nsoft,s,\n'


def test_blanks_before_quotes_are_skipped_and_comments_are_no_styles_and_stay(tmp_path: Path, styles: Styles) -> None:
    (tmp_path / "styles.csv").write_text(SPACED)
    ink = Style(name="ink", prompt="ink, {prompt}", negative=" blurry, bad")
    assert list(styles.all().values()) == [ink, Style(name="soft", prompt="s")]
    styles.save(INK)
    styles.save(ink)
    styles.delete("soft")
    assert (tmp_path / "styles.csv").read_text(encoding="utf-8-sig").splitlines() == [
        "name,prompt,negative_prompt",
        "# ours,and theirs,for,all,of us",
        '"ink","ink, {prompt}"," blurry, bad"',
        "#old,x,y",
    ]
    with pytest.raises(InvalidRequest, match="no style called"):
        styles.delete("#old")


DAMAGED = {
    "empty": (b"", "columns"),
    "other columns": (b"a,b,c\n1,2,3\n", "columns"),
    "open quote": (b'name,prompt,negative_prompt\nink,"a,b\n', "damaged in line 2"),
    "quote inside": (b'name,prompt,negative_prompt\nsoft,a,\nink,"a"b,c\n', "damaged in line 3"),
    "too many": (b"name,prompt,negative_prompt\nink,a,b,c\n", "line 2"),
    "long": (b"name,prompt,negative_prompt\nink," + b"a" * 140_000 + b",c\n", "damaged"),
    "too long": (b"name,prompt,negative_prompt\nink," + b"a" * (PROMPT_LENGTH + 1) + b",c\n", "cannot be used"),
    "long name": (b"name,prompt,negative_prompt\n" + b"a" * 300 + b",b,c\n", "cannot be used"),
    "latin-1": ("name,prompt,negative_prompt\nincé,a,b\n".encode("latin-1"), "UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0", "UTF-8"),
}


@pytest.mark.parametrize(("content", "sentence"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_a_sentence_and_is_not_written_over(tmp_path: Path, styles: Styles, content: bytes, sentence: str) -> None:
    file = tmp_path / "styles.csv"
    file.write_bytes(content)
    for act in (styles.all, lambda: styles.save(INK), lambda: styles.delete("ink"), lambda: styles.named(["ink"])):
        with pytest.raises(StorageError, match=sentence) as refused:
            act()
        assert refused.value.message.startswith("styles.csv") and refused.value.message.endswith(".")
    assert file.read_bytes() == content
    assert styles.named([]) == [], "who asks for no style is not troubled"


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    for start in ("", "name,prompt,negative_prompt\n"):
        try:
            read(start + text)
        except StorageError as error:
            assert error.message.endswith(".")


NAME = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20).filter(lambda name: name[0] != "#")
TEXT = st.text(max_size=60) | st.text(st.sampled_from(' ",;#a\n'), max_size=6)


@given(st.lists(st.builds(lambda name, a, b: Style.parse({"name": name, "prompt": a, "negative": b}), NAME, TEXT, TEXT), max_size=5))
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_back(many: list[Style]) -> None:
    known = {style.name: style for style in many}
    assert read(write(known.values())) == known


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_what_is_no_file_is_a_sentence(tmp_path: Path, styles: Styles) -> None:
    os.mkfifo(tmp_path / "styles.csv")
    with pytest.raises(StorageError, match="no file"):
        styles.all()


@pytest.mark.parametrize("name", ["水彩\u3000淡い", "d\u00e9j\u00e0\u00a0vu", "👩\u200d🎨 art"])
def test_names_with_other_blanks_and_joined_emoji_are_names(tmp_path: Path, styles: Styles, name: str) -> None:
    (tmp_path / "styles.csv").write_text(f"name,prompt,negative_prompt\n{name},in ink,\n", encoding="utf-8")
    assert [style.name for style in styles.named([name])] == [name]


def test_too_large_a_file_is_a_sentence(tmp_path: Path, styles: Styles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_LIMIT", 10)
    (tmp_path / "styles.csv").write_text(THEIRS)
    with pytest.raises(StorageError, match="more than"):
        styles.all()


def test_saved_replaced_deleted_and_seen_by_another_reader(tmp_path: Path, styles: Styles) -> None:
    assert styles.all() == {}
    styles.save(INK)
    styles.save(SOFT)
    styles.save(Style(name="ink", prompt="etching"))
    assert list(Styles(tmp_path / "styles.csv").all().values()) == [Style(name="ink", prompt="etching"), SOFT]
    styles.delete("ink")
    assert list(styles.all().values()) == [SOFT]
    with pytest.raises(InvalidRequest, match="no style called"):
        styles.delete("ink")
    assert [file.name for file in tmp_path.iterdir()] == ["styles.csv"]


def test_a_change_of_the_file_by_somebody_else_is_seen(tmp_path: Path, styles: Styles) -> None:
    styles.save(INK)
    assert list(styles.all()) == ["ink"]
    (tmp_path / "styles.csv").write_text(THEIRS)
    assert list(styles.all()) == ["None", "ink", SOFT.name]


def test_a_folder_that_cannot_be_written_is_a_sentence_and_nothing_changes(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        Styles(tmp_path / "gone" / "styles.csv").save(INK)


def test_an_unknown_style_names_the_nearest(styles: Styles) -> None:
    styles.save(INK)
    with pytest.raises(InvalidRequest, match="Did you mean: ink") as refused:
        styles.named(["ink", "inc"])
    assert refused.value.field == "styles"


@pytest.mark.parametrize(
    "values",
    [
        {}, [], None, {"name": ""}, {"name": 1}, {"name": " a"}, {"name": "a\nb"}, {"name": "a", "prompt": None}, {"name": "a" * 201},
        {"name": "a", "prompt": "b" * (PROMPT_LENGTH + 1)}, {"name": "a", "more": 1}, {"name": "#a"}, {"name": "half \ud800"},
    ],
)  # fmt: skip
def test_a_wrong_style_is_a_sentence(values: object) -> None:
    with pytest.raises(InvalidRequest, match=r"\.$"):
        Style.parse(values)


@pytest.mark.parametrize(
    ("text", "style", "both"),
    [
        ("a cat", "ink of {prompt}", "ink of a cat"),
        ("a cat", "{prompt} and {prompt}", "a cat and a cat"),
        ("a cat", "sharp", "a cat, sharp"),
        ("", "sharp", "sharp"),
        ("", "ink of {prompt}", "ink of "),
        (" a cat ", "", " a cat "),
        ("a {b|c}", "{d|e}", "a {b|c}, {d|e}"),
    ],
)
def test_a_style_goes_around_the_prompt_or_behind_it(text: str, style: str, both: str) -> None:
    assert around(text, style) == both


def test_styles_that_would_grow_without_end_are_a_sentence() -> None:
    text = "a cat"
    with pytest.raises(InvalidRequest, match="longer than"):
        for _ in range(20):
            text = around(text, "{prompt} " * 50)
