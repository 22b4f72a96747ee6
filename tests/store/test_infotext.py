"""The `parameters` text that other programs read and write."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.strategies import BOAT, REQUESTS
from webui.engine.samplers import SAMPLERS, SCHEDULES
from webui.request import Request, Resolved
from webui.store.infotext import PAIR, read, write

TAME = st.text(st.sampled_from("ab, ()[]<>:1.3\"'\\é🙂"), max_size=60).map(str.strip)


def pairs(text: str) -> dict[str, str]:
    return {match[1]: match[2] for match in PAIR.finditer(text.split("\n")[-1])}


def test_it_reads_as_artists_know_it() -> None:
    assert re.sub("stepwise-.*", "stepwise-X", write(BOAT)) == (
        "a red sailboat\nNegative prompt: fog\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 7, "
        "Size: 256x256, Model: storybook, RNG: CPU, Version: stepwise-X"
    )


def test_no_negative_prompt_no_line() -> None:
    assert "Negative" not in write(BOAT.model_copy(update={"negative": ""}))


def test_the_version_is_no_version_to_its_readers() -> None:
    # One that parses, and is below 1.6, switches the reader to the behaviour of its own old versions.
    assert not re.match(r"v?\d", pairs(write(BOAT))["Version"])


@given(TAME, TAME, st.sampled_from(sorted(SAMPLERS)), st.sampled_from(sorted(SCHEDULES)), st.text(max_size=60))
def test_ordinary_requests_come_back(prompt: str, negative: str, sampler: str, schedule: str, model: str) -> None:
    update = {"prompt": prompt, "negative": negative, "sampler": sampler, "schedule": schedule, "model": model}
    request = Resolved.parse(BOAT.model_dump() | update)
    assert read(write(request)) == Request.parse(request.model_dump())


@given(REQUESTS)
def test_no_request_breaks_it(request_: Resolved) -> None:
    found = read(write(request_))
    assert found is not None and found.steps == request_.steps and found.seed == request_.seed


@given(st.text() | st.text(st.sampled_from('ab: ,"\\\n1x')))
def test_no_text_breaks_it(text: str) -> None:
    assert read(text) is None or isinstance(read(text), Request)


@pytest.mark.parametrize(
    "text", ["a " * 120_000, " " * 240_000, 'ab:"' * 60_000, '\\"' * 120_000, "a-" * 120_000, "ab:" * 80_000, 'ab: "\\' * 40_000]
)
def test_long_nonsense_is_read_in_linear_time(text: str) -> None:
    # Quadratic time would be hours here, so the test's own time limit is the judge.
    assert read(text) is None or isinstance(read(text), Request)


@pytest.mark.parametrize(
    ("sampling", "sampler", "schedule"),
    [
        ("Sampler: DPM++ 2M Karras", "DPM++ 2M", "Karras"),
        ("Sampler: DPM++ 2M", "DPM++ 2M", "Automatic"),
        ("Sampler: DPM++ 2M, Schedule type: Automatic", "DPM++ 2M", "Karras"),
        ("Sampler: DPM++ 3M SDE, Schedule type: Automatic", "DPM++ 3M SDE", "Exponential"),
        ("Sampler: Euler a, Schedule type: Automatic", "Euler a", "Automatic"),
        ("Sampler: Euler, Schedule type: Simple", "Euler", "SGM Uniform"),
        ("Sampler: Euler, Schedule type: Uniform", "Euler", "Automatic"),
    ],
)
def test_schedules_of_other_programs(sampling: str, sampler: str, schedule: str) -> None:
    found = read(f"x\nSteps: 20, {sampling}, Seed: 1")
    assert found is not None and (found.sampler, found.schedule) == (sampler, schedule)


def test_what_is_out_of_bounds_stays_open() -> None:
    found = read("x\nSteps: 1000, Sampler: Euler, CFG scale: nan, Seed: -1, Size: 100x512, Model: " + "m" * 300)
    assert found == Request.parse({"prompt": "x", "sampler": "Euler", "schedule": "Automatic", "height": 512})


def test_lines_that_look_like_parameters_in_the_middle_belong_to_the_prompt() -> None:
    found = read("a\nSteps: 1, Seed: 2, Sampler: x\nb\nNegative prompt: c\nd\nSteps: 5, Sampler: Euler, Seed: 6")
    assert found is not None and found.prompt == "a\nSteps: 1, Seed: 2, Sampler: x\nb" and found.negative == "c\nd" and found.steps == 5
