"""What weights in 8 bits save and cost on this machine: `python -m tests.bench.engine_quantized FOLDER`.

A slice of FLUX.1 with random weights, at its true width (3072) with three of its 57 blocks: 0.6 billion numbers, saved in bfloat16. Each
way of loading it, and GGUF files of it, runs in a fresh process: seconds until it is there, memory then and at most, seconds per step at
256x256, and how far its picture is from that of float32, as a mean difference in brightness from 0 to 255.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from tests.bench.engine_timing import PROMPT  # first: it sets the environment of the engine's process
from webui.events import Event, Rendered, Step
from webui.request import Request
from webui.settings import Wishes

STEPS = 3
WAYS = {
    "float32": ("slice", Wishes(dtype="float32")),
    "bfloat16": ("slice", Wishes(dtype="bfloat16")),
    "float32, int8": ("slice", Wishes(dtype="float32", quantize="int8")),
    "bfloat16, int8": ("slice", Wishes(dtype="bfloat16", quantize="int8")),
    "float32, Q8_0": ("Q8_0.gguf", Wishes(dtype="float32")),
    "float32, Q4_0": ("Q4_0.gguf", Wishes(dtype="float32")),
}


def write(folder: Path) -> None:
    """The model, once."""
    import diffusers
    import torch
    from gguf import GGMLQuantizationType

    from tests.families import FLUX, write_family
    from tests.ggufs import write_gguf

    write_family(folder / "slice", "FLUX.1")
    torch.manual_seed(0)
    true = {"num_layers": 1, "num_single_layers": 2, "attention_head_dim": 128, "num_attention_heads": 24, "axes_dims_rope": (16, 56, 56)}
    transformer = diffusers.FluxTransformer2DModel(pooled_projection_dim=FLUX["joint_attention_dim"], guidance_embeds=True, **FLUX | true)
    transformer.to(torch.bfloat16).save_pretrained(folder / "slice" / "transformer")
    for packing in (GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_0):
        write_gguf(folder / f"{packing.name}.gguf", transformer, packing)


def memory(name: str) -> float:
    """Gigabytes of this process: `VmRSS` now, `VmHWM` at most; pages of mapped files included."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1e6


def one(folder: Path, way: str) -> None:
    """A fresh process."""
    from webui.engine import memory as needs
    from webui.engine.engine import Engine

    needs.WORTH = 500_000_000
    name, wishes = WAYS[way]
    engine = Engine([folder], "cpu", "off", wishes=wishes)
    before, began = memory("VmRSS"), time.perf_counter()
    engine.preload(name)
    took, held, most = time.perf_counter() - began, memory("VmRSS") - before, memory("VmHWM") - before
    said = needs.needed(engine._models[name], engine._loader.get(engine._models[name]).placement.dtype, engine._device,
                        quantized="int8" in way)  # fmt: skip
    request = Request.parse({"prompt": PROMPT, "seed": 1, "steps": STEPS, "width": 256, "height": 256})
    log: list[tuple[float, Event]] = []
    engine.submit("a", request.resolve(engine._models[name].defaults, name), lambda event: log.append((time.perf_counter(), event)))
    while engine.step():
        pass
    steps = [at for at, event in log if isinstance(event, Step)]
    last = log[-1][1]
    assert isinstance(last, Rendered), last
    (folder / f"{way}.rgb").write_bytes(last.rgb)
    step = min(two - one for one, two in pairwise(steps))
    print(json.dumps({"load s": took, "held GB": held, "most GB": most, "said GB": said / 1e9, "step s": step}))


def main() -> None:
    """Every way, and how far its picture is from the first."""
    import numpy as np

    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        one(folder, sys.argv[2])
        return
    if not (folder / "slice").exists():
        write(folder)
    for way in WAYS:
        ended = subprocess.run([sys.executable, "-m", "tests.bench.engine_quantized", str(folder), way], capture_output=True, text=True)
        if ended.returncode:
            sys.exit(ended.stderr)
        found = json.loads(ended.stdout.splitlines()[-1])
        first, this = (np.frombuffer((folder / f"{each}.rgb").read_bytes(), np.uint8).astype(int) for each in (next(iter(WAYS)), way))
        print(f"{way:15}", *(f"{name} {value:6.2f}" for name, value in found.items()), f"difference {np.abs(first - this).mean():.2f}")


if __name__ == "__main__":
    main()
