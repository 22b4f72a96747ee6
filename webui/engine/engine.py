"""Requests in, pictures out: the story of one job, told from top to bottom in `Engine._story`."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from webui.engine import compiling, schedulers
from webui.engine.calls import Setting
from webui.engine.catalogue import Model, find
from webui.engine.decoding import Decoding
from webui.engine.embeddings import spoken
from webui.engine.families import Family
from webui.engine.latents import LAYOUTS
from webui.engine.loading import Busy, Loaded, Loader
from webui.engine.loop import Job, Loop
from webui.engine.loras import known, tags
from webui.engine.memory import exhausted
from webui.engine.need import Need
from webui.engine.shelf import Shelf
from webui.engine.stand_ins import Task
from webui.engine.texts import Spoken
from webui.engine.vaes import chosen
from webui.errors import UserError
from webui.events import Cancelled, Event, Failed, Rendered, Started, Step, Waiting
from webui.request import Resolved
from webui.settings import Previews, Wishes

log = logging.getLogger(__name__)

CPU_ROWS = 16
"""Rows of one forward on a CPU: eight jobs with guidance. More gains nothing there."""

ACCELERATOR_ROWS = 64

Emit = Callable[[Event], None]


class Engine:
    """Not safe between threads: whoever calls `step` calls the rest too."""

    def __init__(
        self,
        models: Sequence[Path],
        device: str = "auto",
        previews: Previews = "fast",
        rows: int | None = None,
        wishes: Wishes | None = None,
        loading: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._device = pick_device(device)
        self._models = Shelf(models)
        self._loader = Loader(self._device, wishes, loading)
        self._previews = previews
        self._watch = compiling.Watch() if wishes is not None and wishes.compile else None
        rows = rows or (CPU_ROWS if self._device.type == "cpu" else ACCELERATOR_ROWS)
        self._loop = Loop(rows, self._loader.relieve)
        self.slots = max(1, rows // 2)
        """Jobs that may advance at once, with guidance."""
        self.device = str(self._device)
        self.chip = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else ""
        """What the device's maker calls it."""

    def preload(self, name: str) -> None:
        """Load a model before anybody asks; a broken one is left for the request that wants it."""
        try:
            self._loader.get(find(self._models, name))
        except UserError as error:
            log.warning("%s", error.message)

    @property
    def placements(self) -> dict[str, str]:
        """Each model that is in memory: how it lies there, and why, in sentences."""
        return self._loader.placements

    def submit(self, job: str, request: Resolved, emit: Emit) -> None:
        """Take a job in at the next step. It tells `emit` Waiting*, Started, Step*, then one of Rendered, Failed, Cancelled."""
        self._look()
        self._loop.add(Job(job, partial(self._story, request, emit), lambda: emit(Cancelled()), partial(_failed, emit)))

    def load(self, name: str, tell: Callable[[str], None]) -> None:
        """Load a model as a picture's turn would, at the next step. `tell` hears what went wrong; nothing, where it is there."""

        def body() -> None:
            self._load(find(self._models, name), lambda event: None)
            tell("")

        self._look()
        self._loop.add(Job(f"load {name}", body, lambda: tell(""), partial(_failed, lambda event: tell(event.message))))

    def unload(self, name: str) -> None:
        """Let a model go now, or give up waiting for it.

        Raises:
            ModelError: pictures are being made with it.
        """
        self._loop.cancel(f"load {name}")
        self._loader.drop(name)

    def weigh(self, names: Sequence[str]) -> dict[str, Need]:
        """What each of these models would need of the memory; one that cannot be used is left out."""
        self._look()
        models = (self._models[name] for name in names if name in self._models)
        return self._loader.weigh(model for model in models if model.usable)

    def _look(self) -> None:
        if self._models.changed():
            self._models.walk()

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
        loaded = self._load(model, emit)
        vae = chosen(request.vae, model, self._models)
        prompt, loras = tags(request.text)
        files = {name: lora.path for name, lora in known(self._models, loras, model.family).items()}
        with (
            self._loader.using(model),
            self._told(emit),
            loaded.adapters.using(loras, files) as active,
            self._loader.decoding(loaded, vae) as decoding,
        ):
            setting = Setting(active, partial(loaded.activate, active), not loaded.family.shares)
            words = spoken((prompt, request.negative_text), self._models, model.family)
            self._paint(request.model_copy(update={"drawn": prompt}), loaded, decoding, setting, words, emit)

    def _told(self, emit: Emit) -> AbstractContextManager[None]:
        """Whoever paints is told when the model is being compiled, which takes as long as many steps."""
        return self._watch.telling(lambda words: emit(Waiting(reason=words))) if self._watch else nullcontext()

    def _load(self, model: Model, emit: Emit) -> Loaded:
        """The model, when there is room for it."""
        told = False
        with self._loader.asking(model) as get:
            while True:
                try:
                    return get()
                except Busy as busy:
                    if not told:
                        emit(Waiting(reason=str(busy)))
                    told = True
                self._loop.ask(None)

    def _paint(self, request: Resolved, loaded: Loaded, decoding: Decoding, setting: Setting, words: Spoken, emit: Emit) -> None:
        family, prompts = loaded.family, loaded.prompts(setting.key, words)

        def ask(task: Task) -> Any:
            """A task with the job's LoRAs in the layers."""
            return self._loop.ask(Task(lambda: (setting.apply(), task.do())[1], (id(loaded), setting.key, task.key) if task.key else None))

        # 2. The prompts, as conditioning.
        guided = bool(family.guidance) and request.guidance > 1
        texts = (request.text, request.negative_text if guided and family.negative else None)
        given = ask(Task(partial(prompts, *texts), (texts, words)))
        # 3. The job's own scheduler, which counts the steps and shows the clean estimates.
        emit(Started(steps=request.steps))
        began = time.monotonic()
        config = loaded.pipe.scheduler.config
        scheduler = schedulers.build(request.sampler, request.schedule, request.steps, request.seed, config, family.samplers)
        # On the CPU, so that the seed alone decides the noise, whatever the device and whatever else is in the batch.
        generator = torch.Generator("cpu").manual_seed(request.seed)
        show = partial(self._show, loaded.family, decoding, request, emit, began)
        schedulers.watch(scheduler, family.samplers[request.sampler], request.steps, generator, show)
        # 4. The pipeline, unmodified but for its denoiser and its decoder, which ask the loop.
        pipe = self._loop.copy_of(decoding.pipe, scheduler, setting)
        prompts.prepare(pipe, ask)
        if family.area:
            # It enlarges what it is asked for to this many latents; a little more, so that nothing is rounded down.
            pipe.__dict__["default_sample_size"] = (request.width * request.height) ** 0.5 / pipe.vae_scale_factor * (1 + 1e-9)
        picture = pipe(
            **given,
            **{name: value for name, value in family.options.items() if name in signature(pipe.__call__).parameters},
            **{family.argument: request.guidance if guided else family.off},
            num_inference_steps=request.steps,
            width=request.width,
            height=request.height,
            generator=generator,
            output_type="pt",
        ).images[0]
        # 5. The picture.
        pixels = (picture.float().permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().contiguous()
        made = {"seconds": time.monotonic() - began, "dtype": loaded.placement.numbers, "lender": loaded.lender}
        emit(Rendered(width=request.width, height=request.height, rgb=pixels.numpy().tobytes(), **made))

    def _show(self, family: Family, decoding: Decoding, request: Resolved, emit: Emit, began: float, i: int, x0: Tensor) -> None:
        picture = None
        if self._previews != "off":
            latents = LAYOUTS[family.layout](decoding.pipe, x0, request.width, request.height)
            if latents is not None:
                picture = decoding.preview.fast(latents) if self._previews == "fast" else decoding.preview.fine(latents)
        emit(Step(i=i, n=request.steps, preview=picture, seconds=time.monotonic() - began))


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA, then MPS, then the CPU.

    Raises:
        UserError: this machine has no such device.
    """
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cards else "mps" if mps else "cpu")
    kind, _, number = name.partition(":")
    if not {"cuda": int(number or 0) < cards, "mps": mps}.get(kind, True):
        raise UserError(f"There is no {name} here. Use --device cpu or auto.")
    return torch.device(name)


def _failed(emit: Callable[[Failed], None], error: Exception) -> None:
    """A person's mistake is told as it is; a bug is logged in full, and its id is what the person is told."""
    if isinstance(error, UserError):
        emit(Failed(message=error.message))
        return
    if exhausted(error):
        emit(Failed(message="There is not enough memory for this picture. Lower its width and height, or choose a smaller model."))
        return
    id = uuid.uuid4().hex[:8]
    log.error("error %s", id, exc_info=error)
    emit(Failed(message=f"Something went wrong in the engine. The log has the details under {id}."))
