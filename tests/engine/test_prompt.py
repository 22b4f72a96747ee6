"""Prompt weights in both grammars, and that no text whatever troubles the parser."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.engine.prompt import MOST, Segment, parse, plain
from webui.request import PROMPT_LENGTH

EXAMPLES: list[tuple[str, list[tuple[str, float]]]] = [
    ("", [("", 1)]),
    ("a red boat", [("a red boat", 1)]),
    # A1111
    ("a (red) boat", [("a", 1), ("red", 1.1), ("boat", 1)]),
    ("((red)) boat", [("red", 1.21), ("boat", 1)]),
    ("[red] boat", [("red", 0.9091), ("boat", 1)]),
    ("[(red)] boat", [("red boat", 1)]),
    ("a (red:1.3) boat", [("a", 1), ("red", 1.3), ("boat", 1)]),
    ("(red: 0.5 ) boat", [("red", 0.5), ("boat", 1)]),
    ("(red:.5)", [("red", 0.5)]),
    ("(red:0)", [("red", 0)]),
    ("(red:-2)", [("red", 0)]),
    ("((red:1.2) boat:1.5)", [("red", 1.8), ("boat", 1.5)]),
    ("(red boat", [("red boat", 1.1)]),
    ("red) boat]", [("red) boat]", 1)]),
    ("(red]", [("red]", 1.1)]),
    ("(a:b)", [("a:b", 1.1)]),
    ("(red:1e400)", [("red:1e400", 1.1)]),
    ("(red:nan)", [("red:nan", 1.1)]),
    ("(red:99999)", [("red", MOST)]),
    ("(red:1.2345678901)", [("red", 1.2346)]),
    (r"\(red\) \[boat\] \\", [("(red) [boat] \\", 1)]),
    (r"(\(red\):1.3)", [("(red)", 1.3)]),
    ("at 5:30, ratio 16:9", [("at 5:30, ratio 16:9", 1)]),
    # compel
    ("(red)1.3 boat", [("red", 1.3), ("boat", 1)]),
    ("(red boat)0.5", [("red boat", 0.5)]),
    ("red++ boat", [("red", 1.21), ("boat", 1)]),
    ("a red-- boat", [("a", 1), ("red", 0.81), ("boat", 1)]),
    ("(red boat)++", [("red boat", 1.21)]),
    ("(red)---", [("red", 0.729)]),
    ("red+, boat", [("red", 1.1), (", boat", 1)]),
    ("(red)1.3x", [("red", 1.1), ("1.3x", 1)]),
    ("well-known rock-and-roll", [("well-known rock-and-roll", 1)]),
    ("1 + 1 - 1", [("1 + 1 - 1", 1)]),
]


@pytest.mark.parametrize(("text", "segments"), EXAMPLES)
def test_weights_as_artists_write_them(text: str, segments: list[tuple[str, float]]) -> None:
    (window,) = parse(text)
    assert [segment.text for segment in window] == [words for words, _ in segments]
    assert [segment.weight for segment in window] == pytest.approx([weight for _, weight in segments], abs=1e-4)


def test_break_starts_a_window_and_is_a_whole_word_in_capitals() -> None:
    assert parse("a BREAK b") == ((Segment("a", 1),), (Segment("b", 1),))
    assert parse("(a BREAK b:1.5)") == ((Segment("a", 1.5),), (Segment("b", 1.5),))
    assert len(parse("BREAKFAST, break and OUTBREAK")) == 1


def test_both_grammars_may_meet_in_one_prompt() -> None:
    assert parse("(a:1.2) b++ [c]") == ((Segment("a", 1.2), Segment("b", 1.21), Segment("c", 0.9091)),)


SYNTAX = st.text(st.sampled_from(list("()[]:+-\\.15 ,ab\nBREAK")), max_size=300) | st.text(max_size=300)


@given(SYNTAX)
@settings(max_examples=500, deadline=None)
def test_any_text_parses_to_weights_that_an_encoder_can_take(text: str) -> None:
    windows = parse(text)
    assert windows and all(windows)
    for segment in (segment for window in windows for segment in window):
        assert 0 <= segment.weight <= MOST
        assert segment.text == segment.text.strip()


@given(st.text(st.characters(exclude_characters="()[]:+-\\", exclude_categories=["Cs"]), max_size=300))
@settings(max_examples=300, deadline=None)
def test_text_without_syntax_is_left_as_it_is(text: str) -> None:
    if "BREAK" not in text:
        assert parse(text) == ((Segment(text.strip(), 1.0),),)
        assert plain(text) == text.strip()


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_escaped_text_comes_back_whole(text: str) -> None:
    written = "".join("\\" + letter if letter in "\\()[]" else letter for letter in text if letter not in ":+-")
    meant = "".join(letter for letter in text if letter not in ":+-")
    if "BREAK" not in meant:
        assert plain(written) == meant.strip()


HOSTILE = [
    "(", ")", "()", "[(", "(a:1.1", "\\(", "\\", "+", "a+", "a++ ", "+-", "-", ":1.3", ":", ": ", "(:1 ", "(a:1.3)", "(a)1", "B", "BREAK ",
    "(+", ")+", ")1.", ")-", "1", ".", "(1:", "\n", "é", "a-",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_length_and_no_faster(piece: str) -> None:
    """Compared with itself at half the length: a busy machine slows both. Quadratic would be 16 times, exponential for ever."""

    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        times = []
        for _ in range(3):
            start = time.process_time()
            parse(text)
            plain(text)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(PROMPT_LENGTH) < 10 * seconds(PROMPT_LENGTH // 4) + 0.05
