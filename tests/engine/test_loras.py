"""LoRAs in a prompt: read, refused in words, as strong as asked, exactly gone afterwards, and shared by jobs of one set."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.engine.conftest import events_of, pixels
from tests.families import PIPES, write_family
from webui.engine import adapters, schedulers
from webui.engine.catalogue import Model
from webui.engine.engine import Engine
from webui.engine.families import FAMILIES
from webui.engine.loading import Loaded
from webui.engine.loras import MOST, Lora, check, tags
from webui.engine.shelf import scan
from webui.engine.tokens import TokenCounter
from webui.errors import InvalidRequest
from webui.events import Event, Failed
from webui.request import Request, Resolved

RANK, ALPHA = 2, 1.0
LAYERS = ("attn1.to_q", "attn2.to_k", "attn2.to_v", "ff.net.0.proj", "self_attn.q_proj", "self_attn.out_proj", "mlp.fc1")
PREFIXES = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}

Deltas = Mapping[str, Mapping[str, Tensor]]


def write_lora(file: Path, pipe: Any, parts: tuple[str, ...], seed: int = 0) -> Deltas:
    """A LoRA as most are shared: the names of the layers in one word, and how much of it counts. What it adds to each layer."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    added: dict[str, dict[str, Tensor]] = {}
    for part in parts:
        prefix = "lora_te1_" if part == "text_encoder" and hasattr(pipe, "text_encoder_2") else PREFIXES[part]
        for name, layer in getattr(pipe, part).named_modules():
            if not isinstance(layer, torch.nn.Linear) or not name.endswith(LAYERS):
                continue
            down = torch.randn(RANK, layer.in_features, generator=generator)
            up = torch.randn(layer.out_features, RANK, generator=generator)
            # The format has the text model's old name, which this version of its library has dropped.
            old = name if part == "unet" or name.startswith("text_model") else f"text_model.{name}"
            key = prefix + old.replace(".", "_")
            state |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(ALPHA)}
            added.setdefault(part, {})[name] = ALPHA / RANK * up @ down
    save_file(state, file)
    return added


