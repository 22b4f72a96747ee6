"""Writes denoisers in a single file, as their makers name their tensors: a transformer of diffusers, renamed.

From the facts of each layout, written the other way round than the studio reads them; `tests/engine/test_denoisers.py` holds them against
diffusers' own converters at the published sizes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.single import renamed_vae

Names = Mapping[str, str]

NOTHING: Mapping[str, Tensor] = MappingProxyType({})


def write_denoiser(
    file: Path, denoiser: Any, extra: Mapping[str, Tensor] = NOTHING, *, prefix: str = "", dtype: torch.dtype | None = None
) -> Path:
    """The weights in one file; `extra` tensors are added as they are."""
    tensors = {prefix + name: value.to(dtype or value.dtype) for name, value in original(denoiser).items()}
    save_file({name: value.contiguous().clone() for name, value in {**tensors, **extra}.items()}, file)
    return file


def write_all(file: Path, pipe: Any, *without: str) -> Path:
    """A pipeline's denoiser, autoencoder and text encoders in one file, as Stability AI and ComfyUI put them there."""
    names = {"CLIPTextModel": "clip_l", "T5EncoderModel": "t5xxl", "CLIPTextModelWithProjection": "clip_l"}
    tensors = {} if "vae" in without else renamed_vae(pipe.vae)
    for part in ("text_encoder", "text_encoder_2", "text_encoder_3"):
        encoder = getattr(pipe, part, None)
        if encoder is None or part in without:
            continue
        kind = type(encoder).__name__
        name = "clip_g" if kind == "CLIPTextModelWithProjection" and part == "text_encoder_2" else names[kind]
        for key, value in encoder.state_dict().items():
            inside = "" if kind == "T5EncoderModel" or key.startswith(("text_model.", "text_projection")) else "text_model."
            if (name, key) != ("clip_l", "text_projection.weight"):
                tensors[f"text_encoders.{name}.transformer.{inside}{key}"] = value
    return write_denoiser(file, pipe.transformer, tensors, prefix="model.diffusion_model.")


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


def _chroma(state: dict[str, Tensor]) -> dict[str, Tensor]:
    place = "distilled_guidance_layer."
    return _renamed(
        _flux(state),
        {
            rf"^{place}layers\.(\d+)\.linear_1": rf"{place}layers.\1.in_layer",
            rf"^{place}layers\.(\d+)\.linear_2": rf"{place}layers.\1.out_layer",
            rf"^{place}norms\.(\d+)\.weight": rf"{place}norms.\1.scale",
        },
    )  # fmt: skip


SHARED: Names = {
    DOUBLE + r"ff\.linear_in": r"double_blocks.\1.img_mlp.0", DOUBLE + r"ff\.linear_out": r"double_blocks.\1.img_mlp.2",
    DOUBLE + r"ff_context\.linear_in": r"double_blocks.\1.txt_mlp.0", DOUBLE + r"ff_context\.linear_out": r"double_blocks.\1.txt_mlp.2",
    SINGLE + r"attn\.to_qkv_mlp_proj": r"single_blocks.\1.linear1", SINGLE + r"attn\.to_out": r"single_blocks.\1.linear2",
    r"^(double_stream_modulation_\w+|single_stream_modulation)\.linear": r"\1.lin",
    "^time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "^time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "^time_guidance_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "^time_guidance_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
}  # fmt: skip


def _flux2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    _joined(state, DOUBLE + r"attn\.{}\.(\w+)", ("to_q", "to_k", "to_v"), r"double_blocks.\1.img_attn.qkv.\2")
    _joined(state, DOUBLE + r"attn\.{}\.(\w+)", ("add_q_proj", "add_k_proj", "add_v_proj"), r"double_blocks.\1.txt_attn.qkv.\2")
    _swapped(state, "norm_out.linear")
    return _renamed(state, {**SHARED, **STREAMS})


