"""What every training stage shares: working weights in the dtype that the machine is fast in, float32 masters, gradient averaging over
processes, EMA, checkpoints.

Single-thread processes with an all-reduce per step, since OpenMP's barriers collapse on a machine that is shared with anything else.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
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
    # Forked, they start at once and keep the command's name, by which a person stops and continues all of them.
    mp.start_processes(_worker, (main, processes, arguments), nprocs=processes, start_method="fork" if sys.platform == "linux" else "spawn")


def _worker(rank: int, main: Callable[..., None], world: int, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    # A laptop that sleeps, or a person who stops the training for an hour, must not end it.
    dist.init_process_group("gloo", rank=rank, world_size=world, timeout=timedelta(days=7))
    main(rank, world, *arguments)
    dist.destroy_process_group()


def machine() -> tuple[torch.device, torch.dtype]:
    """Where to train and in what: bfloat16 where it is native. A CPU without it computes bfloat16 twelve times slower than float32."""
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.bfloat16
    native = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.device("cpu"), torch.bfloat16 if native else torch.float32


def learners(processes: int) -> int:
    """How many processes share the learning: one, if there is a GPU to do it."""
    return 1 if torch.cuda.is_available() else processes


class Trainer:
    """Optimises `model` in place, on the machine's best device. AdamW (Loshchilov & Hutter 2019), EMA of the weights. The rate stays as it
    is after a warm-up, so that a run can be continued for as long as there is time, and falls to zero over the last `fade` steps."""

    def __init__(
        self, model: nn.Module, file: Path, *, rate: float, steps: int, fade: int, decay: float, rank: int, world: int, warmup: int = 100
    ) -> None:
        self.file, self.steps, self.fade, self.rank, self.world = file, steps, fade, rank, world
        self.rate, self.warmup, self.decay = rate, warmup, decay
        self.device, self.dtype = machine()
        torch.set_flush_denormal(True)
        self.model = model.to(self.device)
        self.masters = list(model.parameters())
        if self.dtype != torch.float32:
            self.masters = [nn.Parameter(p.detach().float().clone()) for p in self.masters]
            model.to(self.dtype).to(memory_format=torch.channels_last)
        self.working = list(model.parameters())
        self.ema = [p.detach().clone() for p in self.masters]
        self.optimiser = torch.optim.AdamW(self.masters, lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.step, self.mean = 0, 0.0
        self.began = self.kept = time.monotonic()
        if file.exists():
            state = torch.load(file, map_location=self.device, weights_only=True)
            self.step = state["step"]
            self.optimiser.load_state_dict(state["optimiser"])
            for mine, saved in zip(self.masters + self.ema, state["masters"] + state["ema"], strict=True):
                mine.data.copy_(saved)
            self._publish()
        self.first = self.step

    def learn(self, loss: Tensor) -> None:
        """One step down the loss, which is averaged over the processes."""
        loss.backward()
        # Every parameter has a place, used in this step or not: the processes must agree on it.
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).float().flatten() for p in self.working])
        if self.world > 1:
            dist.all_reduce(flat)
            flat /= self.world
        flat *= (1.0 / (flat.norm() + 1e-6)).clamp(max=1.0)
        at = 0
        for master, working in zip(self.masters, self.working, strict=True):
            working.grad = None
            master.grad = flat[at : at + master.numel()].view_as(master)
            at += master.numel()
        self.step += 1
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * min(1.0, self.step / self.warmup, (self.steps - self.step + 1) / max(1, self.fade))
        self.optimiser.step()
        self.optimiser.zero_grad()
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.ema, [m.data for m in self.masters], 1 - decay)
        self._publish()
        self.mean = loss.item() if self.mean == 0 else 0.98 * self.mean + 0.02 * loss.item()

    def _publish(self) -> None:
        if self.dtype != torch.float32:
            for working, master in zip(self.working, self.masters, strict=True):
                working.data.copy_(master.data)

    @property
    def done(self) -> bool:
        return self.step >= self.steps

    def log(self, batch: int, extra: str = "") -> None:
        """A line about progress, from the first process. `batch` is per process."""
        if self.rank == 0:
            seconds = time.monotonic() - self.began
            speed = (self.step - self.first) * batch * self.world / seconds
            print(f"step {self.step} loss {self.mean:.4f} {extra} {seconds:.0f} s, {speed:.1f} samples/s", flush=True)

    def keep(self) -> None:
        """The checkpoint, every three minutes and at the end: whole or not at all, from the first process."""
        if self.rank == 0 and (self.done or time.monotonic() - self.kept > 180):
            state = {
                "step": self.step,
                "optimiser": self.optimiser.state_dict(),
                "masters": [m.data for m in self.masters],
                "ema": self.ema,
            }
            torch.save(state, self.file.with_suffix(".part"))
            self.file.with_suffix(".part").replace(self.file)
            self.kept = time.monotonic()

    def averaged(self) -> dict[str, Tensor]:
        """The EMA weights by name, float32."""
        return dict(zip([name for name, _ in self.model.named_parameters()], self.ema, strict=True))
