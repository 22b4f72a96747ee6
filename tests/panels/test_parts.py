"""Each control group reads what it shows."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr
import pytest

from webui.engine.catalogue import Model
from webui.engine.samplers import SAMPLERS
from webui.panels.create import restored
from webui.panels.part import Part, whole
from webui.panels.parts.model import model
from webui.panels.parts.prompt import negative, prompt
from webui.panels.parts.sampling import offer, sampling
from webui.panels.parts.seed import seed
from webui.panels.parts.size import SHAPES, shaped, size
from webui.request import Defaults, Request

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


@pytest.mark.parametrize("saved", [None, 3, [], {}, {"prompt": "x"}, {"prompt": 5, "count": 1}])
def test_what_a_browser_kept_may_be_nonsense(saved: object) -> None:
    part = made("prompt")
    assert restored([part], ["prompt", "count"], saved) == [gr.skip(), gr.skip()]
