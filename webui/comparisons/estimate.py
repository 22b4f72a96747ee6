"""How long a comparison will take, by playing its rounds through at the measured rates."""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from itertools import pairwise

from webui.engine.samplers import SAMPLERS
from webui.jobs.rates import Kind, Rates
from webui.request import Resolved

Curve = list[tuple[int, float]]
"""How many run together, and the engine's seconds for one denoiser call of one of them; in order."""


def seconds(rates: Rates, requests: Sequence[Resolved], slots: int) -> float | None:
    """Seconds for all of these, alone on the machine; `None` as long as a model among them has not been measured.

    `slots` requests are in the engine at once. Each takes part in one round per denoiser call, the next one enters when one is done, and a
    round takes the sum of its shares: what the machine was seen to need for as many together.
    """
    known = {model: rates.known(model) for model in {request.model for request in requests}}
    kinds = {Kind.of(request) for request in requests}
    curves = {kind: _curve(kind, known[kind.model]) for kind in kinds}
    if not all(curves.values()):
        return None
    waiting = deque((Kind.of(one), one.steps * SAMPLERS[one.sampler].calls) for one in requests)
    total = sum(_rest(Kind.of(one), known[one.model]) for one in requests)
    active: list[tuple[Kind, int]] = []
    while active or waiting:
        while waiting and len(active) < max(1, slots):
            active.append(waiting.popleft())
        rounds = min(left for _, left in active)
        total += rounds * sum(_at(curves[kind], len(active)) for kind, _ in active)
        active = [(kind, left - rounds) for kind, left in active if left > rounds]
    return total


def _curve(kind: Kind, known: Mapping[tuple[Kind, int], float]) -> Curve:
    """From the kinds of the nearest size that was measured, whatever their sampler, in proportion to their pixels."""
    steps = {key: share for key, share in known.items() if key[1]}
    if not steps:
        return []
    nearest = min((other.pixels for other, _ in steps), key=lambda pixels: max(pixels, kind.pixels) / min(pixels, kind.pixels))
    shares: dict[int, list[float]] = defaultdict(list)
    for (other, together), share in steps.items():
        if other.pixels == nearest:
            shares[together].append(share / SAMPLERS[other.sampler].calls * kind.pixels / nearest)
    return sorted((together, statistics.median(some)) for together, some in shares.items())


def _at(curve: Curve, together: int) -> float:
    """A share between two that were measured, on the line between them; outside of them the nearest."""
    for (few, slow), (many, quick) in pairwise(curve):
        if few <= together <= many:
            return slow + (quick - slow) * (together - few) / (many - few)
    return curve[0][1] if together < curve[0][0] else curve[-1][1]


def _rest(kind: Kind, known: Mapping[tuple[Kind, int], float]) -> float:
    """Seconds from the last step to the picture."""
    area = kind.width * kind.height
    rests = [seconds / (other.width * other.height) for (other, together), seconds in known.items() if not together]
    return statistics.median(rests) * area if rests else 0.0
