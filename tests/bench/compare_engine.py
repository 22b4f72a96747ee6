"""What a comparison promises of the engine: `python -m tests.bench.compare_engine [curve] [race] [equal] [first]`, or all four.

curve: milliseconds of a step of one picture at 1, 2, 4 and 8 in the batch.
race: 4, 8, 16 and 32 steps together, previews on, against the four runs one after another by plain diffusers: never slower.
equal: a cell is the picture that is made alone: at most 1/255 apart.
first: rounds of the loop until every cell of eight has shown a frame, of one prompt and of eight: at most two after the first step.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from tests.bench.engine_timing import engine, interleaved, ratio, request, run, timed, Times  # isort: skip

# After engine_timing, which sets the environment that torch reads.
import torch  # isort: skip
from diffusers import StableDiffusionPipeline

from webui.engine import schedulers
from webui.events import Event, Rendered, Step
from webui.request import Resolved

COUNTS = (4, 8, 16, 32)
SUBJECTS = ("sailboat", "house", "castle", "tree", "cat", "car", "balloon", "rocket")


def curve() -> None:
    """Batch curve, without and with what is not the denoiser."""
    ready = engine()
    ways = {size: (lambda size=size: run(ready, [request(steps=10, seed=k) for k in range(size)])) for size in (1, 2, 4, 8)}
    times = interleaved(ways, 5)
    alone = sorted(times[1].wall)[2] / 10
    for size, taken in times.items():
        each = sorted(taken.wall)[2] / 10 / size
        print(f"batch {size}: {each * 1e3:.0f} ms a step of one picture, {alone / each:.2f} times one alone ({taken})")


def race() -> None:
    """Four step counts at once against plain diffusers."""
    ready = engine()
    cells = [request(steps=count) for count in COUNTS]
    plain = _plain(ready, cells[0])
    ways: dict[str, Callable[[], object]] = {"comparison": lambda: run(ready, cells), "plain": lambda: [plain(one) for one in cells]}
    times = interleaved(ways, 7)
    taken = ", ".join(f"{way} {some}" for way, some in times.items())
    print(f"{COUNTS}: {taken}, ratio {ratio(times['comparison'], times['plain'])}")


def _plain(ready: object, one: Resolved) -> Callable[[Resolved], object]:
    """The folder as diffusers opens it; its scheduler is the one that the request names."""
    pipe = StableDiffusionPipeline.from_pretrained(
        ready._models[one.model].path,
        safety_checker=None,
        requires_safety_checker=False,
        dtype=torch.float32,  # type: ignore[attr-defined]
    )
    pipe.set_progress_bar_config(disable=True)
    config = dict(pipe.scheduler.config)

    def make(one: Resolved) -> object:
        pipe.scheduler = schedulers.build(one.sampler, one.schedule, one.steps, one.seed, config)
        return pipe(
            one.prompt, negative_prompt=one.negative, num_inference_steps=one.steps, guidance_scale=one.guidance,
            width=one.width, height=one.height, generator=torch.Generator("cpu").manual_seed(one.seed),
        )  # fmt: skip

    make(one.model_copy(update={"steps": 2}))
    return make


def equal() -> None:
    """The largest difference of any cell from the picture made alone."""
    ready = engine()
    cells = [request(steps=count) for count in COUNTS]
    cells += [request(steps=8, sampler=sampler) for sampler in ("Euler", "Euler a", "UniPC", "DPM++ SDE")]
    together = [_pixels(log) for log in run(ready, cells)]
    apart = [np.abs(_pixels(run(ready, [one])[0]) - some) for one, some in zip(cells, together, strict=True)]
    print(f"largest difference {max(int(some.max()) for some in apart)}/255, on {sum(int((some > 0).sum()) for some in apart)} values")


def _pixels(log: list[Event]) -> np.ndarray:
    assert isinstance(log[-1], Rendered)
    return np.frombuffer(log[-1].rgb, np.uint8).astype(np.int16)


def first() -> None:
    """Rounds and seconds until every cell has shown a frame."""
    ready = engine()
    for name, cells in {
        "one prompt": [request(steps=count) for count in (4, 6, 8, 10, 12, 16, 20, 32)],
        "eight prompts": [request(steps=8, prompt=f"a red {subject} in the snow") for subject in SUBJECTS],
    }.items():
        logs: list[list[Event]] = [[] for _ in cells]
        for number, one in enumerate(cells):
            ready.submit(str(number), one, logs[number].append)
        rounds, begun, whole = 0, 0, Times([], [])
        while not all(any(isinstance(event, Step) for event in log) for log in logs):
            timed(ready.step, whole)
            rounds += 1
            begun += any(isinstance(event, Step) for log in logs for event in log)
        print(f"{name}: all frames after {sum(whole.wall):.2f} s, in round {rounds}, the {begun}. with a step in it")
        while ready.step():
            pass


def main() -> None:
    """Those that are named, or all."""
    known = {"curve": curve, "race": race, "equal": equal, "first": first}
    # Taken out of the arguments: what is left may name a folder of models (engine_timing.py).
    names = [sys.argv.pop(1) for _ in sys.argv[1:] if sys.argv[1] in known]
    for name in names or known:
        known[name]()


if __name__ == "__main__":
    main()
