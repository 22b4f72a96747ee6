"""The picture is a function of the request: another process and another kind of autoencoder make no difference to that."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from tests.engine.conftest import Run, pixels, request
from tests.tiny import write_pipeline
from webui.engine import schedulers
from webui.engine.engine import Engine
from webui.events import Event, Rendered

CHILD = """
import hashlib, sys
from pathlib import Path
from webui.engine.engine import Engine
from webui.request import Resolved

engine, log = Engine([Path(sys.argv[1])], "cpu", "off"), []
engine.submit("a", Resolved.parse_json(sys.argv[2]), log.append)
while engine.step():
    pass
print(hashlib.sha256(log[-1].rgb).hexdigest())
"""


def test_a_second_process_makes_the_same_pixels(models: Path, run: Run) -> None:
    one = request(sampler="DPM++ SDE", steps=3)
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-W", "ignore", "-c", CHILD, str(models), one.model_dump_json()]
    child = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240, env=environment)
    last = run([one])[0][-1]
    assert isinstance(last, Rendered)
    assert child.stdout.split()[-1] == hashlib.sha256(last.rgb).hexdigest()


def test_stable_diffusions_own_autoencoder_and_window(tmp_path: Path) -> None:
    write_pipeline(tmp_path / "kl", prediction="epsilon", kl=True, window=77)
    one = request(sampler="UniPC", negative="blue").model_copy(update={"model": "kl"})
    engine = Engine([tmp_path], "cpu", "fast")
    log: list[Event] = []
    engine.submit("a", one, log.append)
    while engine.step():
        pass
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "kl", local_files_only=True, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = schedulers.build(one.sampler, one.schedule, one.steps, one.seed, pipe.scheduler.config)
    plain = pipe(
        one.prompt, negative_prompt=one.negative, num_inference_steps=one.steps, guidance_scale=one.guidance,
        width=64, height=64, generator=torch.Generator("cpu").manual_seed(one.seed),
    )  # fmt: skip
    # The engine's autoencoder lies channels-last in memory, which is faster and rounds otherwise.
    assert np.abs(pixels(log) - np.asarray(plain.images[0]).astype(np.int16)).max() <= 1
