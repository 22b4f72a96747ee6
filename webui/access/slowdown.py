"""Wrong secrets cost time, twice as much each time; nobody is ever shut out."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

FREE = 5
"""Wrong ones in a row that cost nothing: people mistype."""

LONGEST = 60.0
"""Seconds; the delay doubles from one second up to this."""

FORGOTTEN = 3600.0
"""Seconds without a wrong one after which the count begins again."""

REMEMBERED = 1000
"""Places that are remembered at most; the one that was wrong longest ago goes first."""


class Slowdown:
    """Counts wrong secrets by the place that they come from. Safe between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, place: str) -> float:
        """Seconds until the next secret from there is looked at; 0 if it may come now."""
        with self._lock:
            count, last = self._wrong.get(place, (0, 0.0))
        return max(0.0, last + _delay(count) - self._clock()) if count else 0.0

    def wrong(self, place: str) -> None:
        """A wrong secret came from there."""
        now = self._clock()
        with self._lock:
            count, last = self._wrong.pop(place, (0, now))
            self._wrong[place] = (1 if now - last > FORGOTTEN else count + 1, now)
            while len(self._wrong) > REMEMBERED:
                self._wrong.popitem(last=False)

    def right(self, place: str) -> None:
        """A right one did: the count begins again."""
        with self._lock:
            self._wrong.pop(place, None)


def _delay(count: int) -> float:
    return 0.0 if count < FREE else min(LONGEST, 2.0 ** min(count - FREE, 30))
