"""What the loop costs beside the plain pipeline: at most 2 % of a step. Run by hand: `python -m tests.bench.engine_overhead`."""

from __future__ import annotations

import statistics
from typing import Any

from tests.bench.engine_timing import engine, interleaved, ratio, request, run

# After engine_timing, which sets the environment that torch reads.
import torch  # isort: skip

from webui.engine import schedulers
from webui.request import Resolved

ROUNDS = 9
STEPS = 20


class Nothing(torch.nn.Module):
    """A denoiser that takes no time: what is left is the loop's and the pipeline's own work."""

    def __init__(self, unet: Any, one: Resolved) -> None:
        super().__init__()
        self.config, self.dtype, self.device = unet.config, unet.dtype, unet.device
        self.register_buffer("answer", torch.zeros(2, unet.config.in_channels, one.height // 8, one.width // 8))

    def forward(
        self,
        sample: torch.Tensor,
        timestep: Any,
        encoder_hidden_states: torch.Tensor,
        timestep_cond: Any = None,
        cross_attention_kwargs: Any = None,
        added_cond_kwargs: Any = None,
        return_dict: bool = True,
    ) -> tuple[torch.Tensor]:
        return (self.answer,)


def main() -> None:
    """Print seconds of 20 steps both ways, and milliseconds per step that are not the denoiser's."""
    ready = engine("off")
    one = request(steps=STEPS, sampler="Euler")
    loaded = ready._loader.get(ready._models[one.model])
    pipe = loaded.pipe

    @torch.no_grad()
    def plain() -> object:
        texts = loaded.prompts()(one.prompt, one.negative)
        own = schedulers.build(one.sampler, one.schedule, one.steps, one.seed, pipe.scheduler.config)
        pipe.scheduler = own
        return pipe(
            **texts, num_inference_steps=STEPS, guidance_scale=one.guidance,
            generator=torch.Generator("cpu").manual_seed(one.seed), width=one.width, height=one.height, output_type="np",
        )  # fmt: skip

    ways = {"plain": plain, "loop": lambda: run(ready, [one])}
    times = interleaved(ways, ROUNDS)
    print(f"real denoiser: plain {times['plain']}, loop {times['loop']}, ratio {ratio(times['loop'], times['plain'])}")
    step = statistics.median(times["plain"].cpu) / STEPS
    pipe.unet = Nothing(pipe.unet, one)
    bare = {way: statistics.median(taken.cpu) for way, taken in interleaved(ways, 4 * ROUNDS).items()}
    added = (bare["loop"] - bare["plain"]) / STEPS
    print(f"no denoiser: plain {bare['plain'] * 1e3:.1f} ms of CPU, loop {bare['loop'] * 1e3:.1f} ms")
    print(f"the loop adds {added * 1e3:.2f} ms per step, {added / step:.2%} of a step")


if __name__ == "__main__":
    main()
