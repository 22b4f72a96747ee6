"""Choices and wildcards: drawn from the seed, the same on any machine; whatever is written is a text or a sentence, in good time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.errors import InvalidRequest
from webui.prompts.choices import DEPTH
from webui.prompts.comments import without_comments
from webui.prompts.draw import DRAWS, FILES, Deck, deck, draw, draws
from webui.request import PROMPT_LENGTH

DECKS: Mapping[str, Deck] = {
    "colour": deck(["red", "blue", "green"]),
    "mostly red": deck(["9::red", "blue"]),
    "boat/kind": deck(["__colour__ sloop", "{small|large} barge"]),
    "self": deck(["a __self__"]),
    "ping": deck(["__pong__"]),
    "pong": deck(["__ping__"]),
    "many": deck([" ".join(["__many2__"] * 100)]),
    "many2": deck([" ".join(["__colour__"] * 100)]),
    **{f"deep{k}": deck([f"__deep{k + 1}__"]) for k in range(FILES + 1)},
    "long": deck(["x" * PROMPT_LENGTH]),
}


def decks(name: str) -> Deck:
    if name not in DECKS:
        raise InvalidRequest(f"There is no wildcard called {name!r}.")
    return DECKS[name]


def drawn(text: str, seeds: int = 200) -> set[str]:
    """Everything that some seeds make of the text."""
    return {draw(text, seed, "prompt", decks) for seed in range(seeds)}


@pytest.mark.parametrize(
    ("text", "all_of_it"),
    [
        ("a {red|blue} boat", {"a red boat", "a blue boat"}),
        ("{big |}boat", {"big boat", "boat"}),
        ("{a{b|c}|d}", {"ab", "ac", "d"}),
        ("{{a|b}|{c|d}}", {"a", "b", "c", "d"}),
        ("__colour__", {"red", "blue", "green"}),
        ("a__colour__b", {"aredb", "ablueb", "agreenb"}),
        ("__boat/kind__", {"red sloop", "blue sloop", "green sloop", "small barge", "large barge"}),
        ("{2$$a|b|c}", {f"{x}, {y}" for x in "abc" for y in "abc" if x != y}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{1-2$$a|b}", {"a", "b", "a, b", "b, a"}),
        ("{-1$$a}", {"", "a"}),
        ("{9$$a|b}", {"a, b", "b, a"}),
        ("{2$$__colour__}", {f"{x}, {y}" for x in ("red", "blue", "green") for y in ("red", "blue", "green") if x != y}),
        ("{0::a|1::b}", {"b"}),
        ("{0::a|0::b}", {"a", "b"}),
        ("{1::{a|b}|0::c}", {"a", "b"}),
        ("(a {red:1.2|[blue]}:1.3)", {"(a red:1.2:1.3)", "(a [blue]:1.3)"}),
        ("{<lora:one:0.5>|<lora:two:1>} cat", {"<lora:one:0.5> cat", "<lora:two:1> cat"}),
        ("<lora:{one|two}:{0.5|1}>", {f"<lora:{name}:{weight}>" for name in ("one", "two") for weight in ("0.5", "1")}),
        ("<lora:__colour__:1> cat", {f"<lora:{colour}:1> cat" for colour in ("red", "blue", "green")}),
        ("<lora:add__colour__xl:{1|2}>", {"<lora:add__colour__xl:1>", "<lora:add__colour__xl:2>"}),
    ],
)
def test_what_may_be_drawn_is_all_drawn_and_nothing_else(text: str, all_of_it: set[str]) -> None:
    assert drawn(text) == all_of_it
    assert draws(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "a boat", "{a}", "{}", '{"subject": {"colour": "red"}}', "{a|b", "a|b}", "a|b", "}{", "__", "____", "__init", "a_b_c", "$$",
        "2$$", "50% off, ratio 16:9", "(a:1.2) b++ [c]", "\\(x\\) \\", "<lora:x:1>",
        "cat <lora:add__more__xl:0.8>", "<LORA:sub/__more__xl> a", "<lora:", "a < b",
    ],
)  # fmt: skip
def test_what_is_no_choice_is_left_as_it_is(text: str) -> None:
    assert drawn(text, 3) == {text} and not draws(text)


def test_a_backslash_makes_signs_ordinary() -> None:
    assert drawn(r"\{a\|b\} \_\_colour__ \# \(x\)", 3) == {r"{a|b} __colour__ # \(x\)"}


def test_weights_are_kept_to() -> None:
    for text in ("{9::red|blue}", "__mostly red__"):
        counts = Counter(draw(text, seed, "prompt", decks) for seed in range(2000))
        assert 0.87 < counts["red"] / 2000 < 0.93


def test_the_seed_decides_and_nothing_else() -> None:
    text = " ".join(["{a|b|c|d}"] * 20)
    assert draw(text, 7, "prompt", decks) == draw(text, 7, "prompt", decks)
    assert draw(text, 7, "prompt", decks) != draw(text, 8, "prompt", decks) != draw(text, 7, "negative", decks)
    # Written down: another version of this program, or of Python, must draw the same.
    assert draw("{a|b|c|d} __colour__ {2$$e|f|g} __boat/kind__", 12345, "prompt", decks) == "a green e, g blue sloop"
    assert draw("{5$$c|3::d|e|0::f|2.5::g|h}", 12345, "prompt", decks) == "d, h, c, g, e"


def test_many_of_many_lines_are_drawn_quickly() -> None:
    lines = [f"artist {k}" for k in range(10_000)]
    start = time.process_time()
    made = draw("{990$$__artist__}", 1, "prompt", lambda name: Deck(tuple(lines), tuple(float(k + 1) for k in range(len(lines)))))
    assert time.process_time() - start < 0.5
    assert len({*made.split(", ")}) == 990 and {*made.split(", ")} <= {*lines}


def test_what_weighs_nothing_comes_last_and_evenly() -> None:
    seen = [draw("{9$$a|0::b|0.1::c|0::d|999999999::e|0.5::f}", seed, "prompt", decks).split(", ") for seed in range(300)]
    assert all(sorted(one) == list("abcdef") and one[0] == "e" for one in seen)
    assert {"".join(one[-2:]) for one in seen} == {"bd", "db"}


def test_how_many_of_a_range_is_even_as_far_as_there_are_options() -> None:
    counts = Counter(draw("{1-9$$a|b|c}", seed, "prompt", decks).count(",") for seed in range(900))
    assert all(240 < counts[commas] < 360 for commas in range(3))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("__self__", "leads back to itself"),
        ("__ping__", "leads back to itself"),
        ("__deep0__", f"{FILES} deep"),
        ("__many__", "draws"),
        ("{a|b}" * (DRAWS + 1), "draws"),
        ("__long__ __long__", "longer than"),
        ("{a|" * (DEPTH + 1) + "}" * (DEPTH + 1), f"{DEPTH} deep"),
        ("{" * 5000 + "}" * 5000, f"{DEPTH} deep"),
        ("__nothing__", "no wildcard"),
    ],
)
def test_what_would_never_end_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        draw(text, 1, "prompt", decks)


SYNTAX = st.lists(st.sampled_from([*"{}|_$:\\#12 a\n", "__colour__", "__self__", "2$$", "3::", "{a|"]), max_size=200).map("".join)


@given(SYNTAX | st.text(max_size=200), st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_any_text_is_drawn_or_refused_with_a_sentence(text: str, seed: int) -> None:
    try:
        made = draw(without_comments(text), seed, "prompt", decks)
    except InvalidRequest as error:
        assert error.message.endswith(".")
    else:
        assert len(made) <= PROMPT_LENGTH
        assert made == draw(without_comments(text), seed, "prompt", decks)


@given(st.text(st.characters(exclude_characters="{}|_\\#"), max_size=300))
@settings(max_examples=200, deadline=None)
def test_text_without_signs_is_left_as_it_is(text: str) -> None:
    assert draw(without_comments(text), 1, "prompt", decks) == text


HOSTILE = [
    "{",
    "}",
    "{}",
    "{a|",
    "|",
    "__",
    "_",
    "__a ",
    "\\",
    "{1$$",
    "$$",
    "2::",
    "{a|b}",
    "#",
    "# ",
    " #",
    "\n#",
    "{{a|b}",
    "__colour__",
    "<lora:",
    "<lora:__a",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_length_and_no_faster(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        times = []
        for _ in range(3 if length <= PROMPT_LENGTH else 1):
            start = time.process_time()
            with suppress(InvalidRequest):
                draw(without_comments(text), 1, "prompt", decks)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(PROMPT_LENGTH) < 10 * seconds(PROMPT_LENGTH // 4) + 0.05
    assert seconds(100_000) < 5


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("# all of it", ""),
        ("a\n# in between\nb", "a\nb"),
        ("  # with blanks before\nb", "b"),
        ("#1 at the start of a line\nb", "b"),
        ("a boat # at the end\nb", "a boat\nb"),
        ("a #", "a"),
        ("a ## b", "a"),
        ("C# and #ff8800, #1, a#b", "C# and #ff8800, #1, a#b"),
        (r"\# no comment", r"\# no comment"),
        ("a\n\nb", "a\n\nb"),
    ],
)
def test_comments_go_and_words_with_a_hash_stay(text: str, left: str) -> None:
    assert without_comments(text) == left


def test_decks_of_any_weights_can_be_drawn_from() -> None:
    for lines in (["0::a", "0::b"], ["0.5::a", "b"], ["999999999::a", "b"]):
        made = deck(lines)
        assert made.lines == ("a", "b") and made.sums[-1] > 0
