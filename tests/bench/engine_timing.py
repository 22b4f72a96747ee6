"""What the benches of the engine share: the built-in model, the environment of the engine's process, interleaved medians.

Not a bench itself. Ratios of interleaved runs are what to trust: this machine and others are rarely idle.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from webui.workers.local import ENGINE_ENVIRONMENT, physical_cores

# Before torch is imported, as the worker does it.
THREADS = min(4, physical_cores())
os.environ |= ENGINE_ENVIRONMENT | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(THREADS))}

from webui.engine.catalogue import BUILTIN, find  # noqa: E402
from webui.engine.engine import Engine  # noqa: E402
from webui.engine.shelf import scan  # noqa: E402
from webui.events import Event, Rendered  # noqa: E402
from webui.request import Request, Resolved  # noqa: E402
from webui.settings import Previews, builtin_models  # noqa: E402

PROMPT = "a red sailboat on a calm sea at sunset"


def models() -> Path:
    """The folder of models: the first argument, or the one of the built-in model."""
    return Path(sys.argv[1]) if len(sys.argv) > 1 else builtin_models()


def request(**changes: object) -> Resolved:
    """The built-in model's usual picture, with the changes."""
    usual = Request(prompt=PROMPT, seed=1).resolve(find(scan([models()]), None).defaults, BUILTIN)
    return usual.model_copy(update={"model": find(scan([models()]), None).name, **changes})


def engine(previews: Previews = "fast", rows: int | None = None) -> Engine:
    """An engine on the CPU with the model loaded and everything warm."""
    ready = Engine([models()], "cpu", previews, rows)
    run(ready, [request(steps=2)])
    return ready


def run(engine: Engine, requests: Sequence[Resolved]) -> list[list[Event]]:
    """The events of each request, all run together."""
    logs: list[list[Event]] = [[] for _ in requests]
    for number, one in enumerate(requests):
        engine.submit(str(number), one, logs[number].append)
    while engine.step():
        pass
    assert all(isinstance(log[-1], Rendered) for log in logs), [log[-1] for log in logs]
    return logs


class Times(NamedTuple):
    """Seconds of each round, by the clock and of this process's CPU time. The latter hardly minds what else the machine does."""

    wall: list[float]
    cpu: list[float]

    def __str__(self) -> str:
        return f"{statistics.median(self.wall):.2f} s ({statistics.median(self.cpu):.2f} of CPU)"


def timed(work: Callable[[], object], into: Times) -> None:
    """One round."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    into.wall.append(time.perf_counter() - wall)
    into.cpu.append(time.process_time() - cpu)


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Times of each way in each round; the ways take turns, in turning order, so that a slow minute hits all of them."""
    times = {name: Times([], []) for name in ways}
    for turn in range(rounds):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            timed(ways[name], times[name])
    return times


def ratio(above: Times, below: Times) -> str:
    """Medians of the ratios of rounds, with the middle half of the ratios by the clock."""
    walls = sorted(a / b for a, b in zip(above.wall, below.wall, strict=True))
    cpus = [a / b for a, b in zip(above.cpu, below.cpu, strict=True)]
    quarter = len(walls) // 4
    return f"{statistics.median(walls):.3f} ({walls[quarter]:.3f} to {walls[-1 - quarter]:.3f}), of CPU {statistics.median(cpus):.3f}"
