"""Stable Diffusion 1.5 at its true size, with random weights, from one checkpoint file: `python -m tests.bench.engine_sd15 SCENE FOLDER`.

- `write`: makes the checkpoint (2.1 GB) in the folder; before the others, once.
- `load`: time and peak memory of loading it, in fresh processes taking turns, beside diffusers' own `from_single_file`. Aim: 1.2 times.
- `step`: a step at 512x512 with previews on, beside the plain pipeline with the same weights, taking turns. Aim: 1.03 times.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench.engine_timing import PROMPT  # first: it sets the environment of the engine's process
from tests.single import write_checkpoint
from webui.engine.files import DATA
from webui.events import Event, Step
from webui.request import Request

ROOT = Path(__file__).parents[2]
CONFIGS = DATA / "sd1"
NAME = "sd15.safetensors"
ROUNDS = 2
STEPS = 2
"""Of each round; the first one is left out."""


def write(folder: Path) -> None:
    """The checkpoint, in float16 as most of them are."""
    import diffusers
    import torch
    import transformers

    from webui.engine.single import tokenizer

    def config(part: str) -> Any:
        return json.loads((CONFIGS / part / "config.json").read_text())

    torch.set_default_dtype(torch.float16)
    pipe: Any = diffusers.StableDiffusionPipeline(
        diffusers.AutoencoderKL.from_config(config("vae")),
        transformers.CLIPTextModel(transformers.CLIPTextConfig(**config("text_encoder"))), tokenizer(),
        diffusers.UNet2DConditionModel.from_config(config("unet")), diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder / NAME, pipe.to(torch.float16))
    print(f"{(folder / NAME).stat().st_size / 1e9:.2f} GB")


def peak() -> float:
    """Gigabytes that this process has had in memory at most, pages of mapped files included."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1e6


def ours(folder: Path) -> None:
    """A fresh process: an engine with the checkpoint in it."""
    from webui.engine.engine import Engine

    engine = Engine([folder], "cpu", "fast")
    began, before = time.perf_counter(), peak()
    engine.preload(NAME)
    assert NAME in engine.placements, engine.placements
    print(time.perf_counter() - began, peak(), before)


def plain(folder: Path) -> None:
    """A fresh process: the same by diffusers alone, which is given the configurations so that it needs no network."""
    import diffusers
    import torch

    from webui.engine.single import tokenizer

    began, before, words = time.perf_counter(), peak(), tokenizer()
    diffusers.StableDiffusionPipeline.from_single_file(
        str(folder / NAME), config=str(CONFIGS), local_files_only=True, torch_dtype=torch.float32, tokenizer=words, safety_checker=None,
        requires_safety_checker=False,
    ).to("cpu")  # fmt: skip
    print(time.perf_counter() - began, peak(), before)


def load(folder: Path) -> None:
    """Medians of fresh processes that take turns."""
    taken: dict[str, list[list[float]]] = {"plain": [], "ours": []}
    for turn in range(ROUNDS):
        for way in list(taken)[:: 1 if turn % 2 else -1]:
            command = [sys.executable, "-W", "ignore", "-m", "tests.bench.engine_sd15", way, str(folder)]
            out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
            taken[way].append([float(word) for word in out.split()[-3:]])
    (s_plain, m_plain, _), (s_ours, m_ours, _) = (
        [statistics.median(column) for column in zip(*taken[way], strict=True)] for way in ("plain", "ours")
    )
    print(
        f"load: ours {s_ours:.1f} s, plain {s_plain:.1f} s, {s_ours / s_plain:.2f} times; "
        f"peak: ours {m_ours:.2f} GB, plain {m_plain:.2f} GB, {m_ours / m_plain:.2f} times"
    )


def step(folder: Path) -> None:
    """Medians of steps, without guidance; decoding is no part of it."""
    import torch

    from webui.engine.engine import Engine

    engine = Engine([folder], "cpu", "fast")
    engine.preload(NAME)
    loaded = engine._loader.get(engine._models[NAME])
    pipe = type(loaded.pipe)(**loaded.pipe.components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    asked = {"prompt": PROMPT, "seed": 1, "guidance": 1.0, "sampler": "Euler", "width": 512, "height": 512}
    one = Request.parse(asked | {"steps": STEPS + 1}).resolve(loaded.family.defaults, NAME)
    taken: dict[str, list[float]] = {"plain": [], "ours": []}

    def with_the_engine() -> None:
        at: list[float] = []

        def emit(event: Event) -> None:
            if isinstance(event, Step):
                assert event.preview
                at.append(time.perf_counter())

        engine.submit("a", one, emit)
        while engine.step():
            if len(at) == STEPS:
                engine.cancel("a")
        taken["ours"] += [later - before for before, later in pairwise(at)]

    def with_diffusers() -> None:
        at: list[float] = []

        def note(pipe: Any, i: int, t: Any, values: dict[str, Any]) -> dict[str, Any]:
            at.append(time.perf_counter())
            return values

        pipe(
            PROMPT, num_inference_steps=STEPS, guidance_scale=1.0, width=512, height=512, output_type="latent",
            generator=torch.Generator("cpu").manual_seed(1), callback_on_step_end=note,
        )  # fmt: skip
        taken["plain"] += [later - before for before, later in pairwise(at)]

    with_the_engine()  # what is slow the first time
    taken["ours"].clear()
    for way in (with_diffusers, with_the_engine, with_the_engine, with_diffusers):
        way()
    s_ours, s_plain = statistics.median(taken["ours"]), statistics.median(taken["plain"])
    each = "; ".join(f"{way} {', '.join(f'{seconds:.2f}' for seconds in some)}" for way, some in taken.items())
    print(f"step: ours {s_ours:.2f} s, plain {s_plain:.2f} s, {s_ours / s_plain:.3f} times ({each})")


SCENES = {"write": write, "load": load, "step": step, "ours": ours, "plain": plain}


if __name__ == "__main__":
    SCENES[sys.argv[1]](Path(sys.argv[2]))
