"""Requests in, pictures out: the story of one job, told from top to bottom in `Engine._story`."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from webui.engine import schedulers
from webui.engine.catalogue import find, scan
from webui.engine.loading import Loaded, Loader
from webui.engine.loop import Job, Loop, Task
from webui.engine.preview import decode
from webui.engine.samplers import SAMPLERS
from webui.errors import UserError
from webui.events import Cancelled, Event, Failed, Rendered, Started, Step, Waiting
from webui.request import Resolved
from webui.settings import Previews

log = logging.getLogger(__name__)

CPU_ROWS = 16
"""Rows of one forward on a CPU: eight jobs with guidance. More gains nothing there."""

ACCELERATOR_ROWS = 64

Emit = Callable[[Event], None]


class Engine:
    """Not safe between threads: whoever calls `step` calls the rest too."""

    def __init__(self, models: Sequence[Path], device: str = "auto", previews: Previews = "fast", rows: int | None = None) -> None:
        self._device = pick_device(device)
        self._models = scan(models)
        self._loader = Loader(self._device)
        self._previews = previews
        rows = rows or (CPU_ROWS if self._device.type == "cpu" else ACCELERATOR_ROWS)
        self._loop = Loop(rows)
        self.slots = max(1, rows // 2)
        """Jobs that may advance at once, with guidance."""
        self.device = str(self._device)

    def preload(self, name: str) -> None:
        """Load a model before anybody asks; a broken one is left for the request that wants it."""
        try:
            self._loader.get(find(self._models, name))
        except UserError as error:
            log.warning("%s", error.message)

    def submit(self, job: str, request: Resolved, emit: Emit) -> None:
        """Take a job in at the next step. It tells `emit` Waiting*, Started, Step*, then one of Rendered, Failed, Cancelled."""
        self._loop.add(Job(job, partial(self._story, request, emit), lambda: emit(Cancelled()), partial(_failed, emit)))

    def cancel(self, job: str) -> None:
        """End a job at once: we are between two steps."""
        self._loop.cancel(job)

    def step(self, listen: Callable[[], None] = lambda: None) -> bool:
        """One step of every running job. Whether anything is left to do. `listen` is called in between; it may submit and cancel."""
        return self._loop.step(listen)

    def _story(self, request: Resolved, emit: Emit) -> None:
        # 1. The model.
        model = find(self._models, request.model)
        if model.name not in self._loader:
            emit(Waiting(reason=f"The model {model.title} is being loaded."))
        loaded = self._loader.get(model)
        # 2. The prompts, as conditioning.
        prompts = (request.prompt, request.negative if request.guidance > 1 else "")
        positive, negative = self._loop.ask(Task(partial(loaded.conditioner, *prompts), key=(model.name, prompts)))
        # 3. The job's own scheduler, which counts the steps and shows the clean estimates.
        emit(Started(steps=request.steps))
        began = time.monotonic()
        scheduler = schedulers.build(request.sampler, request.schedule, request.steps, request.seed, loaded.pipe.scheduler.config)
        schedulers.watch(scheduler, SAMPLERS[request.sampler], request.steps, partial(self._show, loaded, request, emit, began))
        # 4. The pipeline, unmodified but for its denoiser, which asks the loop.
        latents = self._loop.copy_of(loaded.pipe, scheduler)(
            prompt_embeds=positive,
            negative_prompt_embeds=negative if request.guidance > 1 else None,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            width=request.width,
            height=request.height,
            # On the CPU, so that the seed alone decides the noise, whatever the device and whatever else is in the batch.
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="latent",
        ).images
        # 5. The picture.
        picture = self._loop.ask(Task(partial(decode, loaded.pipe.vae, latents)))[0]
        if not torch.isfinite(latents).all() or not torch.isfinite(picture).all():
            emit(Failed(message="The model produced invalid numbers instead of a picture. Try another sampler or a lower guidance."))
            return
        pixels = (picture.clamp(0, 1).permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().contiguous()
        emit(Rendered(width=request.width, height=request.height, rgb=pixels.numpy().tobytes(), seconds=time.monotonic() - began))

    def _show(self, loaded: Loaded, request: Resolved, emit: Emit, began: float, i: int, x0: Tensor) -> None:
        picture = None
        if self._previews == "fast":
            picture = loaded.preview.fast(x0)
        elif self._previews == "fine":
            picture = loaded.preview.fine(x0)
        emit(Step(i=i, n=request.steps, preview=picture, seconds=time.monotonic() - began))


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _failed(emit: Emit, error: Exception) -> None:
    """A person's mistake is told as it is; a bug is logged in full, and its id is what the person is told."""
    if isinstance(error, UserError):
        emit(Failed(message=error.message))
        return
    id = uuid.uuid4().hex[:8]
    log.error("error %s", id, exc_info=error)
    emit(Failed(message=f"Something went wrong in the engine. The log has the details under {id}."))
