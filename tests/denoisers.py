"""Writes denoisers in a single file, as their makers name their tensors: a transformer of diffusers, renamed.

From the facts of each layout, written the other way round than the studio reads them; `tests/engine/test_denoisers.py` holds them against
diffusers' own converters at the published sizes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

Names = Mapping[str, str]


def write_denoiser(file: Path, denoiser: Any, *, prefix: str = "", dtype: torch.dtype | None = None, **extra: Tensor) -> Path:
    """The weights in one file; `extra` tensors are added as they are."""
    tensors = {prefix + name: value.to(dtype or value.dtype) for name, value in original(denoiser).items()}
    save_file({name: value.contiguous().clone() for name, value in (tensors | extra).items()}, file)
    return file


def original(denoiser: Any) -> dict[str, Tensor]:
    """The tensors as their makers name and join them."""
    return WRITERS[type(denoiser).__name__](dict(denoiser.state_dict()))


def _joined(state: dict[str, Tensor], pattern: str, names: tuple[str, ...], to: str) -> None:
    """Several tensors under each other become one: `pattern` has {} where their names stand, and one group for the block."""
    first = pattern.format(re.escape(names[0]))
    for key in [key for key in state if re.fullmatch(first, key)]:
        found = re.fullmatch(first, key)
        assert found
        parts = [state.pop(key.replace(f".{names[0]}.", f".{name}.")) for name in names]
        state[found.expand(to)] = torch.cat(parts)


def _renamed(state: dict[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Beginnings or middles of names, the first that fits."""
    made = {}
    for key, value in state.items():
        name = key
        for pattern, to in names.items():
            name, changed = re.subn(pattern, to, key)
            if changed:
                break
        made[name] = value
    return made


def _swapped(state: dict[str, Tensor], *names: str) -> None:
    """Shift before scale."""
    for name in names:
        for key in (f"{name}.weight", f"{name}.bias"):
            if key in state:
                state[key] = torch.cat(state[key].chunk(2)[::-1])


DOUBLE, SINGLE = r"^transformer_blocks\.(\d+)\.", r"^single_transformer_blocks\.(\d+)\."
STREAMS: Names = {
    DOUBLE + "norm1.linear": r"double_blocks.\1.img_mod.lin", DOUBLE + "norm1_context.linear": r"double_blocks.\1.txt_mod.lin",
    DOUBLE + r"attn.norm_q.weight": r"double_blocks.\1.img_attn.norm.query_norm.scale",
    DOUBLE + r"attn.norm_k.weight": r"double_blocks.\1.img_attn.norm.key_norm.scale",
    DOUBLE + r"attn.norm_added_q.weight": r"double_blocks.\1.txt_attn.norm.query_norm.scale",
    DOUBLE + r"attn.norm_added_k.weight": r"double_blocks.\1.txt_attn.norm.key_norm.scale",
    DOUBLE + r"ff\.net\.0\.proj": r"double_blocks.\1.img_mlp.0", DOUBLE + r"ff\.net\.2": r"double_blocks.\1.img_mlp.2",
    DOUBLE + r"ff_context\.net\.0\.proj": r"double_blocks.\1.txt_mlp.0", DOUBLE + r"ff_context\.net\.2": r"double_blocks.\1.txt_mlp.2",
    DOUBLE + r"attn\.to_out\.0": r"double_blocks.\1.img_attn.proj", DOUBLE + r"attn\.to_add_out": r"double_blocks.\1.txt_attn.proj",
    SINGLE + r"norm\.linear": r"single_blocks.\1.modulation.lin", SINGLE + r"proj_out": r"single_blocks.\1.linear2",
    SINGLE + r"attn.norm_q.weight": r"single_blocks.\1.norm.query_norm.scale",
    SINGLE + r"attn.norm_k.weight": r"single_blocks.\1.norm.key_norm.scale",
    "^time_text_embed.timestep_embedder.linear_1": "time_in.in_layer", "^time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "^time_text_embed.text_embedder.linear_1": "vector_in.in_layer", "^time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "^time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "^time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "^x_embedder": "img_in", "^context_embedder": "txt_in", "^proj_out": "final_layer.linear",
    "^norm_out.linear": "final_layer.adaLN_modulation.1",
}  # fmt: skip


def _flux(state: dict[str, Tensor]) -> dict[str, Tensor]:
    _joined(state, DOUBLE + r"attn\.{}\.(\w+)", ("to_q", "to_k", "to_v"), r"double_blocks.\1.img_attn.qkv.\2")
    _joined(state, DOUBLE + r"attn\.{}\.(\w+)", ("add_q_proj", "add_k_proj", "add_v_proj"), r"double_blocks.\1.txt_attn.qkv.\2")
    for key in [key for key in state if re.fullmatch(SINGLE + r"proj_mlp\.\w+", key)]:
        state[key.replace("proj_mlp", "attn.proj_mlp")] = state.pop(key)
    _joined(state, SINGLE + r"attn\.{}\.(\w+)", ("to_q", "to_k", "to_v", "proj_mlp"), r"single_blocks.\1.linear1.\2")
    _swapped(state, "norm_out.linear")
    return _renamed(state, STREAMS)


WRITERS: Mapping[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {"FluxTransformer2DModel": _flux}
