"""The table of samplers: what it offers, and in which words it refuses the rest."""

from __future__ import annotations

import subprocess
import sys

import diffusers
import pytest

from webui.engine.families import FAMILIES, suits
from webui.engine.samplers import AUTOMATIC, FLOW_SAMPLERS, SAMPLERS, SCHEDULES, check
from webui.errors import InvalidRequest
from webui.request import Request, bounds

KNOWN_TO_ARTISTS = (
    "Euler", "Euler a", "DPM++ 2M", "DPM++ 2M SDE", "DPM++ 3M SDE", "DPM++ 2S", "DPM++ SDE", "Heun", "LMS", "DPM2", "DPM2 a",
    "DDIM", "DDPM", "PLMS", "UniPC", "DEIS", "LCM", "TCD", "SA-Solver",
)  # fmt: skip


def test_all_samplers_and_schedules_are_there() -> None:
    assert set(SAMPLERS) == set(KNOWN_TO_ARTISTS)
    assert tuple(SCHEDULES) == (AUTOMATIC, "Karras", "Exponential", "Beta", "SGM Uniform", "Normal")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_row_names_what_exists(sampler: str) -> None:
    row = SAMPLERS[sampler]
    assert hasattr(diffusers, row.scheduler)
    assert row.schedules[0] == AUTOMATIC and set(row.schedules) <= set(SCHEDULES)
    assert 1 <= row.min_steps <= row.max_steps <= bounds("steps").high


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_offered_is_not_refused_and_the_rest_is(sampler: str) -> None:
    row = SAMPLERS[sampler]
    for schedule in SCHEDULES:
        if schedule in row.schedules:
            check(sampler, schedule, row.max_steps)
        else:
            with pytest.raises(InvalidRequest, match="It takes: Automatic") as refused:
                check(sampler, schedule, 20)
            assert refused.value.field == "schedule"


@pytest.mark.parametrize(
    ("sampler", "schedule", "steps", "field"),
    [
        ("Euler A", AUTOMATIC, 20, "sampler"),
        ("Euler", "karras", 20, "schedule"),
        ("LCM", AUTOMATIC, 51, "steps"),
        ("PLMS", AUTOMATIC, 4, "steps"),
        ("DEIS", "Beta", 1, "steps"),
        ("SA-Solver", "Karras", 1, "steps"),
        ("DDIM", "Normal", 20, "schedule"),
        ("Euler a", "Karras", 20, "schedule"),
    ],
)
def test_a_refusal_is_a_sentence_about_a_field(sampler: str, schedule: str, steps: int, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(sampler, schedule, steps)
    assert refused.value.field == field and refused.value.message.endswith(".")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_pair_that_a_family_does_not_offer_is_refused_by_name(family: str) -> None:
    row = FAMILIES[family]
    for sampler in {**SAMPLERS, **FLOW_SAMPLERS}:
        for schedule in SCHEDULES:
            offered = sampler in row.samplers and schedule in row.samplers[sampler].schedules
            fields = {"sampler": sampler, "schedule": schedule, "steps": 20, "seed": 1}
            request = Request.parse(fields).resolve(row.defaults, "m")
            if offered:
                suits(request, family)
                continue
            with pytest.raises(InvalidRequest) as refused:
                suits(request, family)
            named = schedule if sampler in row.samplers else sampler
            assert named in refused.value.message and refused.value.field in ("sampler", "schedule")


@pytest.mark.parametrize("module", ["samplers", "catalogue", "families", "safety", "tensors", "prompt", "tokens"])
def test_what_the_front_imports_does_not_load_torch(module: str) -> None:
    code = f"import sys, webui.engine.{module}; assert not {{'torch', 'diffusers', 'transformers', 'compel'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
