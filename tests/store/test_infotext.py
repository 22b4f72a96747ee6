"""The `parameters` text that other programs read and write."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.strategies import BOAT, REQUESTS
from webui.engine.samplers import SAMPLERS, SCHEDULES
from webui.request import Request, Resolved
from webui.store.infotext import PAIR, parse, read, write

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


def test_a_vae_is_named_by_its_file_and_found_by_that() -> None:
    text = write(BOAT.model_copy(update={"vae": "vae/anime, v2.safetensors"}))
    assert 'Model: storybook, VAE: "anime, v2.safetensors", RNG' in text
    said = parse(text)
    assert said is not None and said.request.vae == "anime, v2.safetensors" and not said.more


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


def test_what_was_drawn_is_the_prompt_and_what_was_typed_is_kept() -> None:
    typed = {"prompt": "a {red|blue} boat # or two\n", "negative": "", "styles": ("ink", 'a, "b"'), "drawn": "ink of a red boat"}
    request = Resolved.parse(BOAT.model_dump() | typed | {"drawn_negative": "colour: any, all"})
    text = write(request)
    assert text.startswith("ink of a red boat\nNegative prompt: colour: any, all\nSteps: 20")
    assert read(text) == Request.parse(request.asked)


def test_pairs_of_other_programs_are_kept_and_change_none_of_ours() -> None:
    more = {"Clip skip": "2", "Hires prompt": 'a, "b"\nc: d', "Note": "", "Seed": "9", "Version": "v1.0.0"}
    said = parse(write(BOAT, more))
    assert said is not None and said.request == Request.parse(BOAT.asked)
    assert said.more == {name: more[name] for name in ("Clip skip", "Hires prompt", "Note")}


@given(st.dictionaries(st.from_regex(r"\w[\w \-/]{0,10}\w", fullmatch=True), st.text(max_size=40).map(str.strip), max_size=6))
def test_any_pairs_come_back(more: dict[str, str]) -> None:
    said = parse(write(BOAT, more))
    assert said is not None and said.request == Request.parse(BOAT.asked)
    assert said.more == {key: value for key, value in more.items() if key not in pairs(write(BOAT))}


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"prompt": 1, "seed": []}', '{"sui_image_params": 3}', "{" * 100_000, '{"a":' * 50_000])
def test_json_of_any_kind_is_no_trouble(text: str) -> None:
    assert parse(text) is None or isinstance(read(text), Request)
