"""The blocks that a denoiser repeats, compiled (torch.compile): once for each kind of block and size of picture, not for the whole of it.

A minute at the first step, and faster ones afterwards: FLUX.1 takes a third less time on an H100 (the figures are PyTorch's own). It does
not go with everything. Layers that are fetched one by one come and go inside of the blocks, and each time would break what was
compiled in two. LoRAs add layers of their own and a strength that is a constant to a compiler, so each set and each strength would be
compiled anew: pictures with LoRAs run on the same blocks as they are, at their usual pace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from webui.engine.placement import Placement

BACKEND = "inductor"
DEVICES = ("cuda",)
"""Where it is worth its minute: on a processor compiling takes as long, and gains little."""

KINDS = 32
"""Sizes and kinds of blocks that are compiled at most; what comes after them runs as it is."""

TOGETHER = 2.0
"""Seconds between two compilations that are told as one."""

WORDS = "Compiling the model for pictures of this kind, once: about a minute."

DONE = "The blocks of its denoiser are compiled at the first step, which takes about a minute. Pictures with LoRAs run on them uncompiled."
NOT = "Nothing is compiled, although it was asked for: {}."


class Blocks:
    """The compiled blocks of a denoiser."""

    def __init__(self, denoiser: Any) -> None:
        denoiser.compile_repeated_blocks(backend=BACKEND, dynamic=True)
        # torch offers no way to call a module that was compiled in place as it was: it calls this where it is there, and else itself.
        self._calls = [(part, part._compiled_call_impl) for part in denoiser.modules() if part._compiled_call_impl is not None]
        self._used = True

    def use(self, wanted: bool) -> None:
        """Whether what is compiled runs from now on, or the blocks as they are."""
        if wanted != self._used:
            self._used = wanted
            for part, call in self._calls:
                part._compiled_call_impl = call if wanted else None


def compiled(denoiser: Any, placed: Placement, device: torch.device) -> tuple[Blocks | None, Placement]:
    """The blocks of a denoiser that is to be compiled, where that works, and the placement that says so, or why not."""
    if device.type not in DEVICES:
        why = "that is for CUDA"
    elif placed.streamed:
        why = "it does not go with layers that are fetched one by one"
    elif not getattr(denoiser, "_repeated_blocks", None):
        why = "diffusers does not know which blocks of its denoiser could be"
    else:
        return Blocks(denoiser), placed._replace(compiled=True, why=f"{placed.why} {DONE}")
    return None, placed._replace(why=f"{placed.why} {NOT.format(why)}")


class Watch:
    """Knows when something is being compiled, which happens in the middle of a step, and tells those who wait for it."""

    def __init__(self) -> None:
        from torch._dynamo import config
        from torch._dynamo.callback import callback_handler

        config.suppress_errors = True  # a block that cannot be compiled runs as it is
        config.recompile_limit = KINDS
        self._telling: list[Callable[[str], None]] = []
        self._ended = -TOGETHER
        self.started = callback_handler.register_start_callback(self._start)
        self.ended = callback_handler.register_end_callback(self._end)

    @contextmanager
    def telling(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Tell this one too, meanwhile."""
        self._telling.append(tell)
        try:
            yield
        finally:
            self._telling.remove(tell)

    def close(self) -> None:
        """Listen no more."""
        from torch._dynamo.callback import callback_handler

        callback_handler.remove_start_callback(self.started)
        callback_handler.remove_end_callback(self.ended)

    def _start(self, _: Any) -> None:
        if time.monotonic() - self._ended >= TOGETHER:
            for tell in self._telling:
                tell(WORDS)

    def _end(self, _: Any) -> None:
        self._ended = time.monotonic()
