"""The time of a comparison, played through at rates that a test can add up by hand; and rates that survive a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.comparisons.estimate import seconds
from webui.events import Rendered, Started, Step
from webui.jobs.journal import Journal
from webui.jobs.rates import Rates
from webui.request import Defaults, Request, Resolved


def request(**fields: object) -> Resolved:
    usual = {"steps": 10, "guidance": 4.0, "width": 128, "height": 128, "sampler": "Euler"}
    return Request.parse(usual | fields).resolve(Defaults(), "m")


def measured(*curve: tuple[int, float], rest: float = 0.0, **fields: object) -> Rates:
    """Rates that have seen rounds of so many seconds with so many together."""
    rates, one = Rates(), request(**fields)
    for together, round in curve:
        for number in range(2):
            name = f"{together} {number}"
            rates.hear(name, one, Started(steps=10), together)
            for i in range(1, 11):
                rates.hear(name, one, Step(i=i, n=10, preview=None, seconds=i * round), together)
            rates.hear(name, one, Rendered(width=1, height=1, rgb=b"", seconds=10 * round + rest * together), together)
    return rates


def test_nothing_is_said_before_anything_was_measured() -> None:
    assert seconds(Rates(), [request()], 8) is None
    others = measured((1, 0.1))
    assert seconds(others, [request(), request().model_copy(update={"model": "other"})], 8) is None


def test_the_rounds_of_four_step_counts_add_up() -> None:
    rates = measured((1, 0.1), (2, 0.16), (4, 0.28))
    cells = [request(steps=count) for count in (4, 8, 16, 32)]
    # 4 rounds of four, 4 of three, 8 of two, 16 of one; three lie between what was measured: 0.08 and 0.07 a share.
    expected = 4 * 0.28 + 4 * 3 * 0.075 + 8 * 0.16 + 16 * 0.1
    assert seconds(rates, cells, 8) == pytest.approx(expected)


def test_more_cells_than_places_wait_for_one() -> None:
    rates = measured((1, 0.1), (2, 0.16))
    assert seconds(rates, [request(steps=count) for count in (10, 10, 10)], 2) == pytest.approx(10 * 0.16 + 10 * 0.1)
    assert seconds(rates, [request(steps=10)] * 3, 1) == pytest.approx(3)


def test_decoding_comes_on_top() -> None:
    assert seconds(measured((1, 0.1), rest=0.5), [request(), request()], 1) == pytest.approx(3)


def test_a_sampler_that_asks_the_model_twice_takes_twice_as_long_before_it_was_ever_measured() -> None:
    rates = measured((1, 0.1))
    assert seconds(rates, [request(sampler="Heun")], 8) == pytest.approx(2)
    assert seconds(measured((1, 0.2), sampler="Heun"), [request()], 8) == pytest.approx(1)


def test_without_guidance_and_at_another_size_it_goes_by_pixels() -> None:
    rates = measured((1, 0.1))
    assert seconds(rates, [request(guidance=1.0)], 8) == pytest.approx(0.5)
    assert seconds(rates, [request(width=256)], 8) == pytest.approx(2)


def test_what_was_measured_survives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / ".stepwise" / "journal.sqlite"
    rates = measured((1, 0.1), (8, 0.5), rest=0.2)
    cells = [request(steps=count) for count in (4, 8, 16)]
    first = Journal(file)
    first.keep_rates("cpu", rates.known("m"))
    first.keep_rates("cpu", rates.known("m"))
    first.close()
    again, second = Rates(), Journal(file)
    again.recall(second.rates("cpu"))
    assert second.rates("cuda") == {} and again.known("m") == rates.known("m")
    assert seconds(again, cells, 8) == pytest.approx(seconds(rates, cells, 8))
    second.close()
