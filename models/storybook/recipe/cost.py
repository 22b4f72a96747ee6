"""How long a picture takes and how much memory, in a process of its own: 256 px, 20 steps, guidance on, batch 1, two threads."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline


def _measure(model: Path) -> tuple[float, float, float]:
    torch.set_num_threads(2)
    pipe = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32, safety_checker=None, local_files_only=True)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        pipe("a red sailboat on a calm sea at sunset", num_inference_steps=20, guidance_scale=4.0, width=256, height=256)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return seconds[0], min(seconds[1:]), peak


def cost(model: Path) -> str:
    """Seconds and peak memory, in words."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        first, best, peak = pool.submit(_measure, model).result()
    return f"20 steps at 256 px: {best:.2f} s (the first time {first:.2f} s), peak memory {peak:.2f} GiB"