JOINT: Names = {
    DOUBLE + r"attn\.norm_q": r"joint_blocks.\1.x_block.attn.ln_q", DOUBLE + r"attn\.norm_k": r"joint_blocks.\1.x_block.attn.ln_k",
    DOUBLE + r"attn\.norm_added_q": r"joint_blocks.\1.context_block.attn.ln_q",
    DOUBLE + r"attn\.norm_added_k": r"joint_blocks.\1.context_block.attn.ln_k",
    DOUBLE + r"attn2\.norm_q": r"joint_blocks.\1.x_block.attn2.ln_q", DOUBLE + r"attn2\.norm_k": r"joint_blocks.\1.x_block.attn2.ln_k",
    DOUBLE + r"attn\.to_out\.0": r"joint_blocks.\1.x_block.attn.proj", DOUBLE + r"attn2\.to_out\.0": r"joint_blocks.\1.x_block.attn2.proj",
    DOUBLE + r"attn\.to_add_out": r"joint_blocks.\1.context_block.attn.proj",
    DOUBLE + r"norm1\.linear": r"joint_blocks.\1.x_block.adaLN_modulation.1",
    DOUBLE + r"norm1_context\.linear": r"joint_blocks.\1.context_block.adaLN_modulation.1",
    DOUBLE + r"ff\.net\.0\.proj": r"joint_blocks.\1.x_block.mlp.fc1", DOUBLE + r"ff\.net\.2": r"joint_blocks.\1.x_block.mlp.fc2",
    DOUBLE + r"ff_context\.net\.0\.proj": r"joint_blocks.\1.context_block.mlp.fc1",
    DOUBLE + r"ff_context\.net\.2": r"joint_blocks.\1.context_block.mlp.fc2",
    r"^pos_embed\.pos_embed": "pos_embed", r"^pos_embed\.proj": "x_embedder.proj",
    "^time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0", "^time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "^time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0", "^time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "^proj_out": "final_layer.linear", "^norm_out.linear": "final_layer.adaLN_modulation.1",
}  # fmt: skip


def _sd3(state: dict[str, Tensor]) -> dict[str, Tensor]:
    last = max(int(key.split(".")[1]) for key in state if key.startswith("transformer_blocks."))
    for attention, names, to in (
        ("attn", ("to_q", "to_k", "to_v"), "x_block.attn"), ("attn2", ("to_q", "to_k", "to_v"), "x_block.attn2"),
        ("attn", ("add_q_proj", "add_k_proj", "add_v_proj"), "context_block.attn"),
    ):  # fmt: skip
        _joined(state, DOUBLE + attention + r"\.{}\.(\w+)", names, rf"joint_blocks.\1.{to}.qkv.\2")
    # The last block's text goes nowhere, and its modulation lies as that of the output does.
    _swapped(state, "norm_out.linear", f"transformer_blocks.{last}.norm1_context.linear")
    return _renamed(state, JOINT)


def _z_image(state: dict[str, Tensor]) -> dict[str, Tensor]:
    _joined(state, r"^(\w+\.\d+)\.attention\.{}\.(\w+)", ("to_q", "to_k", "to_v"), r"\1.attention.qkv.\2")
    return _renamed(
        state,
        {
            r"^all_final_layer\.2-1": "final_layer", r"^all_x_embedder\.2-1": "x_embedder", r"attention\.to_out\.0": "attention.out",
            r"attention\.norm_q": "attention.q_norm", r"attention\.norm_k": "attention.k_norm",
        },
    )  # fmt: skip


def _lumina(state: dict[str, Tensor]) -> dict[str, Tensor]:
    _joined(state, r"^(\w+\.\d+)\.attn\.{}\.(\w+)", ("to_q", "to_k", "to_v"), r"\1.attention.qkv.\2")
    return _renamed(
        state,
        {
            r"attn\.to_out\.0": "attention.out", r"attn\.norm_q": "attention.q_norm", r"attn\.norm_k": "attention.k_norm",
            r"^(context_refiner\.\d+)\.norm1\.weight": r"\1.attention_norm1.weight", r"norm1\.norm": "attention_norm1",
            r"norm1\.linear": "adaLN_modulation.1", r"^(\w+\.\d+)\.norm2": r"\1.attention_norm2",
            r"feed_forward\.linear_": "feed_forward.w",
            r"^time_caption_embed\.caption_embedder": "cap_embedder",
            r"^time_caption_embed\.timestep_embedder\.linear_1": "t_embedder.mlp.0",
            r"^time_caption_embed\.timestep_embedder\.linear_2": "t_embedder.mlp.2", r"^norm_out\.linear_2": "final_layer.linear",
            r"^norm_out\.linear_1": "final_layer.adaLN_modulation.1",
        },
    ) | {"norm_final.weight": torch.ones(16)}  # fmt: skip


