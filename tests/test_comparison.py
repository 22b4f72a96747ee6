"""What a person types becomes an axis or one clear sentence; an axis or two become cells that share their noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.comparison import CELLS, FIELDS, Axis, Comparison, Field, Value, _spelled
from webui.errors import InvalidRequest
from webui.request import SEED_LIMIT, Request

STEPS = Axis(field="steps", values=(4, 8, 16, 32))


@pytest.mark.parametrize(
    ("field", "text", "values"),
    [
        ("steps", "4,8,16,32", (4, 8, 16, 32)),
        ("steps", " 4 ; 8 ".replace(";", ","), (4, 8)),
        ("steps", "4-40/4", (4, 8, 12, 16, 20, 24, 28, 32, 36, 40)),
        ("steps", "4-10/4, 20", (4, 8, 20)),
        ("steps", "4 - 12 / 4", (4, 8, 12)),
        ("steps", "1-3", (1, 2, 3)),
        ("steps", "20-20", (20,)),
        ("steps", "32,4", (32, 4)),
        ("steps", "8,,16,", (8, 16)),
        ("steps", "8\n16", (8, 16)),
        ("guidance", "1-2/0.25", (1.0, 1.25, 1.5, 1.75, 2.0)),
        ("guidance", "7,7.5", (7.0, 7.5)),
        ("seed", "5-8", (5, 6, 7, 8)),
        ("seed", "0,4294967295", (0, 4294967295)),
        ("sampler", "Euler, DPM++ 2M", ("Euler", "DPM++ 2M")),
        ("model", "storybook\nmine, and yours", ("storybook", "mine, and yours")),
        ("prompt", "a cat, asleep\n\n  a dog \n", ("a cat, asleep", "a dog")),
        ("negative", "\nblurry, ugly", ("", "blurry, ugly")),
    ],
)
def test_what_a_person_types(field: Field, text: str, values: tuple[Value, ...]) -> None:
    axis = Axis.read(field, text)
    assert axis.values == values and all(type(one) is type(other) for one, other in zip(axis.values, values, strict=True))


STEPS_BOUNDS = "Steps must be a whole number from 1 to 150."


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("steps", "0", STEPS_BOUNDS),
        ("steps", "4,0,8", STEPS_BOUNDS),
        ("steps", "-4", STEPS_BOUNDS),
        ("steps", "0-8", STEPS_BOUNDS),
        ("steps", "1000000000", STEPS_BOUNDS),
        ("steps", "4-1000000000", STEPS_BOUNDS),
        ("steps", "1e9", "Steps: '1e9' is no whole number such as 20, and no range such as 4-40/4."),
        ("steps", "abc", "Steps: 'abc' is no whole number such as 20, and no range such as 4-40/4."),
        ("steps", "4.5", "Steps: '4.5' is no whole number"),
        ("steps", "4-8/0.5", "Steps: '4-8/0.5' is no whole number"),
        ("steps", "٤", "Steps: '٤' is no whole number"),
        ("steps", "9" * 5000, f"Steps: '{'9' * 40}' is no whole number"),
        ("steps", "", "Steps: write at least one value to compare."),
        ("steps", " , ,", "Steps: write at least one value to compare."),
        ("steps", ",".join(map(str, range(1, 501))), f"More than 64 values are too many: a comparison has at most {CELLS} cells."),
        ("steps", "1-150", "Steps: the range 1-150 has 150 values; a comparison has at most 64 cells. Take larger steps."),
        ("steps", "4,8,4", "Steps: '4' is there twice. Take one of them out."),
        ("steps", "4-12/4,8", "Steps: '8' is there twice."),
        ("steps", "40-4", "Steps: the range 40-4 runs backwards. Write the lower number first."),
        ("steps", "4-40/0", "Steps: the range 4-40/0 takes steps of 0."),
        ("guidance", "0.5", "Guidance must be a number from 1 to 30."),
        ("guidance", "nan", "Guidance: 'nan' is no number"),
        ("guidance", "inf", "Guidance: 'inf' is no number"),
        ("guidance", "1-30/0.000001", "has 29000001 values"),
        ("seed", "4294967296", "Seed must be a whole number from 0 to 4294967295."),
        ("seed", "0-4294967295", "has 4294967296 values"),
        ("prompt", "\n \n", "Prompt: write at least one value to compare."),
        ("prompt", "a cat\na cat", "Prompt: 'a cat' is there twice."),
        ("prompt", "a" * 20_001, "Prompt is too long"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_bad_input_is_a_sentence(field: Field, text: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Axis.read(field, text)
    assert sentence in refused.value.message and refused.value.message.endswith(".") and refused.value.field == field


def test_a_short_text_of_very_many_values_is_refused_before_they_are_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(field: Field, piece: str) -> Iterator[Value]:
        read.append(piece)
        return _spelled(field, piece)

    monkeypatch.setattr("webui.comparison._spelled", counted)
    with pytest.raises(InvalidRequest, match="More than 64 values"):
        Axis.read("steps", "1-64," * 10_000)
    assert len(read) == 2


@given(field=st.sampled_from(FIELDS), text=st.text(max_size=60) | st.from_regex(r"[0-9,/. -]{0,30}"))
def test_any_text_is_an_axis_within_bounds_or_a_sentence(field: Field, text: str) -> None:
    try:
        axis = Axis.read(field, text)
    except InvalidRequest as refused:
        assert refused.message.endswith(".") and len(refused.message) < 300
    else:
        assert 1 <= len(axis.values) <= CELLS and len(set(axis.values)) == len(axis.values)
        for value in axis.values:
            assert getattr(Request.parse({field: value}), field) == value


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {},
        {"request": {}, "axes": []},
        {"request": {}, "axes": [{"field": "steps", "values": [4]}] * 2},
        {"request": {}, "axes": [{"field": name, "values": [1]} for name in ("steps", "seed", "guidance")]},
        {"request": {}, "axes": {"field": "steps", "values": [4]}},
        {"request": [], "axes": [{"field": "steps", "values": [4]}]},
        {"request": {"unknown": 1}, "axes": [{"field": "steps", "values": [4]}]},
        {"request": {}, "axes": [{"field": "steps", "values": [4]}], "more": 1},
        *(
            {"request": {}, "axes": [axis]}
            for axis in (
                None,
                "steps",
                {"field": "width", "values": [64]},
                {"field": ["steps"], "values": [4]},
                {"field": "steps"},
                {"field": "steps", "values": []},
                {"field": "steps", "values": "48"},
                {"field": "steps", "values": {"4": 4}},
                {"field": "steps", "values": [4], "text": "4"},
                {"field": "steps", "text": 4},
                {"field": "width", "text": "64"},
                {"field": "steps", "values": [True]},
                {"field": "steps", "values": [None]},
                {"field": "steps", "values": ["4"]},
                {"field": "steps", "values": [4.0]},
                {"field": "steps", "values": [[4]]},
                {"field": "steps", "values": [10**30]},
                {"field": "guidance", "values": [True]},
                {"field": "prompt", "values": [3]},
                {"field": "prompt", "values": ["\ud800"]},
            )
        ),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_untrusted_json_is_a_comparison_or_a_sentence(given: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Comparison.parse(given)
    assert refused.value.message.endswith((".", "}"))


def test_too_many_cells_are_refused_though_each_axis_is_short_enough() -> None:
    thirty, three = {"field": "steps", "text": "1-30"}, {"field": "seed", "text": "1-3"}
    with pytest.raises(InvalidRequest, match="90 cells are too many: at most 64 are possible"):
        Comparison.parse({"request": {}, "axes": [thirty, three]})


def test_cells_go_row_by_row_and_share_their_seed() -> None:
    grid = Comparison(request=Request(prompt="a cat", steps=99), axes=(STEPS, Axis(field="sampler", values=("Euler", "Heun"))))
    assert grid.columns == ["4 steps", "8 steps", "16 steps", "32 steps"] and grid.rows == ["Euler", "Heun"]
    cells, requests = list(grid.cells()), grid.requests()
    assert [(cell.row, cell.column) for cell in cells] == [(row, column) for row in range(2) for column in range(4)]
    assert [(one.steps, one.sampler) for one in requests] == [(n, name) for name in ("Euler", "Heun") for n in (4, 8, 16, 32)]
    assert [cell.values for cell in cells] == [{"steps": one.steps, "sampler": one.sampler} for one in requests]
    assert len({one.seed for one in requests}) == 1 and requests[0].seed is not None
    assert {one.prompt for one in requests} == {"a cat"}


def test_a_seed_is_drawn_anew_for_each_comparison_but_one_that_is_given_stays() -> None:
    assert len({Comparison(request=Request(), axes=(STEPS,)).requests()[0].seed for _ in range(8)}) > 1
    assert {one.seed for one in Comparison(request=Request(seed=7), axes=(STEPS,)).requests()} == {7}
    seeds = Comparison(request=Request(seed=7), axes=(Axis(field="seed", values=(1, SEED_LIMIT - 1)),))
    assert [one.seed for one in seeds.requests()] == [1, SEED_LIMIT - 1] and seeds.columns == ["Seed 1", "Seed 4294967295"]


def test_one_axis_has_one_row_without_a_head() -> None:
    assert Comparison(request=Request(), axes=(STEPS,)).rows == [""]
    assert Axis(field="negative", values=("", "ugly")).heads == ["no negative prompt", "ugly"]
    assert Axis(field="prompt", values=("", "a cat")).heads == ["no prompt", "a cat"]
    assert Axis(field="steps", values=(1, 2)).heads == ["1 step", "2 steps"]
    assert Axis(field="guidance", values=(7.0, 7.5)).heads == ["Guidance 7", "Guidance 7.5"]


def test_the_title_has_the_first_prompt_whichever_axis_it_is_on() -> None:
    prompts = Axis(field="prompt", values=("a boat", "a cat"))
    assert Comparison(request=Request(), axes=(STEPS, prompts)).title == "a boat: steps and prompt"
    assert Comparison(request=Request(prompt="a dog"), axes=(STEPS,)).title == "a dog: steps"


def test_columns_are_added_at_the_end_and_judged_like_the_first() -> None:
    grid = Comparison(request=Request(seed=1), axes=(STEPS, Axis(field="seed", values=(1, 2))))
    longer = grid.extended([64, 2])
    assert longer.columns == [*grid.columns, "64 steps", "2 steps"] and longer.rows == grid.rows and longer.request == grid.request
    for wrong in ([8], [0], ["x"], [None], list(range(100, 150))):
        with pytest.raises(InvalidRequest):
            grid.extended(wrong)


def test_a_comparison_survives_json() -> None:
    grid = Comparison(request=Request(prompt="ä 漢 🙂", seed=1), axes=(STEPS, Axis(field="guidance", values=(1.0, 7.5))))
    assert Comparison.model_validate_json(grid.model_dump_json()) == grid


def test_every_field_that_may_vary_is_one_of_a_request() -> None:
    assert set(get_args(Field)) == set(FIELDS) == set(Request.model_fields) - {"width", "height", "styles", "vae"}
