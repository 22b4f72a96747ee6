"""The step loop alone, with a small module in the denoiser's place: grouping, fairness, errors, cancelling."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from webui.engine.calls import Call
from webui.engine.loop import Job, Loop
from webui.engine.stand_ins import StandIn, Task
from webui.errors import ModelError

ROWS = 4


class Denoiser(nn.Module):
    """Doubles its rows and writes down how many came; 0.13 is poison to it."""

    def __init__(self) -> None:
        super().__init__()
        self.forwards: list[int] = []
        self.pause = 0.0

    def forward(
        self, sample: Tensor, timestep: Any, context: Tensor | None = None, extra: dict[str, Any] | None = None, return_dict: bool = True
    ) -> tuple[Tensor]:
        if (sample == 0.13).any():
            raise RuntimeError("poison")
        self.forwards.append(len(sample))
        time.sleep(self.pause)
        assert len(timestep) == len(sample)
        return (2 * sample + timestep[:, None],)


class Bench:
    """A loop, a denoiser, and what became of each job."""

    def __init__(self) -> None:
        self.loop = Loop(ROWS)
        self.denoiser = Denoiser()
        self.stand_in = StandIn(self.denoiser, self.loop.ask)
        self.ended: dict[str, Any] = {}
        self.order: list[str] = []

    def add(self, id: str, body: Callable[[], object]) -> None:
        """A job that runs the body."""

        def run() -> None:
            self.ended[id] = body()

        self.loop.add(Job(id, run, lambda: self.ended.update({id: "cancelled"}), lambda error: self.ended.update({id: error})))

    def steps(self, id: str, count: int, *, rows: int = 1, width: int = 2, start: float = 1.0) -> None:
        """A job of `count` denoiser calls."""

        def body() -> float:
            value = torch.full((rows, width), start)
            for t in range(count):
                self.order.append(id)
                value = self.stand_in(value, t, return_dict=False)[0]
            return float(value[0, 0])

        self.add(id, body)

    def run(self) -> int:
        """Rounds until nothing is left."""
        rounds = 1
        while self.loop.step():
            rounds += 1
            assert rounds < 1000
        return rounds


@pytest.fixture
def bench() -> Bench:
    return Bench()


def expected(count: int, start: float = 1.0) -> float:
    for t in range(count):
        start = 2 * start + t
    return start


def test_calls_of_different_steps_share_forwards_and_each_gets_its_own_rows(bench: Bench) -> None:
    for k in range(4):
        bench.steps(str(k), k + 1, start=float(k))
    bench.run()
    assert bench.ended == {str(k): expected(k + 1, float(k)) for k in range(4)}
    assert bench.denoiser.forwards == [4, 3, 2, 1]


def test_a_job_of_more_rows_than_the_cap_still_runs(bench: Bench) -> None:
    bench.steps("wide", 2, rows=ROWS + 1)
    bench.steps("thin", 2)
    bench.run()
    assert bench.ended == {"wide": expected(2), "thin": expected(2)}


def test_every_job_gets_one_step_per_round_also_beyond_the_cap(bench: Bench) -> None:
    names = [str(k) for k in range(11)]
    for name in names:
        bench.steps(name, 3)
    bench.loop.step()
    assert bench.order == names * 2, "each asked for its second step, none for its third"
    bench.run()
    assert max(bench.denoiser.forwards) == ROWS and sum(bench.denoiser.forwards) == 3 * len(names)


def test_what_differs_in_shape_does_not_share_a_forward(bench: Bench) -> None:
    bench.steps("a", 1, width=2)
    bench.steps("b", 1, width=3)
    bench.run()
    assert bench.denoiser.forwards == [1, 1]


def key(**arguments: Any) -> Any:
    return Call(None, {"sample": torch.zeros(2, 3), "timestep": 1, **arguments}).key


def test_what_calls_must_have_in_common() -> None:
    assert key() == key(timestep=torch.tensor(7)) == key(timestep=torch.tensor([3, 4])) == key(context=None)
    ids = torch.arange(5)
    assert key(ids=ids) == key(ids=ids.clone()) != key(ids=ids + 1)
    assert key(context=torch.zeros(2, 4)) == key(context=torch.ones(2, 4)) != key(context=torch.zeros(2, 5))
    assert key(extra={"scale": 1.0}) != key(extra={"scale": 2.0})
    assert key(extra={"ids": torch.zeros(2, 6)}) == key(extra={"ids": torch.ones(2, 6)})
    assert key(context=torch.zeros(2, 4)) != key(context=torch.zeros(2, 4, dtype=torch.float16)) != key()


def test_one_that_fails_does_not_fail_those_beside_it(bench: Bench) -> None:
    bench.steps("good", 3)
    bench.steps("bad", 3, start=0.13)
    bench.steps("fine", 3)
    bench.run()
    assert isinstance(bench.ended.pop("bad"), RuntimeError)
    assert bench.ended == {"good": expected(3), "fine": expected(3)}


def test_out_of_memory_halves_the_batch_and_nobody_notices(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = bench.denoiser.forward

    def small(sample: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor]:
        if len(sample) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(bench.denoiser, "forward", small)
    for k in range(4):
        bench.steps(str(k), 3, start=float(k))
    bench.run()
    assert bench.ended == {str(k): expected(3, float(k)) for k in range(4)}
    assert bench.denoiser.forwards == [1] * 12 and bench.loop._rows == 1


def test_a_job_that_does_not_fit_alone_ends_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = bench.denoiser.forward

    def small(sample: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor]:
        if len(sample) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(bench.denoiser, "forward", small)
    bench.steps("large", 3, rows=3)
    bench.steps("good", 3)
    bench.run()
    assert isinstance(bench.ended["large"], torch.OutOfMemoryError) and bench.ended["good"] == expected(3)


def test_an_error_in_a_job_itself_ends_it_alone(bench: Bench) -> None:
    bench.steps("good", 3)
    bench.add("bad", lambda: 1 // 0)
    bench.run()
    assert isinstance(bench.ended["bad"], ZeroDivisionError) and bench.ended["good"] == expected(3)


def test_cancelling_unwinds_the_job_and_leaves_the_others(bench: Bench) -> None:
    unwound: list[str] = []

    def careful() -> None:
        try:
            while True:
                bench.stand_in(torch.zeros(1, 2), 0)
        except Exception:  # noqa: BLE001 - what a library may do: it must not keep the job alive
            unwound.append("swallowed")
        finally:
            unwound.append("finally")

    bench.add("victim", careful)
    bench.steps("good", 3)
    bench.loop.step()
    bench.loop.cancel("victim")
    assert unwound == ["finally"] and bench.ended == {"victim": "cancelled"}
    bench.loop.cancel("victim")
    bench.run()
    assert bench.ended["good"] == expected(3)


def test_cancelled_while_it_waits_for_a_task(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.engine.loop.PATIENCE", 0.0)
    bench.add("first", lambda: bench.loop.ask(Task(lambda: 1)))
    bench.add("second", lambda: bench.loop.ask(Task(lambda: 2)))
    bench.loop.step()
    bench.loop.cancel("second")
    assert not bench.loop.step() and bench.ended == {"first": 1, "second": "cancelled"}


@pytest.mark.parametrize(("task", "forward", "first_round"), [(0.02, 0.0, 1), (0.0, 0.02, 3)], ids=["long tasks", "short tasks"])
def test_tasks_take_no_longer_than_the_steps_beside_them(bench: Bench, task: float, forward: float, first_round: int) -> None:
    done: list[int] = []
    bench.denoiser.pause = forward

    def work(k: int) -> None:
        time.sleep(task)
        done.append(k)

    for k in range(3):
        bench.add(str(k), partial(bench.loop.ask, Task(partial(work, k))))
    bench.steps("steps", 3)
    for rounds in (1, 2, 3):
        bench.loop.step()
        assert len(bench.denoiser.forwards) == rounds and len(done) == max(rounds, first_round)


def test_where_nobody_steps_tasks_go_on_for_a_while(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.engine.loop.PATIENCE", 0.5)
    for k in range(3):
        bench.add(str(k), lambda: bench.loop.ask(Task(lambda: 1)))
    bench.loop.step()
    assert len(bench.ended) == 3


def test_tasks_of_one_key_are_done_once_for_all(bench: Bench) -> None:
    done: list[int] = []

    def work() -> object:
        done.append(1)
        return object()

    for k in range(3):
        bench.add(str(k), lambda: bench.loop.ask(Task(work, key="same")))
    bench.run()
    assert len(done) == 1 and len({id(result) for result in bench.ended.values()}) == 1


def test_a_task_that_fails_ends_those_who_asked_for_it(bench: Bench) -> None:
    bench.add("bad", lambda: bench.loop.ask(Task(lambda: 1 // 0)))
    bench.add("good", lambda: bench.loop.ask(Task(lambda: 1)))
    bench.run()
    assert isinstance(bench.ended["bad"], ZeroDivisionError) and bench.ended["good"] == 1


def test_grad_is_off_for_all_though_their_own_guards_interleave(bench: Bench) -> None:
    grads: list[bool] = []

    @torch.no_grad()
    def body(count: int) -> None:
        for _ in range(count):
            bench.stand_in(torch.zeros(1, 2), 0)
            grads.append(torch.is_grad_enabled())

    bench.add("short", lambda: body(2))
    bench.add("long", lambda: body(5))
    bench.run()
    assert not any(grads) and torch.is_grad_enabled()


def test_the_stand_in_shows_its_module_and_shields_it(bench: Bench) -> None:
    wiped: list[int] = []
    bench.denoiser._reset_stateful_cache = lambda: wiped.append(1)  # type: ignore[assignment]
    assert bench.stand_in.forwards is bench.denoiser.forwards
    bench.stand_in._reset_stateful_cache()
    with bench.stand_in.cache_context("cond"):
        pass
    assert not wiped


def test_a_copy_of_a_pipeline_is_the_jobs_own_and_the_original_is_untouched(bench: Bench) -> None:
    hooks: list[int] = []
    vae = SimpleNamespace(config="config")
    pipe = SimpleNamespace(unet=bench.denoiser, scheduler="shared", vae=vae, _all_hooks=hooks)
    own = bench.loop.copy_of(pipe, "own")
    assert own.scheduler == "own" and own.vae.config == "config" and own._all_hooks is not hooks
    assert pipe.unet is bench.denoiser and pipe.vae is vae and pipe.scheduler == "shared"


def test_decoding_is_a_task_and_invalid_numbers_are_an_error_never_a_picture(bench: Bench) -> None:
    vae = SimpleNamespace(decode=lambda latents, return_dict: (latents.log(),))
    decoder = bench.loop.copy_of(SimpleNamespace(unet=bench.denoiser, vae=vae), "own").vae
    for name, value in (("good", 1.0), ("nan", float("nan")), ("infinite", 0.0)):
        bench.add(name, partial(decoder.decode, torch.full((1, 3), value), return_dict=False))
    bench.add("named", lambda: decoder.decode(torch.ones(1, 3)).sample)
    bench.run()
    assert torch.equal(bench.ended["good"][0], torch.zeros(1, 3)) and torch.equal(bench.ended["named"], torch.zeros(1, 3))
    for name in ("nan", "infinite"):
        assert isinstance(bench.ended[name], ModelError) and "invalid numbers" in bench.ended[name].message


def test_denoisers_that_answer_with_lists_get_back_their_own_rows(bench: Bench) -> None:
    class Lists(nn.Module):
        """Doubles each of its rows, which may differ in shape."""

        def forward(self, x: list[Tensor], t: Tensor, return_dict: bool = True) -> tuple[list[Tensor]]:
            bench.denoiser.forwards.append(len(x))
            return ([2 * row for row in x],)

    stand_in = StandIn(Lists(), bench.loop.ask)
    for k, rows in enumerate((2, 1, 1)):
        bench.add(str(k), partial(stand_in, [torch.full((3,), float(k + row)) for row in range(rows)], 0, return_dict=False))
    bench.run()
    assert [[float(row[0]) for row in bench.ended[str(k)][0]] for k in range(3)] == [[0, 2], [2], [4]]
    assert bench.denoiser.forwards == [4]


def test_lists_share_a_forward_where_their_pictures_have_one_shape() -> None:
    pictures, texts = [torch.zeros(4, 1, 8, 8)], [torch.zeros(5, 16)]
    assert key(x=[*pictures, *pictures]) == key(x=[*pictures, *pictures]) != key(x=[torch.zeros(4, 1, 8, 4)] * 2)
    assert key(texts=texts * 2) == key(texts=[torch.zeros(9, 16)] * 2)
    assert key(sizes=[(1, 8, 4)] * 2) != key(sizes=[(1, 4, 8)] * 2)


ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"sample": torch.ones(1, 2), "timestep": torch.tensor(3)},
    {"sample": torch.ones(1, 2), "timestep": torch.tensor([3.0]), "extra": {"a": {"b": torch.ones(1, 2)}, "c": 1}},
)


@pytest.mark.parametrize("given", ARGUMENTS, ids=["plain", "nested"])
def test_positions_and_names_are_the_same_call(bench: Bench, given: dict[str, Any]) -> None:
    bench.add("names", lambda: bench.stand_in(**given).sample)
    positions = (given["sample"], given["timestep"], None, given.get("extra"))
    bench.add("positions", lambda: bench.stand_in(*positions, return_dict=False)[0])
    bench.run()
    assert torch.equal(bench.ended["names"], bench.ended["positions"])
    assert bench.denoiser.forwards == [2]


def test_a_first_call_goes_ahead_of_the_rounds_others(bench: Bench) -> None:
    for k in range(3 * ROWS):
        bench.steps(str(k), 5)
    bench.loop.step()
    bench.order.clear()
    bench.steps("late", 2)
    bench.loop.step()
    assert bench.order[0] == "late" and bench.order.count("late") == 2, "its first call came first, and it waits for its second"
    assert len(bench.order) == 3 * ROWS + 2, "everybody else had their step in the same round"


def test_who_comes_in_the_middle_of_a_round_does_not_wait_for_its_end(bench: Bench) -> None:
    for k in range(3 * ROWS):
        bench.steps(str(k), 5)
    bench.loop.step()
    bench.order.clear()
    coming = ["late"]

    def listen() -> None:
        if coming:
            bench.add(coming.pop(), late)

    def late() -> float:
        bench.loop.ask(Task(lambda: None))
        bench.order.append("late")
        return float(bench.stand_in(torch.ones(1, 2), 0, return_dict=False)[0][0, 0])

    bench.loop.step(listen)
    assert bench.order.index("late") == ROWS and bench.ended["late"] == expected(1)
    bench.run()
    assert all(bench.ended[str(k)] == expected(5) for k in range(3 * ROWS))


def test_cancelled_in_the_middle_of_a_round_it_is_not_called_again(bench: Bench) -> None:
    for k in range(2 * ROWS):
        bench.steps(str(k), 5)
    bench.loop.step()
    last = str(2 * ROWS - 1)
    bench.loop.step(lambda: bench.loop.cancel(last))
    bench.run()
    assert bench.ended.pop(last) == "cancelled" and set(bench.ended.values()) == {expected(5)}


def test_a_stream_of_newcomers_does_not_stop_the_others(bench: Bench) -> None:
    bench.steps("long", 20)
    for k in range(100):
        bench.steps(f"short{k}", 1)
        bench.loop.step()
        if "long" in bench.ended:
            break
    assert k == 19


def test_who_comes_between_two_tasks_does_not_wait_for_the_rest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.engine.loop.PATIENCE", 0.5)
    for k in range(4):
        bench.add(str(k), lambda: bench.loop.ask(Task(lambda: bench.order.append("task"))))
    coming = ["late"]

    def listen() -> None:
        if coming:
            bench.steps(coming.pop(), 1)

    bench.loop.step(listen)
    assert bench.order == ["task", "task", "late", "task", "task"]


def test_a_job_can_wait_for_the_next_round_and_be_cancelled_there(bench: Bench) -> None:
    rounds: list[int] = []

    def body() -> str:
        for number in range(3):
            bench.loop.ask(None)
            rounds.append(number)
        return "done"

    bench.add("waits", body)
    bench.add("given up", lambda: bench.loop.ask(None))
    bench.loop.step()
    bench.loop.cancel("given up")
    assert rounds == [] and bench.ended == {"given up": "cancelled"}
    for done in range(3):
        assert bench.loop.step() == (done < 2) and len(rounds) == done + 1
    assert bench.ended["waits"] == "done"
