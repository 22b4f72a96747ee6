"""The jobs of this life of the studio that are kept in memory, with their previews."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from webui.jobs.job import Job

KEPT = 200
"""Finished jobs kept; older ones are read back from the journal."""

KEPT_BYTES = 128 * 2**20
"""Previews of finished jobs kept; their frames are on the pictures' sheets too."""


class Recent:
    """All unfinished jobs, and the finished ones that came last. Not safe between threads, as the line."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def get(self, id: str) -> Job | None:
        """The job, if it is kept."""
        return self._jobs.get(id)

    def live(self, job: Job) -> Job:
        """The kept job in place of one that was read from the journal."""
        return self._jobs.get(job.id, job)

    def add(self, job: Job) -> None:
        """Keep a job; the oldest finished ones that are too many, or whose previews are too heavy, are forgotten."""
        self._jobs[job.id] = job
        done = [other for other in self._jobs.values() if other.done]
        weight = sum(other.weight for other in done)
        for number, other in enumerate(done):
            if number >= len(done) - KEPT and weight <= KEPT_BYTES:
                break
            weight -= other.weight
            del self._jobs[other.id]
