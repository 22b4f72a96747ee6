"""Each control group reads what it shows."""

from __future__ import annotations

import re
from collections.abc import Callable

import gradio as gr
import pytest

from webui.engine.catalogue import Model
from webui.engine.samplers import SAMPLERS
from webui.panels.adopt import adopted
from webui.panels.create import known, restored
from webui.panels.follow import submit
from webui.panels.ideas import ideas_of
from webui.panels.part import Part, whole
from webui.panels.parts.model import model
from webui.panels.parts.prompt import negative, prompt
from webui.panels.parts.sampling import offer, sampling
from webui.panels.parts.seed import seed
from webui.panels.parts.size import SHAPES, shaped, size
from webui.people import OWNER
from webui.request import Defaults, Request
from webui.studio import Studio

FULL = Request(
    prompt="a\nb", negative="c", steps=7, guidance=2.5, seed=9, sampler="Euler", schedule="Karras", width=320, height=256, model="m"
)
DEFAULTS = Defaults(width=256, height=256)
PARTS: dict[str, Callable[[], Part]] = {
    "prompt": lambda: prompt(""),
    "negative": negative,
    "sampling": lambda: sampling(DEFAULTS),
    "size": lambda: size(DEFAULTS),
    "seed": seed,
    "model": lambda: model({"m": Model(name="m", path="m", title="M")}, "m"),
}


def made(name: str) -> Part:
    with gr.Blocks():
        return PARTS[name]()


@pytest.mark.parametrize("name", PARTS)
def test_a_part_reads_what_it_shows(name: str) -> None:
    part = made(name)
    fields = part.read(part.show(FULL))
    assert fields and fields == {field: getattr(FULL, field) for field in fields}


def test_every_field_of_a_request_has_a_control() -> None:
    fields = [field for name in PARTS for field in made(name).read(made(name).show(FULL))]
    assert sorted(fields) == sorted(Request.model_fields)


def test_a_seed_is_only_kept_when_asked() -> None:
    part = made("seed")
    assert part.read({"seed": 5, "seed-mode": "New each time"}) == {"seed": None}
    assert part.read({"seed": 5.0, "seed-mode": "Keep"}) == {"seed": 5}


@pytest.mark.parametrize(("sent", "read"), [(20.0, 20), (20.5, 20.5), ("20", "20"), (None, None), (True, True)])
def test_a_whole_number_from_a_browser_is_a_whole_number(sent: object, read: object) -> None:
    assert whole(sent) == read and type(whole(sent)) is type(read)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_sizes_that_a_request_takes(shape: str) -> None:
    width, height = shaped(DEFAULTS, shape)
    assert Request(width=width, height=height) and 0.6 < width * height / 256**2 < 1.4


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_schedule_stays_if_the_sampler_takes_it(sampler: str) -> None:
    update = offer(sampler, "Karras")
    assert update["value"] == ("Karras" if "Karras" in SAMPLERS[sampler].schedules else "Automatic")
    assert update["value"] in update["choices"]


@pytest.mark.parametrize("saved", [None, 3, [], {}, {"prompt": 5}, {"prompt": "x", "count": "many"}, {"model": "gone", "sampler": []}])
def test_what_a_browser_kept_may_be_nonsense(saved: object, studio: Studio) -> None:
    part = made("sampling")
    names = [*part.components, "model", "count"]
    assert restored([part, made("model")], names, known(studio, saved)) == [gr.skip() for _ in names]


def test_one_wrong_value_that_a_browser_kept_does_not_cost_the_others() -> None:
    saved = {"prompt": "a fox", "width": 65, "height": 256, "count": 3}
    shown = restored([made("prompt"), made("size")], ["prompt", "width", "height", "count"], saved)
    assert shown == ["a fox", gr.skip(), gr.skip(), 3]


def test_another_model_brings_its_defaults_and_leaves_what_was_set() -> None:
    after = Defaults(width=512, height=768, steps=30, guidance=5.0, sampler="Euler a", schedule="Automatic")
    shown = {**DEFAULTS.model_dump(), "guidance": 9.0, "schedule": "Karras"}
    updates = adopted(DEFAULTS, after, shown)
    assert (updates["steps"], updates["width"], updates["height"], updates["sampler"]) == (30, 512, 768, "Euler a")
    assert updates["guidance"] == gr.skip(), "it was set, and stays"
    assert updates["schedule"]["value"] == "Automatic", "Euler a does not take Karras"


def test_a_model_whose_card_names_an_unknown_sampler_does_not_cost_the_page() -> None:
    with gr.Blocks():
        assert sampling(Defaults(sampler="Magic")).components["sampler"]


@pytest.mark.parametrize("count", [0, 9, 1.5, "3", None, True])
def test_a_wrong_number_of_pictures_is_refused(count: object, studio: Studio) -> None:
    ticket, seed = submit(studio, lambda values: {}, {"count": count, "seed": 7}, OWNER)
    assert ticket == {"error": "Pictures must be a whole number from 1 to 8.", "field": "count"} and seed == 7
    assert studio.latest() == []


def test_a_bug_is_a_sentence_with_an_id_that_the_log_has(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    ticket, _ = submit(studio, lambda values: values["no such control"], {"count": 1, "seed": 7}, OWNER)
    assert "no such control" not in ticket["error"]
    id = re.findall(r"under (\w+)\.$", ticket["error"])[0]
    assert f"error {id}" in caplog.text and "KeyError" in caplog.text


def test_ideas_are_those_of_the_model() -> None:
    model = Model(name="m", path="m", title="M", ideas=("a <b>fox</b>", "a 'quoted' \\U0001 moon"))
    assert [(update["value"], update["visible"]) for update in ideas_of(model, 3)] == [*((idea, True) for idea in model.ideas), ("", False)]
