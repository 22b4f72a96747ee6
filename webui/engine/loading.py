"""A model's folder or file becomes a ready pipeline; the last ones are kept as far as memory goes."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import diffusers
import torch
import transformers

from webui.engine import compiling, memory, placement, quantized
from webui.engine.adapters import Active, Adapters
from webui.engine.catalogue import Model
from webui.engine.compiling import Blocks
from webui.engine.decoding import Decoders, Decoding
from webui.engine.denoiser import open_alone, open_lent
from webui.engine.families import FAMILIES
from webui.engine.need import IN_USE, Need
from webui.engine.opening import open_folder, without
from webui.engine.placement import IN_LAYERS, Placement
from webui.engine.preview import Preview
from webui.engine.single import open_file
from webui.engine.texts import TEXTS, Prompts, Spoken
from webui.engine.walk import weights_of
from webui.engine.weigh import held, weigh
from webui.errors import ModelError
from webui.settings import Wishes
from webui.sizes import in_words

CPU = torch.device("cpu")
"""Main memory."""

KEPT = 4
"""Most models in memory at once; fewer where they do not fit."""

SETS = 8
"""Sets of LoRAs and embeddings whose encoded prompts are kept."""


PATIENCE = 20.0
"""Seconds after which nobody enters any more before a picture for whose model there was no room: several times what loading one takes."""


FULL = "Pictures that are being made fill the memory with other models. Waiting for them to end."


class Busy(Exception):
    """A model's turn comes when pictures that are being made are done; it says why."""


class Loaded:
    """A pipeline and what belongs to it."""

    def __init__(self, model: Model, device: torch.device, placed: Placement, *, compiled: bool = False) -> None:
        """Open the folder or file: nothing that could run code, and nothing from the network.

        Args:
            compiled: whether the denoiser's blocks are to be compiled, where that works.

        Raises:
            ModelError: a file is missing, cut off or not what it should be.
        """
        self.pipe = _open(model, placed)
        self.placement = placed
        self.takes = placement.takes(model, placed, device)
        """Bytes of the device that it was given, with a picture."""
        placement.place(self.pipe, placed, model, device)
        self.pipe.set_progress_bar_config(disable=True)
        self.family, self.lender = FAMILIES[model.family], model.lender
        self.weights = weights_of(model.stamp)
        """Which state of the file or folder this is."""
        self.adapters = Adapters(self.pipe)
        self.blocks: Blocks | None = None
        if compiled:
            self.blocks, self.placement = compiling.compiled(self.denoiser, placed, device)
        self._prompts: OrderedDict[Any, Prompts] = OrderedDict()
        self.preview = Preview(model.path, self.pipe.vae)
        self.decoders = Decoders(self.pipe, self.preview, placed, device)

    @property
    def denoiser(self) -> Any:
        """The part that every step calls."""
        return self.pipe.unet if hasattr(self.pipe, "unet") else self.pipe.transformer

    def relieve(self, device: torch.device) -> None:
        """Fetch the denoiser's layers one by one from now on; what was compiled does not go with that."""
        if self.blocks is not None:
            self.blocks.use(False)
            self.blocks = None
        placement.stream(self.denoiser, device)
        why = f"{self.placement.why} {IN_LAYERS}, since a picture ran out of memory."
        self.placement = self.placement._replace(streamed=True, compiled=False, why=why)

    def activate(self, loras: Active) -> None:
        """Let these LoRAs act, and no others; with them, nothing that was compiled runs."""
        self.adapters.activate(loras)
        if self.blocks is not None:
            self.blocks.use(not loras)

    def prompts(self, loras: Active = (), embeddings: Spoken = ()) -> Prompts:
        """What encodes with these LoRAs in the encoders and these embeddings as words, and remembers what it has encoded.

        Raises:
            InvalidRequest, ModelError: an embedding is for other models, or is damaged.
        """
        key = (loras, embeddings)
        if key not in self._prompts:
            self._prompts[key] = TEXTS[self.family.texts](self.pipe, embeddings, self.family.options.get("max_sequence_length", 0))
        self._prompts.move_to_end(key)
        while len(self._prompts) > SETS:
            self._prompts.popitem(last=False)
        return self._prompts[key]


