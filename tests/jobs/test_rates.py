"""Measured rates: medians of shares, so that pictures side by side add up to the time on the clock."""

from __future__ import annotations

import pytest

from webui.events import Interrupted, Rendered, Started, Step, Waiting
from webui.jobs.rates import Rates, about
from webui.request import Defaults, Request, Resolved


def request(**fields: object) -> Resolved:
    return Request.parse({"steps": 10, "guidance": 4.0, "width": 256, "height": 256} | fields).resolve(Defaults(), "m")


def play(rates: Rates, job: str, of: Resolved, *, step: float, rest: float = 0.0, together: int = 1) -> None:
    """A whole picture whose every step takes `step` seconds on the clock."""
    rates.hear(job, of, Started(steps=of.steps), together)
    for i in range(1, of.steps + 1):
        rates.hear(job, of, Step(i=i, n=of.steps, preview=None, seconds=i * step), together)
    seconds = of.steps * step + rest
    rates.hear(job, of, Rendered(width=1, height=1, rgb=b"", seconds=seconds), together)


def left(rates: Rates, of: Resolved, together: int = 1, done: int = 0) -> float:
    """Seconds to the picture."""
    costs = rates.costs(of, together)
    assert costs is not None
    return costs.picture(of.steps, done)


def test_nothing_is_said_before_something_was_measured() -> None:
    rates = Rates()
    assert rates.step(request()) is None and rates.costs(request()) is None
    play(rates, "a", request(), step=0.1)
    assert rates.step(Request().resolve(Defaults(), "another model")) is None


def test_a_picture_is_its_steps_and_its_decoding() -> None:
    rates = Rates()
    play(rates, "a", request(), step=0.1, rest=0.5)
    assert rates.step(request()) == pytest.approx(0.1)
    assert left(rates, request(steps=20)) == pytest.approx(2.5)
    assert left(rates, request(), done=9) == pytest.approx(0.6)


def test_what_comes_before_the_first_step_counts_but_not_a_models_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, clock = Rates(), [100.0]
    monkeypatch.setattr("webui.jobs.rates.time.monotonic", lambda: clock[0])
    for job, seconds, loading in (("a", 60, True), ("b", 0.8, False), ("c", 0.8, False)):
        rates.enter(job)
        rates.enter("beside it")
        if loading:
            rates.hear(job, request(), Waiting(reason="The model is being loaded."), 2)
        clock[0] += seconds
        play(rates, job, request(), step=0.1, together=2)
    assert left(rates, request(), 2) == pytest.approx(10 * 0.05 + 0.4)
    assert left(rates, request(), 2, done=4) == pytest.approx(6 * 0.05)


def test_pictures_side_by_side_add_up_to_the_clock() -> None:
    rates = Rates()
    for k in range(8):
        play(rates, str(k), request(), step=0.4, together=8)
    assert sum(left(rates, request(), 8) for _ in range(8)) == pytest.approx(4)


def test_a_step_alone_and_a_step_in_company_are_told_apart() -> None:
    rates = Rates()
    play(rates, "a", request(), step=0.1)
    play(rates, "b", request(), step=0.4, together=8)
    assert rates.step(request(), 1) == pytest.approx(0.1)
    assert rates.step(request(), 7) == pytest.approx(0.05)


def test_a_first_step_taken_ahead_of_the_round_is_no_measure_of_a_round() -> None:
    rates = Rates()
    for k in range(16):
        play(rates, f"first of {k}", request(), step=0.56, together=16)
    for k in range(15):
        # The next sixteen come in one by one as those before them end, with one person less.
        rates.hear(f"second of {k}", request(), Started(steps=10), 15)
        rates.hear(f"second of {k}", request(), Step(i=1, n=10, preview=None, seconds=0.08), 15)
    for together in (8, 15, 16):
        assert rates.step(request(), together) == pytest.approx(0.035)


def test_pictures_of_one_step_are_measured_too() -> None:
    rates, one = Rates(), request(steps=1)
    for k in range(3):
        play(rates, str(k), one, step=0.1)
    assert rates.step(one) == pytest.approx(0.1)


def test_a_step_in_company_is_as_dear_as_in_the_nearest_company_that_was_measured() -> None:
    rates = Rates()
    for together, round in ((1, 0.1), (4, 0.24), (16, 0.56)):
        play(rates, str(together), request(), step=round, together=together)
    assert [rates.step(request(), together) for together in (3, 13, 64)] == pytest.approx([0.06, 0.035, 0.035])


def test_one_hiccup_changes_nothing() -> None:
    rates = Rates()
    play(rates, "a", request(), step=0.1)
    rates.hear("b", request(), Started(steps=1), 1)
    rates.hear("b", request(), Step(i=1, n=2, preview=None, seconds=0.1), 1)
    rates.hear("b", request(), Step(i=2, n=2, preview=None, seconds=60), 1)
    assert rates.step(request()) == pytest.approx(0.1)


def test_an_interrupted_job_is_measured_anew() -> None:
    rates = Rates()
    rates.hear("a", request(), Started(steps=10), 1)
    rates.hear("a", request(), Step(i=1, n=10, preview=None, seconds=50), 1)
    rates.hear("a", request(), Interrupted(reason="killed"), 1)
    play(rates, "a", request(), step=0.1)
    assert rates.step(request()) == pytest.approx(0.1)


def test_a_size_never_seen_is_taken_from_the_nearest() -> None:
    rates = Rates()
    play(rates, "a", request(), step=0.1, rest=0.2)
    play(rates, "b", request(width=1024, height=1024), step=3.0)
    assert left(rates, request(width=512, steps=10)) == pytest.approx(10 * 0.2 + 0.4)
    assert rates.step(request(guidance=1.0)) == pytest.approx(0.05)


def test_a_sampler_that_calls_twice_is_its_own_kind() -> None:
    rates = Rates()
    play(rates, "a", request(), step=0.1)
    play(rates, "b", request(sampler="Heun"), step=0.2)
    assert rates.step(request(sampler="Heun", width=512)) == pytest.approx(0.4)
    assert rates.step(request()) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "a few seconds"),
        (14, "about 10 seconds"),
        (86, "about 90 seconds"),
        (95, "about 2 minutes"),
        (3000, "about 50 minutes"),
        (8000, "about 2 hours"),
    ],
)
def test_a_time_is_told_as_a_person_would(seconds: float, words: str) -> None:
    assert about(seconds) == words
