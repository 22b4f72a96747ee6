"""The queue seen ahead: the order in which turns really come, and times that hold if the rates do."""

from __future__ import annotations

import statistics
from datetime import datetime
from unittest.mock import Mock

import pytest

from tests.jobs.test_rates import play
from webui.events import Cancelled, Step, Waiting
from webui.jobs.forecast import Outlook, forecast, seen, wait_of
from webui.jobs.job import Job
from webui.jobs.line import Line, Room
from webui.jobs.rates import Rates
from webui.request import Defaults, Request

ROOM = Room(2, 2)


def job(owner: str, name: str, steps: int = 10, model: str = "m") -> Job:
    request = Request(prompt=f"secret of {name}", steps=steps, width=256, height=256).resolve(Defaults(guidance=4.0), model)
    return Job(name, "group", owner, request, datetime.now().astimezone())


@pytest.fixture
def rates() -> Rates:
    """A step takes 0.1 seconds alone and 0.1 per job in company; decoding takes one second."""
    rates = Rates()
    play(rates, "r", job("ann", "r").request, step=0.1, rest=1.0)
    play(rates, "s", job("ann", "s").request, step=0.2, rest=2.0, together=2)
    return rates


def test_one_after_another_side_by_side(rates: Rates) -> None:
    line, running = Line(), {job("ann", "a"): 0, job("ann", "b"): 5}
    for name in "cd":
        line.add(job("ann", name))
    turns = {turn.job.id: turn for turn in forecast(line, running, ROOM, rates, 0)}
    assert [turns[name].position for name in "abcd"] == [0, 0, 1, 2]
    # b has 5 steps and a decoding left, 15 rounds of 0.2 seconds; a then has 5 rounds left, c starts.
    assert turns["b"].ends == pytest.approx(3.0) == turns["c"].starts
    assert turns["a"].ends == pytest.approx(4.0) == turns["d"].starts
    assert turns["c"].ends == pytest.approx(7.0)
    # The last one has the engine for itself at its end.
    assert turns["d"].ends == pytest.approx(7.0 + 0.5)


def test_all_the_work_takes_as_long_as_its_parts(rates: Rates) -> None:
    line = Line()
    for k in range(40):
        line.add(job(f"guest{k % 7}", str(k), steps=1 + k))
    turns = forecast(line, {}, ROOM, rates, 0)
    assert max(turn.ends or 0 for turn in turns) == pytest.approx(sum(0.1 * (1 + k) + 1.0 for k in range(40)))


def test_peoples_first_pictures_beyond_the_places_are_reckoned_with_their_company() -> None:
    rates, line = Rates(), Line()
    play(rates, "alone", job("ann", "x").request, step=0.1)
    play(rates, "in company", job("ann", "y").request, step=0.16, together=4)
    for who in ("ann", "bob", "cem", "dan"):
        line.add(job(who, who))
    turns = forecast(line, {}, ROOM, rates, 0)
    assert [turn.starts for turn in turns] == [0.0] * 4 and [turn.ends for turn in turns] == pytest.approx([10 * 0.16] * 4)


def test_the_order_is_the_one_in_which_the_line_gives_turns(rates: Rates) -> None:
    line = Line()
    for k in range(6):
        line.add(job("ann", f"a{k}"))
    line.add(job("bob", "b0"))
    turns = forecast(line, {}, Room(1, 1), rates, 0)
    assert [turn.job.id for turn in turns][:4] == ["a0", "b0", "a1", "a2"] and [turn.position for turn in turns] == list(range(1, 8))
    assert len(line) == 7


def test_what_was_not_measured_is_not_told(rates: Rates) -> None:
    line = Line()
    for name, model in (("known", "m"), ("unknown", "new"), ("behind", "m")):
        line.add(job("ann", name, model=model))
    known, unknown, behind = forecast(line, {}, Room(1, 2), rates, 0)
    assert known.ends == pytest.approx(2.0) == unknown.starts
    assert unknown.ends is None and behind.starts is None and wait_of(behind) == "Waiting for its turn."
    assert wait_of(unknown) == "Its turn comes in a few seconds."


def test_while_the_engine_is_down_the_order_is_known(rates: Rates) -> None:
    line = Line()
    for name in "ab":
        line.add(job("ann", name))
    assert [turn.job.id for turn in forecast(line, {}, Room(0, 1), rates, 0)] == ["a", "b"]


def test_everybody_sees_the_queue_and_only_their_own_prompts(rates: Rates) -> None:
    line, runs = Line(), job("ann", "a")
    runs.append(Step(i=4, n=10, preview=None, seconds=1))
    line.add(job("bob", "b"))
    anns, bobs = seen(forecast(line, {runs: 4}, ROOM, rates, 0), "bob", lambda one: one.owner == "bob")
    assert (anns.who, anns.state, anns.steps_done, anns.mine, anns.prompt, anns.id, anns.model) == (
        "ann",
        "running",
        4,
        False,
        None,
        None,
        None,
    )
    assert (bobs.who, bobs.state, bobs.mine, bobs.prompt, bobs.id) == ("bob", "waiting", True, "secret of b", "b")
    assert bobs.position == 1 and bobs.wait == "a few seconds"
    assert "secret of a" not in anns.model_dump_json()


def test_a_waiting_job_is_told_when_its_turn_comes_and_again_when_that_changes(rates: Rates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.jobs.forecast.FRESH", 0.0)
    line, first, second = Line(), job("ann", "a", steps=150), job("ann", "b")
    line.add(second)
    outlook = Outlook(line, rates)
    for done in (0, 1, 2, 100, 150):
        first.append(Step(i=done, n=150, preview=None, seconds=1))
        outlook.tell([first], Room(1, 1), None)
    told = [event.reason for event in second.events if isinstance(event, Waiting)]
    assert told == ["Its turn comes in about 20 seconds.", "Its turn comes in a few seconds."]
    line.remove(second)
    second.append(Cancelled())
    outlook.tell([first], Room(1, 1), None)
    assert second.done


def test_while_nobodys_turn_comes_that_is_what_is_told_and_at_once(rates: Rates) -> None:
    line, waiting = Line(), job("ann", "b")
    line.add(waiting)
    outlook = Outlook(line, rates)
    for stopped in (None, "The disk is full.", "The disk is full.", None):
        outlook.tell([job("ann", "a")], Room(1, 1), stopped)
    told = [event.reason for event in waiting.events if isinstance(event, Waiting)]
    assert told == ["Its turn comes in a few seconds.", "The disk is full.", "Its turn comes in a few seconds."]


def test_a_thousand_waiting_are_foreseen_quickly(rates: Rates) -> None:
    line = Line()
    for k in range(1000):
        line.add(job(f"guest{k % 50}", str(k), steps=20, model=f"m{k % 3}" if k % 9 == 0 else "m"))
    turns = forecast(line, {}, Room(8, 2), rates, 0)
    assert len(turns) == 1000 and len({turn.job for turn in turns}) == 1000


def test_a_kind_is_looked_up_once_however_many_of_it_wait(rates: Rates, monkeypatch: pytest.MonkeyPatch) -> None:
    line, median = Line(), Mock(side_effect=statistics.median)
    monkeypatch.setattr("webui.jobs.rates.statistics.median", median)
    for k in range(300):
        line.add(job("ann", str(k)))
    assert len(forecast(line, {}, ROOM, rates, 0)) == 300 and 0 < median.call_count <= 3
