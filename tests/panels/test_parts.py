"""Each control group reads what it shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest

from webui.comparison import FIELDS, Axis
from webui.engine.catalogue import Latents, Model
from webui.engine.families import FAMILIES, suits
from webui.engine.samplers import SAMPLERS
from webui.panels.adopt import adopted
from webui.panels.follow import submit
from webui.panels.ideas import ideas_of
from webui.panels.offered import HIDDEN, Offered
from webui.panels.part import Part, whole
from webui.panels.parts.axis import NOTHING, VARIED, Varying, axis, faces, first, left
from webui.panels.parts.model import model
from webui.panels.parts.prompt import negative, prompt
from webui.panels.parts.sampling import sampling
from webui.panels.parts.seed import seed
from webui.panels.parts.size import SHAPES, shaped, size
from webui.panels.parts.styles import styles
from webui.panels.parts.vae import vae
from webui.panels.remember import known, restored
from webui.people import OWNER
from webui.request import Defaults, Request
from webui.studio import Studio

FULL = Request(
    prompt="a\nb", negative="c", steps=7, guidance=2.5, seed=9, sampler="Euler", schedule="Karras", width=320, height=256, model="m",
    vae="v", styles=("soft, warm", "ink"),
)  # fmt: skip
DEFAULTS = Defaults(width=256, height=256)


def of(family: str, **defaults: object) -> Model:
    return Model(name="m", path=Path("m"), title="M", family=family, defaults=FAMILIES[family].defaults.model_copy(update=defaults))


FIRST = of("Stable Diffusion 1.x", width=256, height=256)
OFFERED = Offered.by([FIRST])
PARTS: dict[str, Callable[[], Part]] = {
    "prompt": lambda: prompt(""),
    "negative": negative,
    "sampling": lambda: sampling(OFFERED),
    "size": lambda: size(OFFERED),
    "seed": seed,
    "styles": lambda: styles(["ink", "soft, warm"]),
    "vae": lambda: vae(OFFERED._replace(vaes=(("V", "v"),))),
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
    update = OFFERED.schedule(sampler, "Karras")
    assert update["value"] == ("Karras" if "Karras" in SAMPLERS[sampler].schedules else "Automatic")
    assert update["value"] in update["choices"]


@pytest.mark.parametrize("saved", [None, 3, [], {}, {"prompt": 5}, {"prompt": "x", "count": "many"}, {"model": "gone", "sampler": []}])
def test_what_a_browser_kept_may_be_nonsense(saved: object, studio: Studio) -> None:
    parts = [made("sampling"), made("model")]
    assert restored(parts, known(studio, saved)) == {name: gr.skip() for part in parts for name in part.components}


def test_one_wrong_value_that_a_browser_kept_does_not_cost_the_others() -> None:
    saved = {"prompt": "a fox", "width": 65, "height": 256}
    shown = restored([made("prompt"), made("size")], saved)
    assert shown == {"prompt": "a fox", "width": gr.skip(), "height": gr.skip()}


def test_another_model_brings_its_defaults_and_leaves_what_was_set() -> None:
    after = of("Stable Diffusion XL", width=512, height=768, steps=30, guidance=5.0, sampler="Euler a", schedule="Automatic")
    shown = {**DEFAULTS.model_dump(), "guidance": 9.0, "schedule": "Karras"}
    updates = adopted(DEFAULTS, after, shown, Offered.by([after]))
    assert [updates[name]["value"] for name in ("steps", "width", "height", "sampler")] == [30, 512, 768, "Euler a"]
    assert "value" not in updates["guidance"], "it was set, and stays"
    assert updates["schedule"]["value"] == "Automatic", "Euler a does not take Karras"


def test_a_model_whose_card_names_an_unknown_sampler_does_not_cost_the_page() -> None:
    with gr.Blocks():
        assert sampling(OFFERED._replace(defaults=Defaults(sampler="Magic"))).components["sampler"]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_shown_for_a_family_is_what_it_takes(family: str) -> None:
    """Whatever stood there before, what the controls show after a change of model is a request that the model can make."""
    row, before = FAMILIES[family], {**DEFAULTS.model_dump(), "negative": "blue", "guidance": 9.0, "width": 264, "height": 328}
    before |= {"sampler": "DPM2 a", "schedule": "SGM Uniform", "vae": "gone"}
    updates = adopted(DEFAULTS, of(family), before, Offered.by([of(family)]))
    shown = {name: update.get("value", before[name]) for name, update in updates.items()}
    assert updates["sampler"]["choices"] == list(row.samplers)
    assert updates["schedule"]["choices"] == list(row.samplers[shown["sampler"]].schedules)
    assert (updates["negative"]["visible"] is True) == row.negative
    assert updates["guidance"].get("label", "") == row.guidance and (updates["guidance"]["visible"] == HIDDEN) == (not row.guidance)
    assert updates["width"]["step"] == updates["height"]["step"] == row.multiple
    fields = Offered.by([of(family)]).without_hidden(shown)
    suits(Request.parse(fields).resolve(row.defaults, "m"), family)
    assert (fields["guidance"], fields["negative"]) == (9.0 if row.guidance else None, "blue" if row.negative else "")


def test_of_several_models_all_is_offered_that_one_of_them_has() -> None:
    both = Offered.by([FIRST, of("FLUX.1"), of("Sana")])
    assert list(both.samplers) == list(SAMPLERS) and both.negative and both.multiple == 32
    assert both.guidance == "Guidance", "they call it by two names"
    assert Offered.by([of("FLUX.1")]).guidance == "Distilled guidance"
    klein = Offered.by([of("FLUX.2 klein"), of("FLUX.1 schnell")])
    assert (klein.guidance, klein.negative, list(klein.samplers)) == ("", False, ["Euler", "LCM", "UniPC"])
    assert klein.without_hidden({"guidance": 4.0, "negative": "blue", "steps": 4}) == {
        "guidance": None,
        "negative": "",
        "steps": 4,
        "vae": None,
    }


def test_vaes_are_offered_that_fit_all_models_and_stay_while_they_do() -> None:
    four, scaled, sixteen = (Latents("AutoencoderKL", 4), Latents("AutoencoderKL", 4, 0.13025), Latents("AutoencoderKL", 16))
    there = {
        name: Model(name=name, path=name, title=name[0].upper(), kind="vae", latents=latents)
        for name, latents in {"any": four, "other": four, "xl": scaled, "flux": sixteen}.items()
    } | {"odd": Model(name="odd", path="odd", title="Odd", kind="vae")}
    one, xl = (FIRST.model_copy(update={"latents": Latents("AutoencoderKL", 4, scale)}) for scale in (0.18215, 0.13025))
    assert Offered.by([one], there).vaes == [("A", "any"), ("O", "other")]
    assert [name for _, name in Offered.by([xl], there).vaes] == ["any", "other", "xl"]
    assert Offered.by([one, xl], there).vaes == Offered.by([one], there).vaes and not Offered.by([FIRST], there).vaes
    face = Offered.by([one], there).vae("any")
    assert (face["choices"][0], face["value"], face["visible"]) == (("Automatic", ""), "any", True)
    assert Offered.by([one], there).vae("xl")["value"] == "" and Offered.by([FIRST], there).vae("any")["visible"] == HIDDEN


def test_values_that_another_model_does_not_have_leave_an_axis() -> None:
    flow = Offered.by([of("FLUX.1")])
    assert left({}, flow, "sampler", ["Euler a", "Euler", "UniPC"])["value"] == ["Euler", "UniPC"]
    assert left({}, flow, "sampler", ["Euler a"])["value"] == ["Euler", "DPM++ 2M"]
    assert left({}, flow, "schedule", ["Normal"])["value"] == ["Automatic", "Karras"]
    assert left({}, flow, "steps", ["4"]) == gr.skip()


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


MODELS = {"m": Model(name="m", path="m", title="M")}


def made_axis(name: str, field: str) -> Varying:
    with gr.Blocks():
        return axis(name, "Compare", MODELS, OFFERED, field, "compare-")


@pytest.mark.parametrize(
    ("field", "chips", "lines", "values"),
    [
        ("steps", ["4", "8-16/4"], "", (4, 8, 12, 16)),
        ("sampler", ["Euler", "DPM++ 2M"], "not these", ("Euler", "DPM++ 2M")),
        ("model", ["Rust, v2", "mine"], "", ("Rust, v2", "mine")),
        ("prompt", ["not these"], "a fox\na boat, at sea", ("a fox", "a boat, at sea")),
    ],
)
def test_an_axis_reads_what_its_chips_or_lines_say(field: str, chips: list[str], lines: str, values: tuple[object, ...]) -> None:
    read = made_axis("columns", "steps").read({"columns": field, "columns-values": chips, "columns-lines": lines})
    assert Axis.parse(read).values == values


def test_the_axis_of_the_rows_may_be_left_out() -> None:
    assert made_axis("rows", NOTHING).read({"rows": NOTHING, "rows-values": ["4"], "rows-lines": ""}) is None


@pytest.mark.parametrize("field", VARIED)
def test_every_field_that_can_vary_is_offered_with_values_that_it_takes(field: str) -> None:
    assert set(VARIED) == set(FIELDS)
    chips, lines = faces(MODELS, OFFERED, field, first(MODELS, OFFERED, field), "a fox")
    assert chips["visible"] != lines["visible"]
    read = made_axis("columns", "steps").read({"columns": field, "columns-values": chips["value"], "columns-lines": lines["value"]})
    assert Axis.parse(read).values


@pytest.mark.parametrize("saved", [{}, {"columns": "magic"}, {"columns": ""}, {"columns": ["steps"]}, {"columns": 5, "columns-values": 3}])
def test_an_axis_that_a_browser_kept_may_be_nonsense(saved: dict[str, object]) -> None:
    part = made_axis("columns", "steps")
    assert part.restored(MODELS, OFFERED, saved) == {name: gr.skip() for name in part.components}


def test_an_axis_that_a_browser_kept_comes_back() -> None:
    shown = made_axis("rows", NOTHING).restored(MODELS, OFFERED, {"rows": "guidance", "rows-values": ["2", "4-8/2"], "rows-lines": None})
    assert shown["rows"] == "guidance" and shown["rows-values"]["value"] == ["2", "4-8/2"] and not shown["rows-lines"]["visible"]
