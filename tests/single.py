"""Writes checkpoints in a single file, as Stable Diffusion's own code names their tensors: a pipeline of diffusers, renamed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}  # fmt: skip
ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2", "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip


def write_checkpoint(file: Path, pipe: Any, **extra: Tensor) -> Path:
    """The pipeline's weights in one file; `extra` tensors are added as they are."""
    if hasattr(pipe, "text_encoder_2"):
        texts = _clip(pipe.text_encoder, "conditioner.embedders.0.transformer.") | _open_clip(
            pipe.text_encoder_2, "conditioner.embedders.1.model."
        )
    elif pipe.unet.config.cross_attention_dim == 1024:
        texts = _open_clip(pipe.text_encoder, "cond_stage_model.model.")
    else:
        texts = _clip(pipe.text_encoder, "cond_stage_model.transformer.")
    save_file({key: value.contiguous().clone() for key, value in (renamed(pipe.unet, pipe.vae) | texts | extra).items()}, file)
    return file


def renamed(unet: Any, vae: Any) -> dict[str, Tensor]:
    """The tensors of a U-Net and an autoencoder by the names that they have in a checkpoint."""
    return {f"model.diffusion_model.{_unet(key, unet.config)}": value for key, value in unet.state_dict().items()} | renamed_vae(vae)


def write_vae(file: Path, vae: Any) -> Path:
    """An autoencoder in a file of its own, as most are shared."""
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {key.removeprefix("first_stage_model."): value for key, value in renamed_vae(vae).items()}
    save_file({key: value.contiguous().clone() for key, value in state.items()}, file)
    return file


def renamed_vae(vae: Any) -> dict[str, Tensor]:
    """The tensors of an autoencoder by the names that they have in a checkpoint."""
    tensors = {}
    for key, value in vae.state_dict().items():
        linear = "attentions" in key and key.endswith("weight") and value.ndim == 2
        tensors[f"first_stage_model.{_vae(key, vae.config)}"] = value[:, :, None, None] if linear else value
    return tensors


def write_configs(folder: Path, pipe: Any) -> Path:
    """The configurations of the pipeline alone, as ours lie in `data/`."""
    pipe.save_pretrained(folder)
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _renamed(key: str, names: Mapping[str, str]) -> str:
    """The first name that the key holds, replaced."""
    for old, new in names.items():
        if re.search(rf"(^|\.){re.escape(old)}(\.|$)", key):
            return key.replace(old, new, 1)
    return key


def _unet(key: str, config: Any) -> str:
    per = config.layers_per_block + 1
    if found := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", key):
        side, block, kind, number, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        if kind == "downsamplers":
            return f"input_blocks.{(block + 1) * per}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            place = 2 if "CrossAttn" in config.up_block_types[block] else 1
            return f"output_blocks.{(block + 1) * per - 1}.{place}.{rest}"
        place = block * per + number + (1 if side == "down" else 0)
        inner = _renamed(rest, RESNET) if kind == "resnets" else rest
        return f"{'input' if side == 'down' else 'output'}_blocks.{place}.{0 if kind == 'resnets' else 1}.{inner}"
    key = _renamed(key, ENDS)
    return _renamed(key, RESNET) if key.startswith(("middle_block.0", "middle_block.2")) else key


def _vae(key: str, config: Any) -> str:
    key = key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", key)
    if "mid_block.attentions.0" in key:
        return _renamed(key.replace("mid_block.attentions.0", "mid.attn_1"), ATTENTION)
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    last = len(config.block_out_channels) - 1
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda found: f"up.{last - int(found[1])}.block", key)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{last - int(found[1])}.upsample", key)


def _clip(encoder: Any, prefix: str) -> dict[str, Tensor]:
    """As Hugging Face's library named it when the format was made."""
    return {f"{prefix}text_model.{key.removeprefix('text_model.')}": value for key, value in encoder.state_dict().items()}


def _open_clip(encoder: Any, prefix: str) -> dict[str, Tensor]:
    """As OpenCLIP names it: queries, keys and values in one matrix, and the projection lying down."""
    state = {key.removeprefix("text_model."): value for key, value in encoder.state_dict().items()}
    found = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].T
        if "text_projection.weight" in state
        else torch.eye(encoder.config.hidden_size),
    }
    for key, value in state.items():
        if layer := re.match(r"encoder\.layers\.(\d+)\.(.*)", key):
            if layer[2].startswith("self_attn.q_proj"):
                parts = [state[key.replace("q_proj", name)] for name in ("q_proj", "k_proj", "v_proj")]
                found[f"transformer.resblocks.{layer[1]}.attn.in_proj_{layer[2].rpartition('.')[2]}"] = torch.cat(parts)
            elif not re.match(r"self_attn\.[kv]_proj", layer[2]):
                found[f"transformer.resblocks.{layer[1]}.{_renamed(layer[2], OPEN_CLIP)}"] = value
    return {prefix + key: value for key, value in found.items()}
