"""What turns latents into pixels: a model's own autoencoder, or one that a request names, of which the last ones are kept.

Denoising knows nothing of it: requests of different autoencoders advance in shared batches all the same.
"""

from __future__ import annotations

import copy
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch

from webui.engine import memory, placement
from webui.engine.catalogue import Model
from webui.engine.placement import Placement
from webui.engine.preview import Preview
from webui.engine.safety import inspect_autoencoder
from webui.engine.single import spelled
from webui.engine.walk import weights_of
from webui.errors import ModelError

KEPT = 2
"""Autoencoders that stay in memory beside a model's own when nobody uses them."""


class Decoding(NamedTuple):
    """A pipeline with one autoencoder in its place."""

    pipe: Any
    preview: Preview


class _Opened(NamedTuple):
    vae: Any
    preview: Preview
    weights: str
    """Which state of the file or folder this is."""


class Decoders:
    """The autoencoders of one pipeline; each job has its own choice."""

    def __init__(self, pipe: Any, preview: Preview, placed: Placement, device: torch.device) -> None:
        self._pipe, self._placed, self._device = pipe, placed, device
        self._own = Decoding(pipe, preview)
        self._opened: OrderedDict[Path, _Opened] = OrderedDict()
        self._users: Counter[Path] = Counter()

    @contextmanager
    def using(self, vae: Model | None, make_room: Callable[[int], None]) -> Iterator[Decoding]:
        """Hold an autoencoder in memory; `None` is the model's own. `make_room` is asked for so many bytes before one is loaded.

        A file that was written anew is read anew, unless somebody is in the middle of a picture with what it was.

        Raises:
            ModelError: it is damaged, does not fit the model, or there is no room for it.
        """
        if vae is None:
            yield self._own
            return
        path = vae.path
        self._users[path] += 1
        try:
            if path in self._opened and self._users[path] == 1 and self._opened[path].weights != weights_of(vae.stamp):
                del self._opened[path]
            if path not in self._opened:
                make_room(memory.weighing(vae, self._placed.dtype, self._device))
                self._opened[path] = self._open(vae)
            self._opened.move_to_end(path)
            opened = self._opened[path]
            pipe = copy.copy(self._pipe)
            pipe.__dict__["vae"] = opened.vae  # a plain assignment would write it into the configuration that both share
            yield Decoding(pipe, opened.preview)
        finally:
            self._users[path] -= 1
            while len(self._idle()) > KEPT:
                self.drop()

    def drop(self) -> bool:
        """Let the one go that nobody has used for the longest time; whether there was one."""
        for path in self._idle()[:1]:
            del self._opened[path]
            memory.release()
            return True
        return False

    def _idle(self) -> list[Path]:
        return [path for path in self._opened if not self._users[path]]

    def _open(self, vae: Model) -> _Opened:
        try:
            opened = (_from_file if vae.path.is_file() else _from_folder)(vae.path, self._pipe.vae, self._placed.dtype)
        except Exception as error:
            words = " ".join(str(error).split())[:300]
            raise ModelError(f"The VAE {vae.name} cannot be loaded: {words}", "vae") from error
        opened.to(self._device)
        if self._placed.tiled:
            placement.tile(opened)
        return _Opened(opened, Preview(vae.path, opened), weights_of(vae.stamp))


def _from_file(file: Path, own: Any, dtype: torch.dtype) -> Any:
    """A file holds weights alone: they are read as the model's own are configured."""
    with tempfile.TemporaryDirectory() as folder, spelled(file) as path:
        own.save_config(folder)
        vae = type(own).from_single_file(str(path), config=folder, local_files_only=True, torch_dtype=dtype)
    if any(part.is_meta for part in vae.parameters()):
        raise ValueError("some of its weights are missing.")
    return vae


def _from_folder(folder: Path, own: Any, dtype: torch.dtype) -> Any:
    # Judged once more, and right here: the folder may be another one than that which was listed.
    part = inspect_autoencoder(folder)
    kind = getattr(diffusers, part.config["_class_name"])
    given = {"dtype": dtype, "variant": part.variant, "local_files_only": True, "use_safetensors": True}
    vae, said = kind.from_pretrained(folder, output_loading_info=True, **given)
    if said["missing_keys"]:
        raise ValueError(f"{len(said['missing_keys'])} of its weights are missing.")
    if placement.scale(vae) != placement.scale(own):
        raise ValueError(f"it makes {placement.scale(vae)} pixels of each latent, and the model's own {placement.scale(own)}.")
    return vae
