"""Events cross the boundary unharmed."""

from __future__ import annotations

import pickle

import pytest

from webui.events import EVENT, Cancelled, Event, Failed, Finished, Interrupted, Queued, Rendered, Started, Step, Waiting

EVENTS: list[Event] = [
    Queued(),
    Waiting(reason="The engine is starting."),
    Started(steps=4),
    Step(i=1, n=4, preview=bytes(range(256)), seconds=0.5),
    Step(i=2, n=4, seconds=0.5),
    Rendered(width=1, height=1, rgb=b"\x00\xff\n", seconds=1),
    Finished(picture="2026-11-24/a.png", seconds=1),
    Failed(message="No."),
    Cancelled(),
    Interrupted(reason="It was killed."),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_json_and_back_is_the_same_event_on_one_line(event: Event) -> None:
    line = EVENT.dump_json(event)
    assert b"\n" not in line and EVENT.validate_json(line) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_events_pickle(event: Event) -> None:
    assert pickle.loads(pickle.dumps(event)) == event


def test_every_kind_of_event_is_covered_here() -> None:
    kinds = set(EVENT.json_schema(mode="validation")["discriminator"]["mapping"])
    assert {event.kind for event in EVENTS} == kinds
