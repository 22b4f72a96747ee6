"""The waiting line: who is next. Places go round-robin between people, and first come, first served within one person's jobs."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from webui.jobs.job import Job


class Line:
    """Jobs that wait for a place in the engine. Not safe between threads: the studio holds its lock around it."""

    def __init__(self) -> None:
        self._people: OrderedDict[str, deque[Job]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._people.values())

    def __iter__(self) -> Iterator[Job]:
        return (job for jobs in self._people.values() for job in jobs)

    def add(self, job: Job, *, first: bool = False) -> None:
        """Put a job at the end of its owner's jobs, or, if it was interrupted, at their front."""
        jobs = self._people.setdefault(job.owner, deque())
        if first:
            jobs.appendleft(job)
        else:
            jobs.append(job)

    def remove(self, job: Job) -> bool:
        """Take a job out; whether it was there."""
        jobs = self._people.get(job.owner, deque())
        if job not in jobs:
            return False
        jobs.remove(job)
        if not jobs:
            del self._people[job.owner]
        return True

    def take(self) -> Job | None:
        """The next job, whose owner then goes to the back of the round."""
        if not self._people:
            return None
        owner, jobs = next(iter(self._people.items()))
        job = jobs.popleft()
        if jobs:
            self._people.move_to_end(owner)
        else:
            del self._people[owner]
        return job
