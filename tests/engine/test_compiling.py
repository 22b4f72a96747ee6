"""Compiled blocks: the same pictures, told while it is done, off where they do not go with something, and never in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo import config, reset

from tests.engine.conftest import events_of, pixels
from tests.families import write_family
from tests.tiny import write_pipeline
from webui.engine import compiling, memory, placement
from webui.engine.compiling import WORDS
from webui.engine.engine import Engine
from webui.engine.placement import Placement
from webui.events import Event, Rendered, Step, Waiting
from webui.request import Request
from webui.settings import Settings, Wishes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
COMPILED = Wishes(compile=True)

Make = Callable[..., Engine]


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What was compiled, as if this were a graphics card; by the first half of the compiler, whose result runs operation by operation."""
    found: list[Any] = []

    def kept(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(compiling, "DEVICES", ("cpu", "cuda"))
    monkeypatch.setattr(compiling, "BACKEND", kept)
    monkeypatch.setattr(compiling, "TOGETHER", 1000.0)
    with config.patch(suppress_errors=config.suppress_errors, recompile_limit=config.recompile_limit):  # put back afterwards
        yield found
    reset()


@pytest.fixture
def engine() -> Iterator[Make]:
    """Makes engines that compile."""
    made: list[Engine] = []

    def make(folder: Path, **wishes: Any) -> Engine:
        made.append(Engine([folder], "cpu", "off", wishes=Wishes(compile=True, **wishes)))
        return made[-1]

    yield make
    for one in made:
        assert one._watch is not None
        one._watch.close()


def run(engine: Engine, *prompts: str, name: str = "m", **fields: Any) -> list[list[Event]]:
    requests = [
        Request.parse({"prompt": prompt, "seed": 1, "steps": 3, "width": 64, "height": 64} | fields).resolve(
            engine._models[name].defaults, name
        )
        for prompt in prompts
    ]
    return events_of(engine, *requests)


def told(log: list[Event]) -> list[int]:
    """At which steps a job was told of it."""
    return [
        sum(isinstance(event, Step) for event in log[:at])
        for at, event in enumerate(log)
        if isinstance(event, Waiting) and event.reason == WORDS
    ]


def test_on_a_processor_nothing_is_compiled_and_that_is_said(tmp_path: Path, engine: Make) -> None:
    write_family(tmp_path / "m", "FLUX.1")
    one = engine(tmp_path)
    (log,) = run(one, "a boat")
    assert isinstance(log[-1], Rendered) and log[-1].dtype == "float32" and not told(log)
    assert one.placements["m"].endswith("Nothing is compiled, although it was asked for: that is for CUDA.")
    assert Settings(compile=True).wishes == COMPILED and not Settings().wishes.compile


@pytest.mark.parametrize(
    ("family", "streamed", "words"),
    [
        ("FLUX.1", True, "it does not go with layers that are fetched one by one."),
        ("Stable Diffusion 3", False, "diffusers does not know which blocks of its denoiser could be."),
    ],
)
def test_what_it_does_not_go_with_is_said(family: str, streamed: bool, words: str, tmp_path: Path, graphs: list[Any]) -> None:
    engine = Engine([write_family(tmp_path / "m", family).parent], "cpu", "off")
    denoiser = engine._loader.get(engine._models["m"]).denoiser
    blocks, placed = compiling.compiled(denoiser, Placement(torch.float32, False, streamed, True, "As it is."), CPU)
    assert blocks is None and not placed.compiled and placed.why == f"As it is. Nothing is compiled, although it was asked for: {words}"


@pytest.mark.parametrize("family", ["Stable Diffusion 1.x", "Qwen-Image"])
def test_the_picture_is_the_same_and_its_first_step_says_what_it_waits_for(
    family: str, tmp_path: Path, graphs: list[Any], engine: Make
) -> None:
    write_family(tmp_path / "m", family)
    prompts = "a boat", "a house"
    plain, one = run(Engine([tmp_path], "cpu", "off"), *prompts), engine(tmp_path)
    logs = run(one, *prompts)
    assert graphs and all(np.array_equal(pixels(log), pixels(other)) for log, other in zip(logs, plain, strict=True))
    assert all(told(log) == [0] for log in logs), "each is told once, before its first step"
    assert isinstance(logs[0][-1], Rendered) and logs[0][-1].dtype == "float32, compiled"
    assert one.placements["m"].endswith(compiling.DONE)
    made = len(graphs)
    assert not told(run(one, *prompts)[0]) and len(graphs) == made, "and never again"


def test_loras_run_uncompiled_and_leave_no_trace(tmp_path: Path, graphs: list[Any], engine: Make) -> None:
    import diffusers

    from tests.engine.test_loras import write_lora

    write_family(tmp_path / "m", "Stable Diffusion 1.x", wide=True)
    (tmp_path / "loras").mkdir()
    pipe = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "m", local_files_only=True)
    write_lora(tmp_path / "loras" / "look.safetensors", pipe, ("unet",))
    prompts = "a boat", "a boat <lora:look:0.1>", "a boat <lora:look:0.2>"
    plain = [pixels(log) for log in run(Engine([tmp_path], "cpu", "off"), *prompts)]
    assert not np.array_equal(plain[0], plain[1])
    one = engine(tmp_path)
    assert np.array_equal(pixels(run(one, prompts[0])[0]), plain[0])
    made = len(graphs)
    for prompt, picture in zip(prompts[1:], plain[1:], strict=True):
        assert np.array_equal(pixels(run(one, prompt)[0]), picture)
    assert len(graphs) == made, "nothing is compiled for them"
    for log, picture in zip(run(one, *prompts), plain, strict=True):
        assert np.array_equal(pixels(log), picture)
    again = len(graphs)
    assert again > made, "the layers are others now, so that the blocks are compiled once more, without LoRAs"
    assert np.array_equal(pixels(run(one, prompts[0])[0]), plain[0]) and len(graphs) == again


def test_weights_in_8_bits_are_compiled_too(tmp_path: Path, graphs: list[Any], engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "WORTH", 1)
    write_pipeline(tmp_path / "m")
    whole = Engine([tmp_path], "cpu", "off", wishes=Wishes(quantize="int8"))
    (plain,), (log,) = (run(one, "a boat") for one in (whole, engine(tmp_path, quantize="int8")))
    assert graphs and np.array_equal(pixels(log), pixels(plain))
    assert isinstance(log[-1], Rendered) and log[-1].dtype == "float32, int8 weights, compiled"


def test_a_denoiser_that_runs_out_of_memory_is_relieved_of_it(
    tmp_path: Path, graphs: list[Any], engine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pipeline(tmp_path / "m")
    one = engine(tmp_path)
    loaded = one._loader.get(one._models["m"])
    assert loaded.blocks is not None
    monkeypatch.setattr(one._loader, "_device", CUDA)
    monkeypatch.setattr(placement, "stream", lambda part, device: None)
    assert one._loader.relieve(loaded.denoiser) and not loaded.placement.compiled
    assert not any(part._compiled_call_impl for part in loaded.denoiser.modules())


def test_what_cannot_be_compiled_runs_as_it_is(tmp_path: Path, graphs: list[Any], engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler")

    write_pipeline(tmp_path / "m")
    (plain,) = run(Engine([tmp_path], "cpu", "off"), "a boat")
    monkeypatch.setattr(compiling, "BACKEND", broken)
    assert np.array_equal(pixels(run(engine(tmp_path), "a boat")[0]), pixels(plain))
