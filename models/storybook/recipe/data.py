"""Renders scenes once into one large file: `python -m recipe.data FOLDER --pictures 40000`."""

from __future__ import annotations

import argparse
import itertools
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from .render import SIZE, render
from .scene import draw_scene


def open_pictures(folder: Path, count: int, mode: str = "r") -> np.memmap:
    """(count, 256, 256, 3) uint8 on disk."""
    return np.memmap(folder / "pictures.u8", np.uint8, mode, shape=(count, SIZE, SIZE, 3))


def _part(folder: Path, count: int, world: str, first: int, last: int) -> None:
    pictures = open_pictures(folder, count, "r+")
    for seed in range(first, last):
        pictures[seed] = render(draw_scene(seed, world))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=40000)
    parser.add_argument("--world", default="small")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    open_pictures(given.folder, given.pictures, "w+").flush()
    edges = [*list(range(0, given.pictures, 1000)), given.pictures]
    with ProcessPoolExecutor(given.processes) as pool:
        jobs = [pool.submit(_part, given.folder, given.pictures, given.world, a, b) for a, b in itertools.pairwise(edges)]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
