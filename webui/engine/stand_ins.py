"""What takes the place of denoiser and autoencoder on a job's copy of a pipeline, and asks the loop instead."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from webui.engine.calls import AS_IT_IS, Call, Setting
from webui.engine.placement import decode
from webui.errors import ModelError


class Task(NamedTuple):
    """Something heavy that is not a denoiser call."""

    do: Callable[[], Any]
    key: Any = None
    """Tasks of one key have one result: it is made once for all jobs that wait for it."""


class StandIn:
    """Takes the denoiser's place on a job's copy of the pipeline. A plain object: pipelines look for devices at modules only."""

    def __init__(self, module: Any, ask: Callable[[Call], Tensor], setting: Setting = AS_IT_IS) -> None:
        self._module = module
        self._ask = ask
        self._setting = setting
        self._signature = inspect.signature(type(module).forward)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def cache_context(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Pipelines enter it around each call; caches hold one state per module and cannot be shared by jobs."""
        return contextlib.nullcontext()

    def _reset_stateful_cache(self) -> None:
        """Called at the end of one job's pipeline: must not reach the module that the others use."""

    def __call__(self, *args: Any, return_dict: bool = True, **kwargs: Any) -> Any:
        arguments = self._signature.bind(None, *args, **kwargs).arguments
        arguments.pop("self")
        out = self._ask(Call(self._module, arguments, self._setting))
        return SimpleNamespace(sample=out) if return_dict else (out,)


class Decoder:
    """Takes the autoencoder's place on a job's copy of the pipeline: decoding is a task, which must not hold up the others' steps."""

    def __init__(self, vae: Any, ask: Callable[[Task], Any]) -> None:
        self._vae = vae
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vae, name)

    def decode(self, latents: Tensor, return_dict: bool = True, **kwargs: Any) -> Any:
        """As the autoencoder's own.

        Raises:
            ModelError: latents or picture hold numbers that are none.
        """
        out = self._ask(Task(partial(self._decode, latents)))
        return SimpleNamespace(sample=out) if return_dict else (out,)

    def _decode(self, latents: Tensor) -> Tensor:
        out = decode(self._vae, latents)
        if not torch.isfinite(latents).all() or not torch.isfinite(out).all():
            raise ModelError("The model produced invalid numbers instead of a picture. Try another sampler or a lower guidance.")
        return out
