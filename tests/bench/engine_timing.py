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

from webui.workers.local import ENGINE_ENVIRONMENT, physical_cores

# Before torch is imported, as the worker does it.
THREADS = min(4, physical_cores())
os.environ |= ENGINE_ENVIRONMENT | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(THREADS))}

from webui.engine.catalogue import BUILTIN, find, scan  # noqa: E402
from webui.engine.engine import Engine  # noqa: E402
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


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round; the ways take turns, in turning order, so that a slow minute hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            ways[name]()
            times[name].append(time.perf_counter() - start)
    return times


def ratio(above: Sequence[float], below: Sequence[float]) -> str:
    """Median of the ratios of rounds, and their range."""
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    return f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
