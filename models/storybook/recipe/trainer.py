"""What every training stage shares: bf16 working weights with float32 masters, gradient averaging over processes, EMA, checkpoints.

Single-thread processes with an all-reduce per step, since OpenMP's barriers collapse on a machine that is shared with anything else.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn


def launch(main: Callable[..., None], processes: int, *arguments: Any) -> None:
    """Run `main(rank, world, *arguments)` in `processes` single-thread processes that can average gradients."""
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29511")
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["OMP_WAIT_POLICY"] = "passive"
    if processes == 1:
        main(0, 1, *arguments)
        return
    mp.spawn(_worker, (main, processes, arguments), nprocs=processes)


def _worker(rank: int, main: Callable[..., None], world: int, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world)
    main(rank, world, *arguments)
    dist.destroy_process_group()


class Trainer:
    """Optimises `model` in place. AdamW (Loshchilov & Hutter 2019), cosine rate after a warm-up, EMA of the weights."""

    def __init__(self, model: nn.Module, file: Path, *, rate: float, steps: int, warmup: int, decay: float, rank: int, world: int) -> None:
        self.file, self.steps, self.rank, self.world = file, steps, rank, world
        self.rate, self.warmup, self.decay = rate, warmup, decay
        self.device = next(model.parameters()).device
        self.masters = [nn.Parameter(p.detach().float().clone()) for p in model.parameters()]
        self.ema = [p.detach().clone() for p in self.masters]
        self.optimiser = torch.optim.AdamW(self.masters, lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.model = model.to(torch.bfloat16).to(memory_format=torch.channels_last)
        self.working = list(self.model.parameters())
        self.step, self.began, self.mean = 0, time.monotonic(), 0.0
        if file.exists():
            state = torch.load(file, map_location=self.device, weights_only=True)
            self.step = state["step"]
            self.optimiser.load_state_dict(state["optimiser"])
            for mine, saved in zip(self.masters + self.ema, state["masters"] + state["ema"], strict=True):
                mine.data.copy_(saved)
            self._publish()

    def learn(self, loss: Tensor) -> None:
        """One step down the loss, which is averaged over the processes."""
        loss.backward()
        flat = torch.cat([p.grad.float().flatten() for p in self.working if p.grad is not None])
        if self.world > 1:
            dist.all_reduce(flat)
            flat /= self.world
        norm = flat.norm()
        flat *= (1.0 / (norm + 1e-6)).clamp(max=1.0)
        at = 0
        for master, working in zip(self.masters, self.working, strict=True):
            if working.grad is None:
                continue
            master.grad = flat[at : at + master.numel()].view_as(master)
            at += master.numel()
            working.grad = None
        self.step += 1
        share = min(1.0, max(0.0, (self.step - self.warmup) / max(1, self.steps - self.warmup)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * min(1.0, self.step / self.warmup) * (0.04 + 0.96 * 0.5 * (1 + math.cos(math.pi * share)))
        self.optimiser.step()
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.ema, [m.data for m in self.masters], 1 - decay)
        self._publish()
        self.mean = loss.item() if self.mean == 0 else 0.98 * self.mean + 0.02 * loss.item()

    def _publish(self) -> None:
        for working, master in zip(self.working, self.masters, strict=True):
            working.data.copy_(master.data)

    @property
    def done(self) -> bool:
        return self.step >= self.steps

    def log(self, batch: int, extra: str = "") -> None:
        """A line about progress, from the first process."""
        if self.rank == 0:
            seconds = time.monotonic() - self.began
            print(f"step {self.step} loss {self.mean:.4f} {extra} {seconds:.0f} s", flush=True)

    def save(self) -> None:
        """The checkpoint, whole or not at all, from the first process."""
        if self.rank == 0:
            state = {
                "step": self.step,
                "optimiser": self.optimiser.state_dict(),
                "masters": [m.data for m in self.masters],
                "ema": self.ema,
            }
            torch.save(state, self.file.with_suffix(".part"))
            self.file.with_suffix(".part").replace(self.file)

    def averaged(self) -> dict[str, Tensor]:
        """The EMA weights by name, float32."""
        return dict(zip([name for name, _ in self.model.named_parameters()], self.ema, strict=True))
