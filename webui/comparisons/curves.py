"""The convergence curve of a comparison that varies the steps, one per row (or per column, if it is the rows that vary them)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from webui.comparisons.comparisons import Compared
from webui.comparisons.convergence import Answer, Point, answer
from webui.comparisons.measures import Distance, distance
from webui.engine.samplers import SAMPLERS
from webui.errors import NotFound, NotYet, UserError
from webui.events import Finished
from webui.jobs.job import Job

NO_STEPS = "A curve needs a comparison of step counts: this one has no steps among what varies."
NOT_YET = "The curve comes when all pictures are finished."
MOST_KNOWN = 10_000
"""Distances kept; then all are forgotten."""

Known = dict[tuple[str, str], Distance]

NO_PICTURES = Answer(None, "No picture of these is left to compare.")


class Curve(NamedTuple):
    """One curve. `head` says which row or column it belongs to; empty where there is one curve alone."""

    head: str
    points: list[Point]
    answer: Answer


def curves(compared: Compared, path: Callable[[str], Path], known: Known | None = None) -> list[Curve]:
    """The curves of a comparison.

    Args:
        path: finds a picture's file.
        known: distances that have been measured; new ones are added.

    Raises:
        UserError: the steps do not vary.
        NotYet: a picture is still being made.
    """
    axes = compared.comparison.axes
    at = next((number for number, axis in enumerate(axes) if axis.field == "steps"), None)
    if at is None:
        raise UserError(NO_STEPS)
    if not compared.finished:
        raise NotYet(NOT_YET)
    heads = (compared.comparison.rows, compared.comparison.columns)[at] if len(axes) > 1 else [""]
    lines: list[list[Job]] = [[] for _ in heads]
    for cell, job in compared.cells:
        lines[cell.column if at else cell.row].append(job)
    return [_curve(head, line, path, {} if known is None else known) for head, line in zip(heads, lines, strict=True)]


def _curve(head: str, jobs: list[Job], path: Callable[[str], Path], known: Known) -> Curve:
    """The curve of one line of cells; cells without a picture are left out."""
    pictures = [(job.request.steps, job.last.picture) for job in jobs if isinstance(job.last, Finished) and _there(path, job.last.picture)]
    if not pictures:
        return Curve(head, [], NO_PICTURES)
    _, longest = max(pictures)
    points = [Point(steps, *_measured(name, longest, path, known), name) for steps, name in sorted(pictures)]
    sampler = jobs[0].request.sampler
    return Curve(head, points, answer(points, sampler, converges=SAMPLERS[sampler].converges))


def _measured(name: str, longest: str, path: Callable[[str], Path], known: Known) -> Distance:
    if (name, longest) not in known:
        if len(known) >= MOST_KNOWN:
            known.clear()
        with Image.open(path(name)) as picture, Image.open(path(longest)) as other:
            known[name, longest] = distance(picture, other)
    return known[name, longest]


def _there(path: Callable[[str], Path], name: str) -> bool:
    """Whether a picture is still there and can be read."""
    try:
        with Image.open(path(name)) as picture:
            picture.load()
    except (NotFound, OSError, ValueError, SyntaxError):
        return False
    return True