class Loader:
    """Keeps the models that were used last, at most `KEPT`, as far as they fit into memory. One that is in use stays."""

    def __init__(self, device: torch.device, wishes: Wishes | None = None, loading: Callable[[str], None] = lambda name: None) -> None:
        """`loading` hears which model is about to be loaded: it takes a while, and nothing else is done meanwhile."""
        self._device = device
        self._loading = loading
        self._wishes = wishes or Wishes()
        self._kept: OrderedDict[str, Loaded] = OrderedDict()
        self._users: Counter[str] = Counter()
        self._asking: dict[object, tuple[str, float]] = {}
        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    @property
    def placements(self) -> dict[str, str]:
        """Each model that is in memory: how it lies there, and why, in sentences."""
        return {name: loaded.placement.why for name, loaded in self._kept.items()}

    @contextmanager
    def asking(self, model: Model) -> Iterator[Callable[[], Loaded]]:
        """For a picture that needs a model: gives what gets it, as `get`, to be called until it is there."""
        key = object()
        self._asking[key] = model.name, time.monotonic()
        try:
            yield partial(self.get, model)
        finally:
            del self._asking[key]

    @contextmanager
    def using(self, model: Model) -> Iterator[None]:
        """Keep a model that is in memory, whatever else is loaded meanwhile."""
        self._users[model.name] += 1
        try:
            yield
        finally:
            self._users[model.name] -= 1

    def get(self, model: Model) -> Loaded:
        """The model, loaded if need be.

        Raises:
            ModelError: it cannot be loaded; the sentence says why.
            Busy: not as long as others are in use, or its former self is, of a file that was written anew; or others have waited for
                `PATIENCE` seconds for theirs.
        """
        first, since = next(iter(self._asking.values()), (model.name, 0.0))
        if first != model.name and time.monotonic() - since >= PATIENCE:
            raise Busy(FULL)
        if model.name in self._kept and self._kept[model.name].weights != weights_of(model.stamp):
            if self._users[model.name]:
                raise Busy("The model's file was written anew. Waiting for pictures that are being made with it as it was.")
            del self._kept[model.name]
            memory.release()
        if model.name not in self._kept:
            placed = self._room_for(model)
            self._loading(model.name)
            self._kept[model.name] = Loaded(model, self._device, placed, compiled=self._wishes.compile)
        self._kept.move_to_end(model.name)
        return self._kept[model.name]

    def drop(self, name: str) -> None:
        """Let a model go now.

        Raises:
            ModelError: pictures are being made with it.
        """
        if self._users[name]:
            raise ModelError(IN_USE, "model")
        if self._kept.pop(name, None) is not None:
            memory.release()

    def weigh(self, models: Iterable[Model]) -> dict[str, Need]:
        """How each model would lie in memory, if those that nobody uses were let go for it. Nothing is loaded, nothing let go."""
        idle = [loaded.pipe for loaded in self._idle()]
        room, host = (memory.free(place) + sum(held(pipe, place) for pipe in idle) for place in (self._device, CPU))
        return {model.name: weigh(model, self._device, room, host, self._wishes) for model in models}

    def _idle(self) -> list[Loaded]:
        return [loaded for name, loaded in self._kept.items() if not self._users[name]]

    def decoding(self, loaded: Loaded, vae: Model | None) -> AbstractContextManager[Decoding]:
        """Keep an autoencoder in memory beside a model that is there; `None` is the model's own.

        Raises:
            ModelError: it cannot be loaded; the sentence says why.
        """
        return loaded.decoders.using(vae, partial(self._make_room, vae))

    def relieve(self, denoiser: Any) -> bool:
        """Memory has run out under this denoiser: fetch its layers one by one from now on. Whether that is something new."""
        for loaded in self._kept.values():
            if denoiser is loaded.denoiser and self._device.type == "cuda" and not loaded.placement.streamed:
                loaded.relieve(self._device)
                return True
        return False

    def _make_room(self, vae: Model | None, count: int) -> None:
        """Let go of what nobody uses until so many bytes are free: other autoencoders first, then models, least recently used first."""
        while (left := memory.free(self._device)) < count:
            if not self._drop_decoder() and not self._drop_model():
                raise ModelError(
                    f"There is no room for the VAE {vae.name if vae else ''}: it needs about {in_words(count)}, and {in_words(left)} "
                    "are free. Choose Automatic, or close other programs.",
                    "vae",
                )

    def _drop_decoder(self) -> bool:
        return any(loaded.decoders.drop() for loaded in self._kept.values())

    def _drop_model(self) -> bool:
        for name in [name for name in self._kept if not self._users[name]][:1]:
            del self._kept[name]
            memory.release()
            return True
        return False

    def _room_for(self, model: Model) -> Placement:
        """Let models go that nobody uses, least recently used first, until this one fits; how it is to lie there."""
        if not any(self._users.values()):
            # None goes for one that will not fit anyway.
            room, host = memory.free(self._device), memory.free(CPU)
            back = sum(loaded.takes for loaded in self._idle())
            placement.decide(model, self._device, room + back, host + back, self._wishes)
        while True:
            idle = self._idle()
            chosen, refused = None, None
            try:
                room, host = memory.free(self._device), memory.free(CPU)
                chosen = placement.decide(model, self._device, room, host, self._wishes)
            except ModelError as error:
                refused = error
            if len(self._kept) < KEPT and chosen is not None and (not idle or chosen.best):
                return chosen
            if (len(self._kept) < KEPT and self._drop_decoder()) or self._drop_model():
                continue
            if self._kept:
                raise Busy(FULL)
            assert refused is not None
            raise refused


def _open(model: Model, placed: Placement) -> Any:
    try:
        # Judged once more, and right here: the folder or file may be another one than that which was listed.
        if model.around is not None:
            pipe = open_lent(model.path, model.around, placed.dtype, placed.quantized)
        elif model.holds:
            pipe = open_alone(model.path, placed.dtype, placed.quantized)
        elif model.path.is_file():
            pipe = open_file(model.path, placed.dtype, without(getattr(diffusers, FAMILIES[model.family].pipelines[0])))
        else:
            pipe = open_folder(model.path, placed.dtype, placed.quantized)
        quantized.quantize(pipe, placed.quantized, placed.dtype)
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        raise ModelError(f"The model {model.name} cannot be loaded: {words}", "model") from error
    for words, encoder in (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")):
        window = getattr(getattr(getattr(pipe, encoder, None), "config", None), "max_position_embeddings", None)
        if window is not None and type(getattr(pipe, encoder)).__name__.startswith("CLIP"):
            # compel asks the tokenizer for the window; some tokenizers do not say it, or say more than the encoder takes.
            getattr(pipe, words).model_max_length = window
    return pipe
