"""Tensors of a denoiser from the names of its makers to those of diffusers, for the layouts whose converters in diffusers fix the sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

Cut = Callable[[int, Mapping[str, Any]], list[int]]
"""Rows of a tensor, and the configuration -> the rows of each of the tensors that it becomes."""


class Rename(NamedTuple):
    """Tensors of one kind."""

    pattern: str
    """A regular expression for the whole name."""
    to: tuple[str, ...]
    """What it becomes, with the groups of the pattern; several where it is cut, none where it is not used."""
    cut: Cut = lambda rows, _: [rows]
    swapped: bool = False
    """Whether shift and scale lie the other way round."""


def thirds(rows: int, _: Mapping[str, Any]) -> list[int]:
    """Queries, keys and values."""
    return [rows // 3] * 3


def attention_and_mlp(rows: int, config: Mapping[str, Any]) -> list[int]:
    """Queries, keys, values, and what goes into the feed-forward part beside them."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    return [width, width, width, rows - 3 * width]


DOUBLE = r"double_blocks\.(\d+)\."
SINGLE = r"single_blocks\.(\d+)\."
BLOCK, BLOCK_1 = r"transformer_blocks.\1.", r"single_transformer_blocks.\1."
QKV, ADDED = ("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj")

BLOCKS: tuple[Rename, ...] = (
    Rename(DOUBLE + r"img_attn\.qkv\.(weight|bias)", tuple(rf"{BLOCK}attn.{name}.\2" for name in QKV), thirds),
    Rename(DOUBLE + r"txt_attn\.qkv\.(weight|bias)", tuple(rf"{BLOCK}attn.{name}.\2" for name in ADDED), thirds),
    Rename(
        SINGLE + r"linear1\.(weight|bias)",
        (*(rf"{BLOCK_1}attn.{name}.\2" for name in QKV), rf"{BLOCK_1}proj_mlp.\2"),
        attention_and_mlp,
    ),
    *(
        Rename(DOUBLE + re.escape(old) + r"\.(?:scale|weight)", (rf"{BLOCK}attn.{new}.weight",))
        for old, new in {
            "img_attn.norm.query_norm": "norm_q", "img_attn.norm.key_norm": "norm_k",
            "txt_attn.norm.query_norm": "norm_added_q", "txt_attn.norm.key_norm": "norm_added_k",
        }.items()
    ),
    *(
        Rename(SINGLE + re.escape(old) + r"\.(?:scale|weight)", (rf"{BLOCK_1}attn.{new}.weight",))
        for old, new in {"norm.query_norm": "norm_q", "norm.key_norm": "norm_k"}.items()
    ),
    *(
        Rename(DOUBLE + re.escape(old) + r"\.(weight|bias)", (rf"{BLOCK}{new}.\2",))
        for old, new in {
            "img_mod.lin": "norm1.linear", "txt_mod.lin": "norm1_context.linear", "img_mlp.0": "ff.net.0.proj", "img_mlp.2": "ff.net.2",
            "txt_mlp.0": "ff_context.net.0.proj", "txt_mlp.2": "ff_context.net.2", "img_attn.proj": "attn.to_out.0",
            "txt_attn.proj": "attn.to_add_out",
        }.items()
    ),
    *(
        Rename(SINGLE + re.escape(old) + r"\.(weight|bias)", (rf"{BLOCK_1}{new}.\2",))
        for old, new in {"modulation.lin": "norm.linear", "linear2": "proj_out"}.items()
    ),
    *(
        Rename(re.escape(old) + r"\.(weight|bias)", (rf"{new}.\1",))
        for old, new in {"img_in": "x_embedder", "txt_in": "context_embedder", "final_layer.linear": "proj_out"}.items()
    ),
)  # fmt: skip
"""What FLUX.1 and Chroma have in common."""

EMBEDDERS = {"time_in": "timestep_embedder", "vector_in": "text_embedder", "guidance_in": "guidance_embedder"}
LAYERS = {"in_layer": "linear_1", "out_layer": "linear_2"}

