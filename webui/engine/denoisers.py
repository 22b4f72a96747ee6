"""Files that hold a denoiser alone, or with some of its pipeline's parts: how each kind is recognised, and what its shapes say. A literal
table of what is in the world; knows nothing of torch.

The layouts are those of the models' makers, as ComfyUI shares them too; FLUX.1's, Stable Diffusion 3's and so on differ in nearly every
name from those of diffusers. A file in the layout of diffusers itself is recognised where both are the same (Qwen-Image, HiDream).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isqrt
from typing import Any, NamedTuple

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor -> its shape, by the names that it has in its maker's layout."""

Config = Mapping[str, Any]
Measure = Callable[[Shapes, Config], Any]
"""Reads an entry of the configuration from the shapes; what was read before it is in the second argument."""

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "net.")
"""Before the names of a denoiser's tensors in files of ComfyUI and of training programs."""

HELD: Mapping[str, str] = {"vae": "vae.", "first_stage_model": "first_stage_model.", "text_encoders": "text_encoders."}
"""What files hold beside a denoiser: the beginning of its tensors' names."""


class Denoiser(NamedTuple):
    """A kind of file."""

    keys: tuple[str, ...]
    """Tensors that every such file has."""
    config: Mapping[str, Measure]
    """Entries of the denoiser's configuration that are read from the shapes, in this order."""
    text: str
    """The entry that is the width of the text that it takes."""
    absent: tuple[str, ...] = ()
    """Tensors that no such file has: others of the same keys do."""
    word: str = ""
    """In the file's name, where nothing else tells it from others of the same shapes."""
    channels: tuple[str, str] = ("", "")
    """Of what goes in and what comes out, two tensors: the columns of the first are the rows of the second, unless it is for inpainting."""
    scheduler: Mapping[str, Any] = {}
    """What its scheduler has that the one of a folder of another family may not have."""
    pipeline: Mapping[str, Any] = {}
    """What its pipeline's own configuration has that the one of such a folder may not have."""


def rows(key: str) -> Measure:
    """First dimension of a tensor."""
    return lambda shapes, _: shapes[key][0]


def columns(key: str) -> Measure:
    """Second dimension."""
    return lambda shapes, _: shapes[key][1]


def count(beginning: str) -> Measure:
    """How many blocks there are: their numbers follow `beginning`."""
    return lambda shapes, _: len(_numbers(shapes, beginning, ""))


def numbers(beginning: str, end: str) -> Measure:
    """The numbers of the blocks that have something."""
    return lambda shapes, _: sorted(_numbers(shapes, beginning, end))


def has(key: str, yes: Any = True, no: Any = False) -> Measure:
    """Whether there is a tensor."""
    return lambda shapes, _: yes if key in shapes else no


def over(measure: Measure, entry: str | int) -> Measure:
    """Divided by a number, or by an entry that was read before."""
    return lambda shapes, config: measure(shapes, config) // (config[entry] if isinstance(entry, str) else entry)


def _numbers(shapes: Shapes, beginning: str, end: str) -> set[int]:
    pattern = re.compile(rf"{re.escape(beginning)}(\d+)\.{re.escape(end)}")
    return {int(found[1]) for key in shapes if (found := pattern.match(key))}


def measured(kind: Denoiser, shapes: Shapes, config: Config) -> dict[str, Any]:
    """The configuration of a file's denoiser: `config`, that of a folder of its family, with all that the file's own shapes say.

    Raises:
        KeyError, IndexError: a tensor is missing or has another shape than its kind has.
    """
    found = dict(config)
    for entry, measure in kind.config.items():
        found[entry] = measure(shapes, found)
    return found


def inner(shapes: Mapping[str, Any]) -> dict[str, str]:
    """The name that each of the denoiser's tensors has in its maker's layout -> the name that it has in the file."""
    prefix = next((prefix for prefix in PREFIXES if any(key.startswith(prefix) for key in shapes)), "")
    if prefix:
        return {key.removeprefix(prefix): key for key in shapes if key.startswith(prefix)}
    return {key: key for key in shapes if not key.startswith(tuple(HELD.values()))}


def _flux(guided: bool, scheduler: Mapping[str, Any]) -> Denoiser:
    """Black Forest Labs' first: schnell is told from dev by the layer that dev's guidance goes through."""
    guidance = "guidance_in.in_layer.weight"
    return Denoiser(
        ("double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight", "txt_in.weight", "vector_in.in_layer.weight")
        + ((guidance,) if guided else ()),
        {
            "num_layers": count("double_blocks."), "num_single_layers": count("single_blocks."), "guidance_embeds": has(guidance),
            "attention_head_dim": rows("double_blocks.0.img_attn.norm.key_norm.scale"),
            "num_attention_heads": over(rows("img_in.weight"), "attention_head_dim"), "in_channels": columns("img_in.weight"),
            "joint_attention_dim": columns("txt_in.weight"), "pooled_projection_dim": columns("vector_in.in_layer.weight"),
        },
        "joint_attention_dim", () if guided else (guidance,), channels=("img_in.weight", "final_layer.linear.weight"),
        scheduler=scheduler,
    )  # fmt: skip


DYNAMIC: Mapping[str, Any] = {
    "use_dynamic_shifting": True, "shift": 3.0, "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096,
}  # fmt: skip
"""More noise for larger pictures, as the makers of FLUX.1 have it."""

FLUX1 = _flux(True, DYNAMIC)
FLUX1_SCHNELL = _flux(False, {"use_dynamic_shifting": False, "shift": 1.0})

_ = isqrt
