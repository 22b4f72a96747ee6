"""Pictures from prompts, and many pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from .pens import Picture

STEPS, GUIDANCE = 20, 4.0


def shrink(picture: np.ndarray, side: int) -> np.ndarray:
    """Square, by area."""
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def paint(
    pipe: StableDiffusionPipeline,
    prompts: Sequence[str],
    size: int,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    negative: str = "",
    seeds: Sequence[int] | None = None,
    scheduler: Any = None,
) -> list[Picture]:
    """One picture for each prompt, from seeds 0, 1, ... or those given; with DPM++ 2M or the scheduler given."""
    shipped = pipe.scheduler
    pipe.scheduler = scheduler or DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    seeds = range(len(prompts)) if seeds is None else seeds
    pictures: list[Picture] = []
    for first in range(0, len(prompts), 8):
        part = list(prompts[first : first + 8])
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[first : first + 8]]
        out = pipe(
            part, negative_prompt=[negative] * len(part), num_inference_steps=steps, guidance_scale=guidance,
            width=size, height=size, generator=generators, output_type="np",
        ).images  # fmt: skip
        pictures += [(picture * 255).round().astype(np.uint8) for picture in out]
    pipe.scheduler = shipped  # its configuration is what the next one is made from
    return pictures


def sheet(pictures: Sequence[Picture], columns: Sequence[str] | int, file: Path, rows: Sequence[str] = (), cell: int = 96) -> None:
    """Pictures in a grid, shrunk, as one JPEG or PNG; with names above the columns and before the rows, where given."""
    across = columns if isinstance(columns, int) else len(columns)
    small = [shrink(picture, cell) for picture in pictures]
    small += [np.full_like(small[0], 255)] * (-len(small) % across)
    grid = np.concatenate([np.concatenate(small[at : at + across], 1) for at in range(0, len(small), across)])
    left, top = (76 if rows else 0), (16 if not isinstance(columns, int) else 0)
    page = np.full((grid.shape[0] + top, grid.shape[1] + left, 3), 255, np.uint8)
    page[top:, left:] = grid
    if not isinstance(columns, int):
        for k, name in enumerate(columns):
            write(page, name, left + k * cell + 3, 12)
    for k, name in enumerate(rows):
        write(page, name, 3, top + k * cell + cell // 2)
    cv2.imwrite(str(file), page[..., ::-1])


def write(page: Picture, text: str, x: int, y: int) -> None:
    """Small dark letters; (x, y) is where their foot begins."""
    cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 48), 1, cv2.LINE_AA)