FLUX1: tuple[Rename, ...] = (
    *BLOCKS,
    *(
        Rename(rf"{old}\.{layer}\.(weight|bias)", (rf"time_text_embed.{new}.{linear}.\1",))
        for old, new in EMBEDDERS.items()
        for layer, linear in LAYERS.items()
    ),
    Rename(r"final_layer\.adaLN_modulation\.1\.(weight|bias)", (r"norm_out.linear.\1",), swapped=True),
)

CHROMA: tuple[Rename, ...] = (
    *BLOCKS,
    *(
        Rename(rf"distilled_guidance_layer\.layers\.(\d+)\.{layer}\.(weight|bias)", (rf"distilled_guidance_layer.layers.\1.{linear}.\2",))
        for layer, linear in LAYERS.items()
    ),
    Rename(r"distilled_guidance_layer\.norms\.(\d+)\.scale", (r"distilled_guidance_layer.norms.\1.weight",)),
)


def grouped(rows: int, config: Mapping[str, Any]) -> list[int]:
    """Queries, and the keys and values that several of them share."""
    width = config["hidden_size"]
    return [width, (rows - width) // 2, (rows - width) // 2]


PLACE = r"((?:layers|noise_refiner|context_refiner)\.\d+)\."

LUMINA2: tuple[Rename, ...] = (
    Rename(PLACE + r"attention\.qkv\.weight", tuple(rf"\1.attn.{name}.weight" for name in QKV), grouped),
    # The blocks that refine the text have no modulation, and their first norm no other name.
    Rename(r"(context_refiner\.\d+)\.attention_norm1\.weight", (r"\1.norm1.weight",)),
    *(
        Rename(PLACE + re.escape(old) + r"\.(weight|bias)", (rf"\1.{new}.\2",))
        for old, new in {
            "attention.out": "attn.to_out.0", "attention.q_norm": "attn.norm_q", "attention.k_norm": "attn.norm_k",
            "attention_norm1": "norm1.norm", "attention_norm2": "norm2", "adaLN_modulation.1": "norm1.linear",
            "feed_forward.w1": "feed_forward.linear_1", "feed_forward.w2": "feed_forward.linear_2",
            "feed_forward.w3": "feed_forward.linear_3",
        }.items()
    ),
    *(
        Rename(re.escape(old) + r"\.(weight|bias)", (rf"{new}.\1",))
        for old, new in {
            "t_embedder.mlp.0": "time_caption_embed.timestep_embedder.linear_1",
            "t_embedder.mlp.2": "time_caption_embed.timestep_embedder.linear_2", "cap_embedder.0": "time_caption_embed.caption_embedder.0",
            "cap_embedder.1": "time_caption_embed.caption_embedder.1", "final_layer.linear": "norm_out.linear_2",
            "final_layer.adaLN_modulation.1": "norm_out.linear_1",
        }.items()
    ),
    Rename(r"norm_final\.weight", ()),
)  # fmt: skip

RENAMES: Mapping[str, tuple[Rename, ...]] = {
    "FluxTransformer2DModel": FLUX1, "ChromaTransformer2DModel": CHROMA, "Lumina2Transformer2DModel": LUMINA2,
}  # fmt: skip
"""Class of diffusers -> its makers' layout."""


def renamed(tensors: Mapping[str, Tensor], table: tuple[Rename, ...], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors by the names of diffusers. What the table does not know keeps its name."""
    compiled = [(re.compile(one.pattern), one) for one in table]
    made: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        found, one = next(((match, one) for pattern, one in compiled if (match := pattern.fullmatch(name))), (None, None))
        if found is None or one is None:
            made[name] = tensor
        elif not one.to:
            continue
        elif one.swapped:
            made[found.expand(one.to[0])] = torch.cat([*reversed(tensor.chunk(2))])
        else:
            parts = torch.split(tensor, one.cut(len(tensor), config)) if len(one.to) > 1 else (tensor,)
            made |= {found.expand(to): part for to, part in zip(one.to, parts, strict=True)}
    return made
