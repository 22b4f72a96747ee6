"""The waiting line is fair between people."""

from __future__ import annotations

from datetime import datetime

from webui.jobs.job import Job
from webui.jobs.line import Line
from webui.request import Defaults, Request


def job(owner: str, name: str) -> Job:
    return Job(name, "group", owner, Request().resolve(Defaults(), "m"), datetime.now().astimezone())


def drain(line: Line) -> list[str]:
    names = []
    while taken := line.take():
        names.append(taken.id)
    return names


def test_one_person_is_served_in_order() -> None:
    line = Line()
    for name in "abc":
        line.add(job("ann", name))
    assert drain(line) == ["a", "b", "c"] and len(line) == 0


def test_fifty_jobs_do_not_keep_another_person_waiting() -> None:
    line = Line()
    for k in range(50):
        line.add(job("ann", f"ann{k}"))
    line.add(job("bob", "bob0"))
    line.add(job("bob", "bob1"))
    assert drain(line)[:4] == ["ann0", "bob0", "ann1", "bob1"]


def test_an_interrupted_job_is_next_among_its_owners() -> None:
    line = Line()
    line.add(job("ann", "later"))
    line.add(job("ann", "again"), first=True)
    assert drain(line) == ["again", "later"]


def test_a_job_can_leave_once() -> None:
    line, one = Line(), job("ann", "a")
    line.add(one)
    assert line.remove(one) and not line.remove(one)
    assert line.take() is None
