"""The request refuses what is not meant, in a sentence, and carries what is, exactly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.errors import InvalidRequest
from webui.request import SEED_LIMIT, Defaults, Request, Resolved, bounds, help_text, title

NUMBERS = ("steps", "guidance", "seed", "width", "height")

NO_NUMBER: tuple[object, ...] = (True, "20", "", [], {}, float("nan"), float("inf"), -1, 10**30, "１２")  # noqa: RUF001 - full-width digits

WRONG: list[tuple[str, object]] = [
    *((name, value) for name in NUMBERS for value in NO_NUMBER),
    ("steps", 0),
    ("steps", 151),
    ("steps", 20.0),
    ("guidance", 0),
    ("guidance", 30.1),
    ("seed", SEED_LIMIT),
    ("seed", 1.5),
    ("width", 65),
    ("height", 0),
    ("width", 65536),
    ("prompt", None),
    ("prompt", 3),
    ("prompt", "half a pair: \ud800"),
    ("prompt", "a" * 20_001),
    ("negative", b"bytes"),
    ("sampler", 1),
    ("sampler", "s" * 61),
    ("model", "half a pair: \ud800"),
    ("model", "m" * 256),
    ("stepz", 20),
    ("__proto__", 1),
]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda value: ascii(value)[:30])
def test_a_wrong_value_is_refused_with_its_field_and_a_sentence(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        Request.parse({field: value})
    error = refusal.value
    assert error.field == field
    assert error.message.endswith((".", "512.")) and "validation" not in error.message and "\ud800" not in error.message
    json.dumps(error.payload()).encode()


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[]", b"3", b'"a"', b"{", b"\xff", b'{"prompt": "\\ud800"}', b'{"steps": NaN}', b'{"steps": 1e999}']
)
def test_wrong_json_is_refused_with_a_sentence(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"\.$"):
        Request.parse_json(text)


def test_a_number_out_of_bounds_says_the_bounds() -> None:
    with pytest.raises(InvalidRequest, match=r"^Steps must be a whole number from 1 to 150\.$"):
        Request.parse({"steps": 0})


def test_a_size_between_multiples_says_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="try 512"):
        Request.parse({"width": 513})


@pytest.mark.parametrize("name", NUMBERS)
def test_both_bounds_are_allowed(name: str) -> None:
    low, high = (int(bound) for bound in bounds(name))
    for value in (low, high):
        assert getattr(Request.parse({name: value}), name) == value


@pytest.mark.parametrize("name", Request.model_fields)
def test_every_field_has_a_title_and_help(name: str) -> None:
    assert title(name)[0].isupper() and help_text(name).endswith(".")


def test_control_characters_go_and_line_ends_are_one() -> None:
    assert Request.parse({"prompt": "a\x00\x1b[31m\r\nb\tc\x7f"}).prompt == "a[31m\nb\tc"


def test_a_guidance_without_a_point_is_a_number() -> None:
    assert Request.parse({"guidance": 7}).guidance == 7.0


def test_resolving_fills_what_is_open_and_keeps_what_is_given() -> None:
    resolved = Request(prompt="p", steps=3).resolve(Defaults(guidance=4.0), "storybook")
    assert (resolved.steps, resolved.guidance, resolved.model) == (3, 4.0, "storybook")
    assert None not in resolved.model_dump().values()


def test_a_seed_is_drawn_and_recorded() -> None:
    seeds = {Request().resolve(Defaults(), "m").seed for _ in range(8)}
    assert len(seeds) > 1 and all(0 <= seed < SEED_LIMIT for seed in seeds)


def test_resolving_again_changes_nothing() -> None:
    once = Request(prompt="p").resolve(Defaults(), "m")
    assert once.resolve(Defaults(steps=1), "m") == once


def test_a_series_counts_its_seeds_up() -> None:
    assert [one.seed for one in Request(seed=7).series(3)] == [7, 8, 9]
    drawn = [one.seed or 0 for one in Request().series(3)]
    assert drawn == list(range(drawn[0], drawn[0] + 3))


def test_a_series_past_the_last_seed_is_refused() -> None:
    assert [one.seed for one in Request(seed=SEED_LIMIT - 2).series(2)] == [SEED_LIMIT - 2, SEED_LIMIT - 1]
    with pytest.raises(InvalidRequest, match="lower seed"):
        Request(seed=SEED_LIMIT - 2).series(3)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))), st.integers(1, 150), st.integers(0, SEED_LIMIT - 1))
def test_json_and_back_is_the_same_request(prompt: str, steps: int, seed: int) -> None:
    resolved = Request(prompt=prompt, steps=steps, seed=seed).resolve(Defaults(), "m")
    assert Resolved.parse_json(resolved.model_dump_json()) == resolved
