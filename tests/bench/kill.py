"""kill -9 at twenty random moments, with the built-in model: `python -m tests.bench.kill [ROUNDS]`.

Engine, front and both in turn. Every acknowledged job ends with its picture, no picture is truncated or there twice, seeds are unchanged.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from tests.kills import Studio, Victim, rounds
from webui.settings import builtin_models

VICTIMS: tuple[Victim, ...] = ("engine", "front", "both")


def main() -> None:
    """Print what is there in the end."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    chance, began = random.Random(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(builtin_models(), Path(folder) / "outputs")
        try:
            for number in range(count):
                rounds(studio, [VICTIMS[number % 3]], chance, steps=12)
                print(f"{number + 1}: killed {VICTIMS[number % 3]}", flush=True)
            print(f"{count} kills, {time.monotonic() - began:.0f} s: {studio.outcome()}")
        finally:
            studio.close()


if __name__ == "__main__":
    main()
