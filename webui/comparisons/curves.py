"""The convergence curve of a comparison that varies the steps, one per row (or per column, if it is the rows that vary them)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from webui.comparisons.comparisons import Compared
from webui.comparisons.convergence import Answer, Point, answer
from webui.comparisons.measures import distance
from webui.engine.samplers import SAMPLERS
from webui.errors import NotFound, NotYet, UserError
from webui.events import Finished
from webui.jobs.job import Job

NO_STEPS = "A curve needs a comparison of step counts: this one has no steps among what varies."
NOT_YET = "The curve comes when all pictures are finished."
NO_PICTURES = Answer(None, "No picture of these is left to compare.")


class Curve(NamedTuple):
    """One curve. `head` says which row or column it belongs to; empty where there is one curve alone."""

    head: str
    points: list[Point]
    answer: Answer


def curves(compared: Compared, path: Callable[[str], Path]) -> list[Curve]:
    """The curves of a comparison; `path` finds a picture's file.

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
    return [_curve(head, line, path) for head, line in zip(heads, lines, strict=True)]


def _curve(head: str, jobs: list[Job], path: Callable[[str], Path]) -> Curve:
    """The curve of one line of cells; cells without a picture are left out."""
    pictures: list[tuple[int, str, Image.Image]] = []
    for job in sorted(jobs, key=lambda job: job.request.steps):
        if isinstance(job.last, Finished):
            try:
                with Image.open(path(job.last.picture)) as file:
                    pictures.append((job.request.steps, job.last.picture, file.convert("RGB")))
            except (NotFound, OSError):
                continue
    if not pictures:
        return Curve(head, [], NO_PICTURES)
    longest = pictures[-1][2]
    points = [Point(steps, *distance(picture, longest), name) for steps, name, picture in pictures]
    sampler = jobs[0].request.sampler
    return Curve(head, points, answer(points, sampler, converges=SAMPLERS[sampler].converges))
