"""The rule behind "how many steps are enough", on curves that were made up to have a known answer."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from webui.comparisons.convergence import ANYWHERE, APART, CLOSE, FEWEST, MARGIN, Point, answer
from webui.comparisons.measures import FULL, difference, distance
from webui.errors import UserError


def curve(**ssim: float) -> list[Point]:
    """`n8=0.97` is a point; the mean absolute difference follows along, and no place is worse than the others."""
    return [Point(int(name[1:]), value, (1 - value) / 4, value) for name, value in ssim.items()]


@pytest.mark.parametrize(
    ("points", "settled"),
    [
        (curve(n4=0.60, n8=0.90, n16=0.97, n32=1), 16),
        (curve(n4=0.60, n8=0.96, n16=0.99, n32=1), 8),
        (curve(n32=1, n4=0.60, n16=0.97, n8=0.90), 16),  # in any order
        (curve(n4=0.96, n8=0.97, n16=0.99, n32=1), 4),
        (curve(n4=1, n8=1, n16=1), 4),
        (curve(n4=0.50, n8=0.60, n16=0.70, n32=1), None),  # still changing at the end
        (curve(n4=0.60, n28=0.97, n30=0.99, n32=1), None),  # neighbours are always close
        (curve(n4=0.60, n20=0.96, n25=0.98, n32=1), 20),  # 32 is 1.6 times 20
        (curve(n4=0.97, n8=0.90, n16=0.97, n32=1), 16),  # close, away, and close again
        (curve(n4=0.97, n8=0.97, n16=0.90, n32=1), None),
        (curve(n8=0.99, n16=1), None),  # two points are no curve
        (curve(n8=1), None),
        (curve(n1=0.96, n2=0.97, n3=1), 1),
    ],
)
def test_where_a_curve_settles(points: list[Point], settled: int | None) -> None:
    told = answer(points, "Euler", converges=True)
    assert told.settled == settled and told.sentence.endswith(".")
    assert settled is None or (f"{settled} step" in told.sentence and "hardly changes" in told.sentence and "Euler" in told.sentence)


def test_colours_that_still_change_are_seen_where_shapes_do_not() -> None:
    points = [Point(4, 0.99, 0.05, 0.99), Point(8, 0.99, 0.03, 0.99), Point(16, 0.99, 0.01, 0.99), Point(32, 1, 0, 1)]
    assert answer(points, "Euler", converges=True).settled == 16


def test_a_small_subject_that_vanishes_is_seen_though_the_whole_picture_hardly_changes() -> None:
    y, x = np.mgrid[0:256, 0:256]
    sea = Image.fromarray(np.stack([100 + y // 4, 120 + y // 6 + (8 * np.sin(x / 9)).astype(int), 200 - y // 3], -1).astype(np.uint8))
    boat = sea.copy()
    ImageDraw.Draw(boat).polygon([(128, 90), (153, 135), (140, 140), (110, 140), (103, 135)], fill=(150, 40, 30))
    gone = distance(boat, sea)
    assert gone.ssim >= CLOSE and gone.mae <= APART and gone.worst < ANYWHERE
    points = [Point(4, *gone), Point(8, *gone), Point(16, 0.99, 0.01, 0.95), Point(32, *distance(sea, sea))]
    assert answer(points, "Euler", converges=True).settled == 16


def test_each_way_of_having_no_answer_says_what_to_do() -> None:
    flat = curve(n4=1, n8=1, n16=1)
    assert "adds new noise at every step" in answer(flat, "Euler a", converges=False).sentence
    assert answer(flat, "Euler a", converges=False).settled is None
    assert "Too few pictures" in answer(flat[: FEWEST - 1], "Euler", converges=True).sentence
    assert "Not settled within 32 steps" in answer(curve(n4=0.5, n8=0.6, n32=1), "Euler", converges=True).sentence
    near = answer(curve(n4=0.5, n30=0.99, n32=1), "Euler", converges=True).sentence
    assert "30 and 32 steps look alike" in near and "45 steps or more" in near
    # What no request takes is not advised.
    assert "150 steps are the most" in answer(curve(n50=0.5, n100=0.6, n150=1), "Euler", converges=True).sentence
    assert "no more than 150 steps" in answer(curve(n50=0.5, n120=0.99, n150=1), "Euler", converges=True).sentence
    assert "may be more than enough" in answer(flat, "Euler", converges=True).sentence


@given(
    steps=st.lists(st.integers(1, 150), min_size=FEWEST, max_size=20, unique=True),
    decay=st.floats(0.5, 60),
)
def test_a_decaying_curve_settles_where_its_formula_says(steps: list[int], decay: float) -> None:
    longest = max(steps)
    points = [Point(n, 1 - float(np.exp(-n / decay) - np.exp(-longest / decay)), 0.0, 1.0) for n in steps]
    close = sorted(point.steps for point in points if point.ssim >= CLOSE)
    expected = close[0] if longest >= MARGIN * close[0] else None
    random.shuffle(points)
    assert answer(points, "Euler", converges=True).settled == expected


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1)), min_size=FEWEST, max_size=12))
def test_whatever_the_curve_all_from_the_answer_on_is_close(values: list[tuple[float, float, float]]) -> None:
    points = [Point(4 * (k + 1), *value) for k, value in enumerate(values)]
    points[-1] = Point(points[-1].steps, 1.0, 0.0, 1.0)
    settled = answer(points, "Euler", converges=True).settled
    if settled is not None:
        close = [point.ssim >= CLOSE and point.mae <= APART and point.worst >= ANYWHERE for point in points if point.steps >= settled]
        assert all(close)
        assert points[-1].steps >= MARGIN * settled


def picture(change: int = 0, size: int = 32) -> Image.Image:
    """Noise, the same each time, a little brighter."""
    values = np.random.default_rng(0).integers(0, 200, (size, size, 3)) + change
    return Image.fromarray(values.astype(np.uint8))


def test_distances_of_known_pictures() -> None:
    same = distance(picture(), picture())
    assert same.ssim == pytest.approx(1) == same.worst and same.mae == 0
    brighter = distance(picture(), picture(51))
    assert brighter.mae == pytest.approx(0.2) and 0.3 < brighter.ssim < 1
    black, white = Image.new("RGB", (32, 32)), Image.new("RGB", (32, 32), "white")
    assert distance(black, white).mae == 1 and distance(black, white).ssim < 0.01
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (32, 32, 3)).astype(np.uint8))
    assert abs(distance(picture(), noise).ssim) < 0.2
    assert distance(picture(), noise) == distance(noise, picture())


def test_the_map_is_black_where_nothing_differs_and_brightest_from_full_on() -> None:
    one = Image.new("RGB", (3, 1), (100, 100, 100))
    other = one.copy()
    other.putpixel((1, 0), (100, 100 + FULL // 2, 100))
    other.putpixel((2, 0), (100, 100, 100 - FULL))
    shown = difference(one, other)
    dark, between, bright = (sum(shown.getpixel((x, 0))) for x in range(3))  # type: ignore[arg-type]
    assert dark == 0 < between < bright == 255 + 255 + 200


def test_pictures_of_two_sizes_are_refused_with_both_sizes() -> None:
    for measure in (distance, difference):
        with pytest.raises(UserError, match="32 x 32 and 16 x 16 pixels"):
            measure(picture(), picture(size=16))