@pytest.fixture(scope="module", params=["Stable Diffusion 1.x", "Stable Diffusion XL"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def home(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_family(folder / "m", family, wide=True)
    (folder / "loras").mkdir()
    return folder


@pytest.fixture(scope="module")
def added(home: Path) -> dict[str, Deltas]:
    """What each LoRA adds: one for the U-Net, one for the text encoders, one for both."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(home / "m", local_files_only=True)
    texts = tuple(part for part in ("text_encoder", "text_encoder_2") if hasattr(pipe, part))
    return {
        "look": write_lora(home / "loras" / "look.safetensors", pipe, ("unet",), 1),
        "words": write_lora(home / "loras" / "words.safetensors", pipe, texts, 2),
        "both": write_lora(home / "loras" / "both.safetensors", pipe, ("unet", *texts), 3),
    }


@pytest.fixture(scope="module")
def engine(home: Path, added: dict[str, Deltas]) -> Engine:
    return Engine([home], "cpu", "fast")


@pytest.fixture(scope="module")
def model(home: Path, added: dict[str, Deltas]) -> Model:
    return scan([home])["m"]


@pytest.fixture
def loaded(engine: Engine, model: Model) -> Loaded:
    return engine._loader.get(model)


def asked(model: Model, prompt: str, **fields: Any) -> Resolved:
    given = {"prompt": prompt, "seed": 5, "steps": 3, "width": 64, "height": 64, "guidance": 3.0, "negative": "blue"} | fields
    return Request.parse(given).resolve(model.defaults, model.name)


def run(engine: Engine, *requests: Resolved) -> list[Any]:
    """Run requests together; the pictures."""
    return [pixels(log) for log in events_of(engine, *requests)]


def plain(home: Path, one: Resolved, changes: list[tuple[Deltas, float]]) -> Any:
    """What diffusers itself makes of the prompt with the LoRAs added into the weights by hand."""
    pipe: Any = diffusers.DiffusionPipeline.from_pretrained(home / "m", local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = schedulers.build(one.sampler, one.schedule, one.steps, one.seed, pipe.scheduler.config)
    with torch.no_grad():
        for deltas, strength in changes:
            for part, layers in deltas.items():
                for name, delta in layers.items():
                    getattr(pipe, part).get_submodule(name).weight += strength * delta
    out = pipe(prompt="a red boat", negative_prompt=one.negative, num_inference_steps=one.steps, guidance_scale=one.guidance, width=64,
               height=64, generator=torch.Generator("cpu").manual_seed(one.seed))  # fmt: skip
    return np.asarray(out.images[0]).astype(np.int16)


@pytest.mark.parametrize("name", ["look", "words", "both"])
def test_it_acts_as_if_it_were_added_into_the_weights(
    engine: Engine, model: Model, home: Path, added: dict[str, Deltas], name: str
) -> None:
    one = asked(model, f"a red boat <lora:{name}:0.1>")
    (ours,) = run(engine, one)
    assert np.abs(ours - plain(home, one, [(added[name], 0.1)])).max() <= 1
    (without,) = run(engine, asked(model, "a red boat"))
    assert np.abs(ours - without).max() > 2, "it acts at all"


def test_several_act_together_and_a_negative_weight_takes_away(engine: Engine, model: Model, home: Path, added: dict[str, Deltas]) -> None:
    one = asked(model, "a red <lora:look:0.1> boat<lora:words:-0.2>")
    (ours,) = run(engine, one.model_copy(update={"prompt": "a red boat<lora:look:0.1><lora:words:-0.2>"}))
    assert np.abs(ours - plain(home, one, [(added["look"], 0.1), (added["words"], -0.2)])).max() <= 1


def test_the_two_parts_may_have_their_own_weights(engine: Engine, model: Model, home: Path, added: dict[str, Deltas]) -> None:
    one = asked(model, "a red boat<lora:both:0:0.1>")
    assert np.abs(run(engine, one)[0] - plain(home, one, [({"unet": added["both"]["unet"]}, 0.1)])).max() <= 1


def bits(loaded: Loaded) -> dict[str, bytes]:
    """Every weight of the model's own, whether or not a LoRA lies over it."""
    found = {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        for name, value in getattr(loaded.pipe, part).state_dict().items() if hasattr(loaded.pipe, part) else ():
            if "lora_" not in name:
                found[f"{part}.{name.replace('.base_layer', '')}"] = value.contiguous().numpy().tobytes()
    return found


def test_afterwards_the_weights_and_the_pictures_are_bit_for_bit_what_they_were(home: Path, model: Model, added: dict[str, Deltas]) -> None:
    engine = Engine([home], "cpu", "off")
    bare = asked(model, "a red boat")
    (before,) = run(engine, bare)
    loaded = engine._loader.get(model)
    weights = bits(loaded)
    run(engine, asked(model, "a red boat<lora:both:0.8>"), bare, asked(model, "a red boat<lora:look><lora:words>"))
    assert bits(loaded) == weights
    assert np.array_equal(run(engine, bare)[0], before)
    fresh = Engine([home], "cpu", "off")
    assert bits(fresh._loader.get(model)) == weights


def test_jobs_of_one_set_share_forwards_and_jobs_of_others_stand_beside_them(
    engine: Engine, model: Model, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [
        asked(model, f"a red boat{tag}", seed=seed)
        for seed, tag in enumerate(("<lora:look:0.1>", "<lora:look:0.1>", "<lora:look:0.2>", ""))
    ]
    alone = [run(engine, one)[0] for one in several]
    rows: list[int] = []
    forward = loaded.pipe.unet.forward

    def counting(sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(len(sample))
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(loaded.pipe.unet, "forward", counting)
    together = run(engine, *several)
    assert sorted(rows) == [2] * 6 + [4] * 3
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one - other).max() <= 1
    assert len({one.tobytes() for one in alone}) == 4


def test_a_job_that_is_cancelled_lets_its_loras_go(engine: Engine, model: Model, loaded: Loaded) -> None:
    (before,) = run(engine, asked(model, "a red boat"))
    engine.submit("victim", asked(model, "a<lora:both:0.5>", steps=50), lambda event: None)
    for _ in range(6):
        engine.step()
    assert sum(loaded.adapters._users.values()) == 1
    engine.cancel("victim")
    assert sum(loaded.adapters._users.values()) == 0
    assert np.array_equal(run(engine, asked(model, "a red boat"))[0], before)


def test_those_that_nobody_uses_go_and_come_back(
    home: Path, model: Model, added: dict[str, Deltas], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "KEPT", 1)
    engine = Engine([home], "cpu", "off")
    first = run(engine, asked(model, "a<lora:look:0.1>"))[0]
    for name in ("words", "both"):
        run(engine, asked(model, f"a<lora:{name}:0.1>"))
        assert len(engine._loader.get(model).adapters._names) == 1
    assert np.array_equal(run(engine, asked(model, "a<lora:look:0.1>"))[0], first)


def test_a_file_that_is_written_anew_is_read_anew(home: Path, model: Model, added: dict[str, Deltas]) -> None:
    draft = home / "loras" / "draft.safetensors"
    engine, one = Engine([home], "cpu", "off"), asked(model, "a<lora:draft:0.4>")
    for name in ("words", "both", "words"):
        shutil.copyfile(home / "loras" / f"{name}.safetensors", draft)
        assert np.array_equal(run(engine, one)[0], run(engine, asked(model, f"a<lora:{name}:0.4>"))[0])
    draft.unlink()


def test_a_file_that_fits_no_layer_or_is_damaged_is_a_sentence_and_harms_nobody(home: Path, model: Model, added: dict[str, Deltas]) -> None:
    width = 768 if "1.x" in model.family else 2048
    key = "lora_unet_down_blocks_9_attentions_9_transformer_blocks_0_attn2_to_k"
    save_file(
        {f"{key}.lora_down.weight": torch.zeros(2, width), f"{key}.lora_up.weight": torch.zeros(4, 2)}, home / "loras" / "odd.safetensors"
    )
    engine = Engine([home], "cpu", "off")
    bare = asked(model, "a red boat")
    (before,) = run(engine, bare)
    log: list[Event] = []
    engine.submit("a", asked(model, "a<lora:odd>"), log.append)
    while engine.step():
        pass
    assert isinstance(log[-1], Failed) and "The LoRA odd does not fit this model" in log[-1].message
    # Text layers without their last one: the library would leave most of them out without a word.
    state = load_file(home / "loras" / "words.safetensors")
    save_file({key: value for key, value in state.items() if "out_proj" not in key}, home / "loras" / "part.safetensors")
    engine = Engine([home], "cpu", "off")
    engine.submit("a", asked(model, "a<lora:part>"), log.append)
    while engine.step():
        pass
    assert isinstance(log[-1], Failed) and re.search(r"The LoRA part does not fit this model: \d+ of its \d+ layers", log[-1].message)
    file = home / "loras" / "look.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    engine.submit("a", asked(model, "a<lora:look>"), log.append)
    while engine.step():
        pass
    file.write_bytes(whole)
    assert isinstance(log[-1], Failed) and "look.safetensors" in log[-1].message
    assert np.array_equal(run(engine, bare)[0], before)


def failed(engine: Engine, one: Resolved) -> str:
    """What a request ends with that cannot be met."""
    last = events_of(engine, one)[0][-1]
    assert isinstance(last, Failed), last
    return last.message


def test_a_dora_is_refused_by_its_name(home: Path, model: Model, added: dict[str, Deltas]) -> None:
    state = load_file(home / "loras" / "look.safetensors")
    scales = {key.replace(".alpha", ".dora_scale"): torch.ones(4, 1) for key in state if key.endswith(".alpha")}
    save_file(state | scales, home / "loras" / "scaled.safetensors")
    engine = Engine([home], "cpu", "off")
    assert "The LoRA scaled is a DoRA" in failed(engine, asked(model, "a<lora:scaled>"))
    assert run(engine, asked(model, "a<lora:look:0.1>"))[0].std() > 0, "the same without its scales"


FLUX_INNER = 16
"""Numbers per token in the tiny FLUX."""


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_family(folder / "m", "FLUX.1")
    (folder / "loras").mkdir()
    return folder


def matrices(name: str, inside: int, outside: int) -> dict[str, Tensor]:
    """Of one layer, under the names of diffusers."""
    return {f"{name}.lora_A.weight": torch.ones(RANK, inside), f"{name}.lora_B.weight": torch.ones(outside, RANK) / 50}


QUERIES = "transformer.transformer_blocks.0.attn.to_q"
GOOD = matrices(QUERIES, FLUX_INNER, FLUX_INNER) | matrices("transformer.x_embedder", 64, FLUX_INNER)
LOKR = "lora_unet_double_blocks_0_img_attn_proj.lokr_"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (matrices(QUERIES, FLUX_INNER, FLUX_INNER) | matrices("transformer.x_embedder", 128, FLUX_INNER), "is a control LoRA"),
        (GOOD | {"transformer.transformer_blocks.0.attn.norm_q.weight": torch.full((8,), 3.0)}, "would change the norms of the model"),
        (matrices(QUERIES, 2 * FLUX_INNER, FLUX_INNER), "its layers are of another width"),
        ({f"{LOKR}w1": torch.ones(2, 2), f"{LOKR}w2": torch.ones(8, 8)}, "The LoRA odd is a LoKr"),
        (matrices("diffusion_model.double_blocks.9.img_attn.proj", FLUX_INNER, FLUX_INNER), "it changes none of its layers"),
    ],
)
def test_what_would_change_flux_itself_or_nothing_at_all_is_refused_and_harms_nobody(
    flux: Path, state: dict[str, Tensor], words: str
) -> None:
    save_file(GOOD, flux / "loras" / "good.safetensors")
    save_file(state, flux / "loras" / "odd.safetensors")
    engine, model = Engine([flux], "cpu", "off"), scan([flux])["m"]
    bare, good, odd = (asked(model, f"a red boat{tag}", negative="") for tag in ("", "<lora:good>", "<lora:odd>"))
    before = run(engine, bare)[0]
    for _ in range(2):  # while no other LoRA is there, and beside one
        assert words in failed(engine, odd)
        assert np.array_equal(run(engine, bare)[0], before)
        assert not np.array_equal(run(engine, good)[0], before)
    assert engine._loader.get(model).pipe.transformer.config.in_channels == 64


@pytest.mark.parametrize("name", [name for name in PIPES if FAMILIES[name].loras])
def test_the_library_still_leaves_out_the_scales_of_doras(name: str) -> None:
    """For every family: where it does so no longer, they need not be refused."""
    key = "transformer.layer.lora_A.weight"
    for pipeline in FAMILIES[name].pipelines:
        read = getattr(diffusers, pipeline).lora_state_dict({key: torch.ones(1, 1), "transformer.layer.dora_scale": torch.ones(1, 1)})
        assert list(read[0] if isinstance(read, tuple) else read) == [key]


@pytest.mark.parametrize(
    ("prompt", "text", "loras"),
    [
        ("a boat", "a boat", ()),
        ("a <lora:x:0.8> boat", "a  boat", (Lora("x", 0.8, 0.8),)),
        ("<lora:x>", "", (Lora("x", 1.0, 1.0),)),
        ("<LORA: b : 0.5 ><lora:a:-1:2>", "", (Lora("a", -1.0, 2.0), Lora("b", 0.5, 0.5))),
        ("<lora:x:0.25> a <lora:x:0.5>", "a", (Lora("x", 0.75, 0.75),)),
        ("a <lor:x> <lora x>", "a <lor:x> <lora x>", ()),
        ("<lora:sub/x y.v2:1>", "", (Lora("sub/x y.v2", 1.0, 1.0),)),
    ],
)
def test_tags_are_read_and_taken_out(prompt: str, text: str, loras: tuple[Lora, ...]) -> None:
    assert tags(prompt) == (text, loras)


ABSURD = ("<lora:x:nan>", "<lora:x:inf>", "<lora:x:1e9>", "<lora:x:>", "<lora:x:strong>", "<lora:x:1:->")


@pytest.mark.parametrize("prompt", [*ABSURD, "".join(f"<lora:{k}>" for k in range(MOST + 1))])
def test_absurd_tags_are_refused_in_a_sentence(prompt: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tags(prompt)
    assert refused.value.field == "prompt" and refused.value.message.endswith(".")


def test_loras_are_listed_as_what_they_are_and_refused_where_they_do_not_fit(home: Path, model: Model, added: dict[str, Deltas]) -> None:
    models = scan([home])
    found = models["loras/look.safetensors"]
    assert (found.kind, found.family, found.usable) == ("lora", model.family, False) and "<lora:look:0.8>" in found.reason
    check(asked(model, "a<lora:look><lora:loras/both:0.5>"), models, model.family)
    other = next(name for name in FAMILIES if name != model.family and FAMILIES[name].loras)
    for prompt, family, words in (
        ("<lora:lok>", model.family, "Did you mean: look"),
        ("<lora:zzzzzz>", model.family, "Put its .safetensors file into models/loras/"),
        ("<lora:look>", other, f"is for {model.family} models, and this one is {other}"),
        ("<lora:look>", "PixArt-Sigma", "take no LoRAs"),
    ):
        with pytest.raises(InvalidRequest, match=words) as refused:
            check(asked(model, prompt), models, family)
        assert refused.value.field == "prompt"
    with pytest.raises(InvalidRequest, match="into the prompt") as refused:
        check(asked(model, "a", negative="<lora:look>"), models, model.family)
    assert refused.value.field == "negative"


def test_a_tag_is_no_token(model: Model) -> None:
    counter = TokenCounter()
    assert counter.count(model, "a red boat<lora:look:0.8>") == counter.count(model, "a red boat")


@pytest.mark.parametrize("name", PIPES)
def test_which_families_take_loras_is_true(name: str) -> None:
    row = FAMILIES[name]
    assert all(hasattr(getattr(diffusers, pipeline), "load_lora_weights") for pipeline in row.pipelines) == row.loras


def test_reading_tags_does_not_load_torch() -> None:
    code = "import sys, webui.engine.loras; assert not {'torch', 'diffusers', 'peft'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
