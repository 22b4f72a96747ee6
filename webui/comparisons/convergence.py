"""How many steps are enough? The rule, in one place.

Each step count's picture is held against that of the longest run. The picture has settled at step count `k` when

1. the picture of `k` steps and of every step count between `k` and the longest run is close to it: structural similarity at least `CLOSE`,
   mean absolute difference at most `APART` (one test sees shapes, the other flat areas that change their colour), and structural similarity
   at least `ANYWHERE` in the worst of 8 x 8 tiles (a small subject that vanishes hardly moves a mean over the whole picture); and
2. the longest run has at least `MARGIN` times `k` steps. Neighbours are always close: that 30 steps look like 32 says nothing about either.

The answer is the smallest such `k` among the step counts that were run. There is no answer

- for a sampler that adds noise at every step: its pictures never settle, more steps lead to another picture;
- for fewer than three step counts: two points are no curve;
- if no `k` passes: it has not settled within what was run.

A picture that comes close and leaves again has not settled: condition 1 asks for every count from `k` on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from webui.request import bounds

CLOSE = 0.95
APART = 0.02
ANYWHERE = 0.85
"""Storybook at 8 steps has .88 to .93 in its worst tile, at 4 steps .71 to .76; a boat of 100 px gone from 512 leaves .63 to .69."""
MARGIN = 1.5
FEWEST = 3


class Point(NamedTuple):
    """A step count and how far its picture is from the longest run's."""

    steps: int
    ssim: float
    mae: float
    worst: float
    picture: str = ""


class Answer(NamedTuple):
    """What the curve says. `settled` is `None` where there is no answer; the sentence says which, and why."""

    settled: int | None
    sentence: str


def answer(points: Sequence[Point], sampler: str, *, converges: bool) -> Answer:
    """The answer for the points of one curve, in any order, among them the longest run with itself."""
    if not converges:
        why = "it adds new noise at every step, so more steps lead to another picture, not to a finished one"
        return Answer(None, f"There is no such number with {sampler}: {why}.")
    points = sorted(points)
    if len(points) < FEWEST:
        return Answer(None, f"Too few pictures to say. Compare at least {FEWEST} step counts.")
    longest = settled = points[-1].steps
    for point in reversed(points):
        if point.ssim < CLOSE or point.mae > APART or point.worst < ANYWHERE:
            break
        settled = point.steps
    who, enough, most = f"({sampler}, this prompt and seed)", math.ceil(MARGIN * settled), int(bounds("steps").high)
    if settled == longest:
        more = "Add a column with more steps." if longest < most else f"{most} steps are the most that a picture can have."
        return Answer(None, f"Not settled within {longest} steps: the picture still changes {who}. {more}")
    if longest < enough:
        near = f"{settled} and {longest} steps look alike, but they are too near to each other to tell {who}"
        more = f"Add a column with {enough} steps or more." if enough <= most else f"A picture can have no more than {most} steps."
        return Answer(None, f"Not known yet: {near}. {more}")
    if settled == points[0].steps:
        return Answer(settled, f"{_steps(settled)} may be more than enough: from there on, this picture hardly changes {who}.")
    return Answer(settled, f"From about {_steps(settled)} on, this picture hardly changes {who}.")


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"