def _aura(state: dict[str, Tensor]) -> dict[str, Tensor]:
    _swapped(state, "norm_out.linear")
    both = {"linear_1": "c_fc1", "linear_2": "c_fc2", "out_projection": "c_proj"}
    double, single = r"^joint_transformer_blocks\.(\d+)\.", SINGLE
    mine = {"to_q": "q", "to_k": "k", "to_v": "v", r"to_out\.0": "o"}
    added = {"add_q_proj": "q", "add_k_proj": "k", "add_v_proj": "v", "to_add_out": "o"}
    names = {
        "^time_step_proj.linear_1": "t_embedder.mlp.0", "^time_step_proj.linear_2": "t_embedder.mlp.2",
        "^context_embedder": "cond_seq_linear",
        "^proj_out": "final_linear", "^norm_out.linear": "modF.1", r"^pos_embed\.pos_embed": "positional_encoding",
        r"^pos_embed\.proj": "init_x_linear", double + r"norm1\.linear": r"double_layers.\1.modX.1",
        double + r"norm1_context\.linear": r"double_layers.\1.modC.1", single + r"norm1\.linear": r"single_layers.\1.modCX.1",
    }  # fmt: skip
    names |= {double + rf"ff\.{old}": rf"double_layers.\1.mlpX.{new}" for old, new in both.items()}
    names |= {double + rf"ff_context\.{old}": rf"double_layers.\1.mlpC.{new}" for old, new in both.items()}
    names |= {single + rf"ff\.{old}": rf"single_layers.\1.mlp.{new}" for old, new in both.items()}
    names |= {double + rf"attn\.{old}": rf"double_layers.\1.attn.w2{new}" for old, new in mine.items()}
    names |= {double + rf"attn\.{old}": rf"double_layers.\1.attn.w1{new}" for old, new in added.items()}
    names |= {single + rf"attn\.{old}": rf"single_layers.\1.attn.w1{new}" for old, new in mine.items()}
    return _renamed(state, names)


def _sana(state: dict[str, Tensor]) -> dict[str, Tensor]:
    _joined(state, DOUBLE + r"attn1\.{}\.(\w+)", ("to_q", "to_k", "to_v"), r"blocks.\1.attn.qkv.\2")
    _joined(state, DOUBLE + r"attn2\.{}\.(\w+)", ("to_k", "to_v"), r"blocks.\1.cross_attn.kv_linear.\2")
    names = {
        "^patch_embed.proj": "x_embedder.proj", "^time_embed.emb.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "^time_embed.emb.timestep_embedder.linear_2": "t_embedder.mlp.2", "^time_embed.linear": "t_block.1",
        "^caption_projection.linear_1": "y_embedder.y_proj.fc1", "^caption_projection.linear_2": "y_embedder.y_proj.fc2",
        "^caption_norm": "attention_y_norm", DOUBLE + "scale_shift_table": r"blocks.\1.scale_shift_table",
        DOUBLE + r"attn1\.to_out\.0": r"blocks.\1.attn.proj", DOUBLE + r"attn2\.to_q": r"blocks.\1.cross_attn.q_linear",
        DOUBLE + r"attn2\.to_out\.0": r"blocks.\1.cross_attn.proj", DOUBLE + r"ff\.conv_inverted": r"blocks.\1.mlp.inverted_conv.conv",
        DOUBLE + r"ff\.conv_depth": r"blocks.\1.mlp.depth_conv.conv", DOUBLE + r"ff\.conv_point": r"blocks.\1.mlp.point_conv.conv",
        "^proj_out": "final_layer.linear", "^scale_shift_table": "final_layer.scale_shift_table",
    }  # fmt: skip
    return _renamed(state, names) | {"pos_embed": torch.zeros(1, 4, 16), "y_embedder.y_embedding": torch.zeros(300, 16)}


def _same(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Some makers name their tensors as diffusers does."""
    return state


WRITERS: Mapping[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "FluxTransformer2DModel": _flux, "ChromaTransformer2DModel": _chroma, "Flux2Transformer2DModel": _flux2, "SD3Transformer2DModel": _sd3,
    "ZImageTransformer2DModel": _z_image, "Lumina2Transformer2DModel": _lumina, "AuraFlowTransformer2DModel": _aura,
    "SanaTransformer2DModel": _sana, "QwenImageTransformer2DModel": _same, "HiDreamImageTransformer2DModel": _same,
}  # fmt: skip
