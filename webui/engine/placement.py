"""Where a model's parts lie and in which type: decided from measured memory, said in a sentence, carried out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

import torch
from diffusers.hooks.group_offloading import apply_group_offloading
from torch import Tensor

from webui.engine.catalogue import Model
from webui.engine.memory import BYTES, TILE, decoding, exhausted, free, large_parts, needed, quantizable, release, stored
from webui.errors import ModelError
from webui.settings import Wishes
from webui.sizes import in_words

LARGE = 1_500_000_000
"""Parameters from which on a model is loaded in bfloat16 on an accelerator: in float32 it would be slow there, and seldom fit."""

NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}

IN_TILES = "Large pictures are decoded in tiles"
IN_LAYERS = "The layers of its large parts lie in main memory until they are needed, which is slower"


IN_EIGHT = "The matrices of its {} are kept in 8 bits"
COST = (
    "Its pictures differ a little, by less than between float32 and bfloat16, and a step takes longer: as measured on a processor, by a "
    "third at 256 x 256 pixels, by less for larger ones."
)
"""`tests/bench/engine_quantized.py`."""
PACKED = "Its denoiser stays packed as its file has it: each matrix is unpacked when it is used, in every step anew, which takes time."


class Placement(NamedTuple):
    """How one model lies in memory.

    Slicing is no choice here: it decodes the pictures of a batch one by one, and each job decodes its own. Neither is offloading whole
    parts: with jobs that interleave, each that joins or ends would move the denoiser out and in again.
    """

    dtype: torch.dtype
    tiled: bool
    """Pictures of more than `TILE` pixels a side are decoded in tiles."""
    streamed: bool
    """The layers of the large parts are fetched from main memory one by one."""
    best: bool
    """Whether more memory would change nothing."""
    why: str
    """All of that for people, in sentences."""
    quantized: tuple[str, ...] = ()
    """Parts whose matrices lie there in 8 bits."""
    compiled: bool = False
    """The blocks of its denoiser are compiled."""

    @property
    def numbers(self) -> str:
        """Of what type the numbers are: another one gives a slightly different picture."""
        return NAMES[self.dtype] + (", int8 weights" if self.quantized else "") + (", compiled" if self.compiled else "")


def preferred(model: Model, device: torch.device) -> torch.dtype:
    """Where memory allows: float32, in which a seed gives the same picture everywhere, unless the model is large."""
    large = sum(model.parameters.values()) >= LARGE and device.type != "cpu"
    return torch.bfloat16 if large else torch.float32


def decide(model: Model, device: torch.device, room: int, host: int, wishes: Wishes) -> Placement:
    """The first that fits of: as is preferred; decoding in tiles; bfloat16; layers fetched one by one, which only CUDA does well.

    8 bits are never chosen, as they change pictures; where they alone would help, the refusal says so.

    Args:
        room: free bytes of the device.
        host: free bytes of main memory.

    Raises:
        ModelError: it does not fit at all.
    """
    kinds = {NAMES[kind]: kind for kind in BYTES}
    types = list(dict.fromkeys((preferred(model, device), torch.bfloat16))) if wishes.dtype == "auto" else [kinds[wishes.dtype]]
    tiles = {"auto": (False, True), "on": (True,), "off": (False,)}[wishes.tiling]
    streams = {"auto": (False, True), "none": (False,), "group": (True,)}[wishes.offload] if device.type == "cuda" else (False,)
    small = quantizable(model) if wishes.quantize == "int8" else ()
    choices = [(kind, tiled, streamed) for streamed, kind, tiled in product(streams, types, tiles)]
    for number, (kind, tiled, streamed) in enumerate(choices):
        least, left, where = needed(model, kind, device, tiled=tiled, streamed=streamed, quantized=bool(small)), room, "memory"
        if streamed and least <= room:
            least = sum(stored(model, part, kind, quantized=bool(small)) for part in large_parts(model))
            left, where = host, "main memory"
        if least <= left:
            why = _why(model, device, room, types[0], kind, tiled, streamed, wishes)
            return Placement(kind, tiled, streamed, not number, why, small)
    asked = f" as it was asked for ({_asked(wishes)})" if _asked(wishes) else ""
    raise ModelError(
        f"The model {model.name} cannot be loaded{asked}: it needs about {in_words(least)} of {where}, and {in_words(left)} are free. "
        f"Close other programs{_hint(model, device, room, host, wishes)}, or choose a smaller model.",
        "model",
    )


def takes(model: Model, placed: Placement, device: torch.device) -> int:
    """Bytes of the device that the model takes as it is placed there, with a picture of its usual size."""
    small = bool(placed.quantized)
    return needed(model, placed.dtype, device, tiled=placed.tiled, streamed=placed.streamed, quantized=small)


def _hint(model: Model, device: torch.device, room: int, host: int, wishes: Wishes) -> str:
    """What else may help: 8 bits, if it would fit with them."""
    if wishes.quantize == "int8" or not quantizable(model):
        return ""
    try:
        decide(model, device, room, host, wishes.model_copy(update={"quantize": "int8"}))
    except ModelError:
        return ""
    return ", start the studio with --quantize int8, with which it fits"


def place(pipe: Any, placement: Placement, model: Model, device: torch.device) -> None:
    """Put an opened pipeline where it belongs."""
    if placement.streamed:
        for name, part in pipe.components.items():
            if isinstance(part, torch.nn.Module):
                stream(part, device) if name in large_parts(model) else part.to(device)
    else:
        pipe.to(device)
    if placement.tiled:
        tile(pipe.vae)


def stream(part: torch.nn.Module, device: torch.device) -> None:
    """Fetch the part's layers from main memory one by one from now on.

    Not ahead of time (`use_stream`), which would hide half of the wait: diffusers notes the order of the layers in the first forward and
    keeps to it, and LoRAs that act in one forward and not in the next one are layers that come and go.
    """
    apply_group_offloading(part, device, torch.device("cpu"), "leaf_level")


def tile(vae: Any) -> None:
    """Decode in tiles from now on what is larger than one; not every autoencoder can."""
    if not hasattr(vae, "use_tiling"):
        return
    vae.enable_tiling()
    if hasattr(vae, "tile_sample_min_size"):  # others have smaller ones anyway
        vae.tile_sample_min_size = min(vae.tile_sample_min_size, TILE)
        vae.tile_latent_min_size = vae.tile_sample_min_size // scale(vae)


def decode(vae: Any, latents: Tensor) -> Tensor:
    """The autoencoder's picture: whole, or in tiles where that takes more memory than there is.

    Args:
        latents: (n, channels, height, width), for an autoencoder of films (n, channels, 1, height, width).
    """
    if latents.device.type == "cpu" and latents.ndim == 4 and isinstance(vae, torch.nn.Module):  # not for films
        # Decoding is 1.7 times as fast. Not when the model is loaded: turning the weights over takes a tenth as long as that, once.
        vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    can = hasattr(vae, "use_tiling") and not vae.use_tiling
    if not can or _whole(vae, latents) <= free(latents.device):
        try:
            return vae.decode(latents, return_dict=False)[0]  # type: ignore[no-any-return]
        except Exception as error:
            if not can or not exhausted(error):
                raise
        # Outside of the handler, whose error holds on to what decoding had taken.
        release()
    with _tiled(vae):
        return vae.decode(latents, return_dict=False)[0]  # type: ignore[no-any-return]


def _whole(vae: Any, latents: Tensor) -> int:
    """Bytes that decoding these takes."""
    height, width = (side * scale(vae) for side in latents.shape[-2:])
    return decoding(width, height, latents.element_size())


@contextmanager
def _tiled(vae: Any) -> Iterator[None]:
    tile(vae)
    try:
        yield
    finally:
        vae.disable_tiling()


def scale(vae: Any) -> int:
    """Pixels that an autoencoder makes of each latent, along one side."""
    return int(getattr(vae, "spatial_compression_ratio", None) or 2 ** (len(vae.config.block_out_channels) - 1))


def _why(
    model: Model, device: torch.device, room: int, first: torch.dtype, kind: torch.dtype, tiled: bool, streamed: bool, wishes: Wishes
) -> str:
    small = quantizable(model) if wishes.quantize == "int8" else ()

    def about(kind: torch.dtype, *, quantized: bool = bool(small), **how: bool) -> str:
        return f"about {in_words(needed(model, kind, device, quantized=quantized, **how))}"

    asked, since = "as it was asked for", ""
    if wishes.dtype != "auto":
        since = f", {asked}"
    elif kind != first:
        since = f", half of float32, which would need {about(first)}"
    elif kind == torch.bfloat16:
        since = ", as is usual for models of its size"
    said = [f"{NAMES[kind]}{since}: it needs {about(kind, tiled=tiled, streamed=streamed)}, and {in_words(room)} were free."]
    if tiled:
        said.append(f"{IN_TILES}, {asked if wishes.tiling == 'on' else 'since a whole one would not fit beside the model'}.")
    if small:
        instead = about(kind, tiled=tiled, streamed=streamed, quantized=False)
        said.append(f"{IN_EIGHT.format(_listed(small))}, {asked}, without which it would need {instead}. {COST}")
    elif wishes.quantize == "int8":
        said.append("It keeps its weights as they are, although 8 bits were asked for: no part is so large that much would be saved.")
    if model.packed:
        said.append(PACKED)
    if streamed:
        said.append(f"{IN_LAYERS}, {asked if wishes.offload == 'group' else f'since all of it at once would need {about(kind)}'}.")
    if wishes.offload == "group" and device.type != "cuda":
        said.append("Its layers stay where they are, although it was asked otherwise: fetching them one by one is for CUDA.")
    return " ".join(said)


def _asked(wishes: Wishes) -> str:
    usual = Wishes(compile=wishes.compile)  # which takes no memory
    return ", ".join(f"--{name} {value}" for name, value in wishes if value != getattr(usual, name))


def _listed(parts: tuple[str, ...]) -> str:
    """Parts as a person would call them."""
    encoders = sum(part.startswith("text_encoder") for part in parts)
    words = ["text encoders"] if encoders > 1 else ["text encoder"] if encoders else []
    return " and ".join([*(["denoiser"] if encoders < len(parts) else []), *words])
