"""The waiting line: fair between people, sparing with models, careful with jobs that may kill the engine."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime
from itertools import pairwise

import pytest

from webui.jobs.job import ATTEMPTS, Job
from webui.jobs.line import PATIENCE, Line, Room
from webui.request import Defaults, Request

ROOM = Room(places=8, models=2)


def job(owner: str, name: str, model: str = "m", attempts: int = 0) -> Job:
    return Job(name, "group", owner, Request().resolve(Defaults(), model), datetime.now().astimezone(), attempts=attempts)


def drain(line: Line, running: Collection[Job] = (), room: Room = ROOM) -> list[str]:
    """The names in the order of their turns, if each ends before the next one starts."""
    names = []
    while taken := line.take(running, room, 0.0):
        names.append(taken.id)
    return names


def fill(line: Line, running: list[Job], room: Room = ROOM, now: float = 0.0) -> list[str]:
    """Start all that may start; their names."""
    before = len(running)
    while taken := line.take(running, room, now):
        running.append(taken)
    return [one.id for one in running[before:]]


def queue(line: Line, owner: str, count: int, model: str = "m") -> None:
    for k in range(count):
        line.add(job(owner, f"{owner}{k}", model))


# --- between people ---


def test_one_person_is_served_in_order() -> None:
    line = Line()
    for name in "abc":
        line.add(job("ann", name))
    assert drain(line) == ["a", "b", "c"] and len(line) == 0


def test_fifty_jobs_do_not_keep_another_person_waiting() -> None:
    line = Line()
    queue(line, "ann", 50)
    queue(line, "bob", 2)
    assert drain(line)[:4] == ["ann0", "bob0", "ann1", "bob1"]


def test_somebody_with_nothing_running_starts_at_once_though_all_places_are_taken() -> None:
    line, running = Line(), list[Job]()
    queue(line, "ann", 50)
    assert len(fill(line, running)) == ROOM.places
    queue(line, "bob", 3)
    assert fill(line, running) == ["bob0"], "one of his, beyond the places"
    # Ann gives the place back: the next one that becomes free is Bob's, who has fewer.
    for _ in range(2):
        running.pop(0)
    assert fill(line, running) == ["bob1"]


def test_places_are_shared_by_what_is_running_and_not_by_who_asks_most() -> None:
    line, running, chance = Line(), list[Job](), random.Random(0)
    queue(line, "ann", 500)
    fill(line, running)
    for who in ("bob", "cleo", "dan"):
        queue(line, who, 100)
    for _ in range(200):
        fill(line, running)
        running.remove(chance.choice(running))
    fill(line, running)
    shares = Counter(one.owner for one in running)
    assert set(shares.values()) == {ROOM.places // 4}


def test_at_most_twice_as_many_run_as_there_are_places() -> None:
    line, running = Line(), list[Job]()
    for k in range(40):
        queue(line, f"guest{k}", 2)
    fill(line, running)
    assert len(running) == 2 * ROOM.places and max(Counter(one.owner for one in running).values()) == 1
    running.pop()
    assert len(fill(line, running)) == 1


def test_nobody_starves_whatever_the_others_do() -> None:
    line, running, chance = Line(), list[Job](), random.Random(1)
    queue(line, "late", 1)
    for k in range(16):
        queue(line, f"busy{k}", 1000)
    rounds = 0
    while any(one.owner == "late" for one in line):
        fill(line, running)
        running.remove(chance.choice(running))
        rounds += 1
        assert rounds < 20


# --- one's own jobs ---


def test_an_interrupted_job_is_next_among_its_owners() -> None:
    line = Line()
    line.add(job("ann", "later"))
    line.add(job("ann", "again", attempts=1), first=True)
    assert drain(line) == ["again", "later"]


def test_a_job_can_leave_once() -> None:
    line, one = Line(), job("ann", "a")
    line.add(one)
    assert line.remove(one) and not line.remove(one)
    assert line.take((), ROOM, 0) is None


def test_ones_own_jobs_can_be_put_in_another_order() -> None:
    line = Line()
    a, b, c = (job("ann", name) for name in "abc")
    other = job("bob", "other")
    for one in (a, b, c, other):
        line.add(one)
    assert line.move(c, a) and [one.id for one in line.of("ann")] == ["c", "a", "b"]
    assert line.move(c, None) and [one.id for one in line.of("ann")] == ["a", "b", "c"]
    assert line.move(a, a) and [one.id for one in line.of("ann")] == ["a", "b", "c"]
    assert not line.move(a, other) and not line.move(job("ann", "gone"), None)
    assert drain(line) == ["a", "other", "b", "c"]


# --- jobs that may kill the engine ---


def test_a_last_attempt_is_made_alone() -> None:
    line, running = Line(), list[Job]()
    queue(line, "ann", 2)
    fill(line, running)
    for name in ("suspect", "another"):
        line.add(job("bob", name, attempts=ATTEMPTS - 1))
    queue(line, "cleo", 1)
    assert fill(line, running) == [], "nothing starts beside it, and it starts beside nothing"
    running.clear()
    assert fill(line, running) == ["suspect"]
    running.clear()
    assert fill(line, running) == ["another"]
    running.clear()
    assert fill(line, running) == ["cleo0"]


def test_a_suspect_can_be_cancelled() -> None:
    line, one = Line(), job("bob", "suspect", attempts=ATTEMPTS - 1)
    line.add(one)
    assert line.of("bob") == [one] and line.remove(one) and len(line) == 0


# --- models ---


def play(
    line: Line,
    room: Room,
    seconds: float,
    ask: Callable[[float], None] = lambda now: None,
    takes: Callable[[], float] = lambda: 1.0,
) -> list[tuple[float, Job]]:
    """Everything that starts, and when; a picture takes so many seconds."""
    started: list[tuple[float, Job]] = []
    running: list[tuple[float, Job]] = []
    now = 0.0
    while now < seconds:
        ask(now)
        running = [(end, one) for end, one in running if end > now]
        while taken := line.take([one for _, one in running], room, now):
            running.append((now + takes(), taken))
            started.append((now, taken))
            assert len({one.request.model for _, one in running}) <= room.models, "more models at once than fit"
        now += 0.5
    return started


def swaps(started: list[tuple[float, Job]], kept: int) -> int:
    """How often a model had to be loaded, by an engine that keeps those used last."""
    memory: list[str] = []
    count = 0
    for _, one in started:
        count += one.request.model not in memory
        memory = [one.request.model, *(model for model in memory if model != one.request.model)][:kept]
    return count


def test_two_people_with_two_models_that_fit_share_the_engine() -> None:
    line = Line()
    queue(line, "ann", 40, "a")
    queue(line, "bob", 40, "b")
    started = play(line, Room(2, 2), 41)
    assert swaps(started, 2) == 2
    assert [one.owner for _, one in started[:6]].count("bob") == 3


def test_two_people_with_two_models_do_not_thrash_a_memory_for_one_and_neither_starves() -> None:
    line = Line()
    queue(line, "ann", 500, "a")
    queue(line, "bob", 500, "b")
    started = play(line, Room(4, 1), 10 * PATIENCE)
    assert len(started) > 9 * 4 * PATIENCE, "the engine was busy almost all the time"
    assert swaps(started, 1) <= 11
    for who in ("ann", "bob"):
        times = [0.0] + [now for now, one in started if one.owner == who] + [10 * PATIENCE]
        assert max(later - sooner for sooner, later in pairwise(times)) <= PATIENCE + 3
    shares = Counter(one.owner for _, one in started)
    assert 0.7 < shares["ann"] / shares["bob"] < 1.4


def test_three_models_where_two_fit() -> None:
    line = Line()
    for who in ("ann", "bob", "cleo"):
        queue(line, who, 500, f"model of {who}")
    started = play(line, Room(4, 2), 10 * PATIENCE)
    assert swaps(started, 2) <= 24
    for who in ("ann", "bob", "cleo"):
        times = [0.0] + [now for now, one in started if one.owner == who] + [10 * PATIENCE]
        assert max(later - sooner for sooner, later in pairwise(times)) <= PATIENCE + 3


def test_a_third_model_gets_in_though_pictures_of_the_two_that_fit_are_always_running() -> None:
    line, chance = Line(), random.Random(0)
    queue(line, "ann", 500, "a")
    queue(line, "bob", 500, "b")
    queue(line, "cleo", 1, "c")
    starts = [now for now, one in play(line, Room(12, 2), 60, takes=lambda: chance.uniform(1, 3)) if one.owner == "cleo"]
    assert starts and PATIENCE <= starts[0] <= PATIENCE + 4


def test_one_persons_alternating_models_are_grouped() -> None:
    line = Line()
    for k in range(20):
        line.add(job("ann", str(k), "ab"[k % 2]))
    started = play(line, Room(2, 1), 30)
    assert len(started) == 20 and swaps(started, 1) == 2


def test_a_model_that_nobody_competes_with_is_loaded_at_once() -> None:
    line = Line()
    line.add(job("ann", "first", "a"))
    assert fill(line, [], Room(8, 1)) == ["first"]
    line.add(job("bob", "second", "b"))
    assert fill(line, [], Room(8, 1)) == ["second"]


def test_a_guest_who_keeps_asking_for_a_loaded_model_cannot_keep_another_out() -> None:
    line = Line()

    def ask(now: float) -> None:
        while len(line.of("ann")) < 5:
            line.add(job("ann", f"ann at {now}", "a"))

    ask(0)
    line.add(job("bob", "bob", "b"))
    starts = [now for now, one in play(line, Room(2, 1), 3 * PATIENCE, ask) if one.owner == "bob"]
    assert starts and starts[0] <= PATIENCE + 2


def test_after_the_engines_death_no_model_is_taken_for_loaded() -> None:
    line = Line()
    for name, model in (("a", "a"), ("b", "b")):
        line.add(job("ann", name, model))
    assert line.take((), Room(1, 1), 0) is not None
    line.cold()
    queue(line, "bob", 1, "a")
    assert drain(line, room=Room(1, 1)) == ["b", "bob0"]


def test_a_copy_is_played_without_changing_the_line() -> None:
    line = Line()
    queue(line, "ann", 3)
    queue(line, "bob", 3)
    line.add(job("cleo", "suspect", attempts=ATTEMPTS - 1))
    order = drain(line.copy())
    assert len(line) == 7 and drain(line) == order


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_everything_starts_once(seed: int) -> None:
    chance = random.Random(seed)
    room = Room(chance.randint(1, 8), chance.randint(1, 3))
    line, count = Line(), 0

    def ask(now: float) -> None:
        nonlocal count
        for _ in range(chance.choice([0, 0, 1, 3])) if now < 30 else ():
            count += 1
            line.add(job(f"guest{chance.randrange(5)}", str(count), f"model{chance.randrange(4)}", chance.choice([0] * 20 + [2])))

    started = play(line, room, 400, ask)
    assert Counter(one.id for _, one in started) == Counter(str(k + 1) for k in range(count)) and len(line) == 0
