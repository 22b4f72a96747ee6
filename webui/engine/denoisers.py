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

PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "model.")
"""Before the names of a denoiser's tensors in files of ComfyUI and of training programs; the last is that of AuraFlow's makers."""

VAE, CLIP_L, CLIP_G, T5 = ("first_stage_model.", "vae."), ("text_encoders.clip_l.",), ("text_encoders.clip_g.",), ("text_encoders.t5xxl.",)
"""The beginnings of the names of what files hold beside a denoiser."""

BESIDE = ("first_stage_model.", "vae.", "text_encoders.", "cond_stage_model.", "conditioner.")


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
    unless: str = ""
    """Not in the file's name, for the same reason."""
    channels: tuple[str, str] = ("", "")
    """Of what goes in and what comes out, two tensors: the columns of the first are the rows of the second, unless it is for inpainting."""
    scheduler: Mapping[str, Any] = {}
    """What its scheduler has that the one of a folder of another family may not have."""
    held: Mapping[str, tuple[str, ...]] = {}
    """Parts of the pipeline that such a file may hold beside it, and are then opened from it -> the beginning of their tensors' names."""
    alone: tuple[str, ...] = ()
    """With these among them it needs no folder: what else there is can be done without, or comes with us."""
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


def over(measure: Measure, by: str | int | Measure) -> Measure:
    """Divided by a number, by an entry that was read before, or by what another measure reads."""

    def divided(shapes: Shapes, config: Config) -> int:
        value = config[by] if isinstance(by, str) else by if isinstance(by, int) else by(shapes, config)
        return int(measure(shapes, config) // value)

    return divided


def root(measure: Measure) -> Measure:
    """One side of a square."""
    return lambda shapes, config: isqrt(measure(shapes, config))


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
    return {key: key for key in shapes if not key.startswith(BESIDE)}


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
        scheduler=scheduler, held={"vae": VAE, "text_encoder": CLIP_L, "text_encoder_2": T5},
    )  # fmt: skip


DYNAMIC: Mapping[str, Any] = {
    "use_dynamic_shifting": True, "shift": 3.0, "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096,
}  # fmt: skip
"""More noise for larger pictures, as the makers of FLUX.1 have it."""

FLUX1 = _flux(True, DYNAMIC)
FLUX1_SCHNELL = _flux(False, {"use_dynamic_shifting": False, "shift": 1.0})

CHROMA = Denoiser(
    ("distilled_guidance_layer.in_proj.weight", "double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight", "txt_in.weight"),
    {
        "num_layers": count("double_blocks."), "num_single_layers": count("single_blocks."),
        "attention_head_dim": rows("double_blocks.0.img_attn.norm.key_norm.scale"),
        "num_attention_heads": over(rows("img_in.weight"), "attention_head_dim"), "in_channels": columns("img_in.weight"),
        "joint_attention_dim": columns("txt_in.weight"), "approximator_layers": count("distilled_guidance_layer.layers."),
        "approximator_num_channels": columns("distilled_guidance_layer.in_proj.weight"),
        "approximator_hidden_dim": rows("distilled_guidance_layer.in_proj.weight"),
    },
    "joint_attention_dim", channels=("img_in.weight", "final_layer.linear.weight"),
)  # fmt: skip
"""FLUX.1 schnell, retrained with its modulation in one small network."""


def _flux2(guided: bool, distilled: bool | None = None) -> Denoiser:
    """Their second: one modulation for all blocks. Only dev takes guidance; klein and klein base have the same shapes."""
    guidance = ("guidance_in.in_layer.weight",)
    return Denoiser(
        ("single_stream_modulation.lin.weight", "double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight", "txt_in.weight")
        + (guidance if guided else ()),
        {
            "num_layers": count("double_blocks."), "num_single_layers": count("single_blocks."), "guidance_embeds": has(guidance[0]),
            "attention_head_dim": rows("double_blocks.0.img_attn.norm.key_norm.scale"),
            "num_attention_heads": over(rows("img_in.weight"), "attention_head_dim"), "in_channels": columns("img_in.weight"),
            "joint_attention_dim": columns("txt_in.weight"), "timestep_guidance_channels": columns("time_in.in_layer.weight"),
            "mlp_ratio": over(columns("double_blocks.0.img_mlp.2.weight"), rows("img_in.weight")),
        },
        "joint_attention_dim", () if guided else guidance, channels=("img_in.weight", "final_layer.linear.weight"),
        word="base" if distilled is False else "", unless="base" if distilled else "",
        pipeline={} if distilled is None else {"is_distilled": distilled},
    )  # fmt: skip


FLUX2, FLUX2_KLEIN, FLUX2_KLEIN_BASE = _flux2(True), _flux2(False, True), _flux2(False, False)

SD3 = Denoiser(
    ("joint_blocks.0.x_block.attn.qkv.weight", "pos_embed", "x_embedder.proj.weight", "context_embedder.weight", "y_embedder.mlp.0.weight"),
    {
        "num_layers": count("joint_blocks."), "attention_head_dim": lambda shapes, config: (
            shapes.get("joint_blocks.0.x_block.attn.ln_q.weight") or (config["attention_head_dim"],))[0],
        "num_attention_heads": over(rows("x_embedder.proj.weight"), "attention_head_dim"), "in_channels": columns("x_embedder.proj.weight"),
        "out_channels": over(rows("final_layer.linear.weight"), 4), "joint_attention_dim": columns("context_embedder.weight"),
        "caption_projection_dim": rows("context_embedder.weight"), "pooled_projection_dim": columns("y_embedder.mlp.0.weight"),
        "pos_embed_max_size": root(columns("pos_embed")), "dual_attention_layers": numbers("joint_blocks.", "x_block.attn2.qkv.weight"),
        "qk_norm": has("joint_blocks.0.x_block.attn.ln_q.weight", "rms_norm", None),
    },
    "joint_attention_dim", held={"vae": VAE, "text_encoder": CLIP_L, "text_encoder_2": CLIP_G, "text_encoder_3": T5},
    alone=("vae", "text_encoder", "text_encoder_2"),
)  # fmt: skip
"""3 and 3.5: the latter has norms before its attention, 3.5 medium a second one in its first layers."""

QWEN = Denoiser(
    (
        "txt_norm.weight", "img_in.weight", "txt_in.weight", "transformer_blocks.0.attn.add_q_proj.weight",
        "transformer_blocks.0.attn.norm_q.weight",
    ),
    {
        "num_layers": count("transformer_blocks."), "attention_head_dim": rows("transformer_blocks.0.attn.norm_q.weight"),
        "num_attention_heads": over(rows("img_in.weight"), "attention_head_dim"), "in_channels": columns("img_in.weight"),
        "out_channels": over(rows("proj_out.weight"), 4), "joint_attention_dim": columns("txt_in.weight"),
    },
    "joint_attention_dim", ("time_text_embed.addition_t_embedding.weight",), channels=("img_in.weight", "proj_out.weight"),
)  # fmt: skip
"""Its makers' layout is that of diffusers."""

Z_IMAGE = Denoiser(
    ("layers.0.adaLN_modulation.0.weight", "cap_embedder.1.weight", "x_embedder.weight", "x_pad_token"),
    {
        "n_layers": count("layers."), "n_refiner_layers": count("noise_refiner."), "dim": rows("x_embedder.weight"),
        "n_heads": over(rows("x_embedder.weight"), rows("layers.0.attention.q_norm.weight")),
        "n_kv_heads": over(rows("x_embedder.weight"), rows("layers.0.attention.q_norm.weight")),
        "in_channels": over(columns("x_embedder.weight"), 4), "cap_feat_dim": columns("cap_embedder.1.weight"),
    },
    "cap_feat_dim", ("siglip_embedder.1.weight", "dec_net.cond_embed.weight"), channels=("x_embedder.weight", "final_layer.linear.weight"),
)  # fmt: skip

LUMINA2 = Denoiser(
    ("layers.0.adaLN_modulation.1.weight", "cap_embedder.1.weight", "x_embedder.weight", "layers.0.attention.qkv.weight"),
    {
        "num_layers": count("layers."), "num_refiner_layers": count("noise_refiner."), "hidden_size": rows("x_embedder.weight"),
        "num_attention_heads": over(rows("x_embedder.weight"), rows("layers.0.attention.q_norm.weight")),
        "num_kv_heads": lambda shapes, _: (shapes["layers.0.attention.qkv.weight"][0] - shapes["x_embedder.weight"][0])
        // (2 * shapes["layers.0.attention.q_norm.weight"][0]),
        "in_channels": over(columns("x_embedder.weight"), 4), "cap_feat_dim": columns("cap_embedder.1.weight"),
    },
    "cap_feat_dim", ("x_pad_token", "clip_text_pooled_proj.0.weight"), channels=("x_embedder.weight", "final_layer.linear.weight"),
)  # fmt: skip

AURAFLOW = Denoiser(
    ("cond_seq_linear.weight", "double_layers.0.attn.w1q.weight", "init_x_linear.weight", "positional_encoding"),
    {
        "num_mmdit_layers": count("double_layers."), "num_single_dit_layers": count("single_layers."),
        "joint_attention_dim": columns("cond_seq_linear.weight"), "caption_projection_dim": rows("cond_seq_linear.weight"),
        "num_attention_heads": over(rows("init_x_linear.weight"), "attention_head_dim"),
        "pos_embed_max_size": columns("positional_encoding"),
        "in_channels": over(columns("init_x_linear.weight"), 4),
    },
    "joint_attention_dim", channels=("init_x_linear.weight", "final_linear.weight"),
)  # fmt: skip

SANA = Denoiser(
    ("attention_y_norm.weight", "blocks.0.cross_attn.q_linear.weight", "x_embedder.proj.weight", "y_embedder.y_proj.fc1.weight"),
    {
        "num_layers": count("blocks."), "num_attention_heads": over(rows("x_embedder.proj.weight"), "attention_head_dim"),
        "cross_attention_dim": rows("blocks.0.cross_attn.q_linear.weight"),
        "num_cross_attention_heads": over(rows("blocks.0.cross_attn.q_linear.weight"), "cross_attention_head_dim"),
        "in_channels": columns("x_embedder.proj.weight"), "caption_channels": columns("y_embedder.y_proj.fc1.weight"),
    },
    "caption_channels", ("cfg_embedder.mlp.0.weight", "blocks.0.attn.q_norm.weight"),
    channels=("x_embedder.proj.weight", "final_layer.linear.weight"),
)  # fmt: skip
"""The first version: 1.5 and Sprint have layers more."""

HIDREAM = Denoiser(
    ("double_stream_blocks.0.block.adaLN_modulation.1.bias", "p_embedder.pooled_embedder.linear_1.weight", "x_embedder.proj.weight"),
    {
        "num_layers": count("double_stream_blocks."), "num_single_layers": count("single_stream_blocks."),
        "num_attention_heads": over(rows("x_embedder.proj.weight"), "attention_head_dim"),
        "in_channels": over(columns("x_embedder.proj.weight"), 4), "text_emb_dim": columns("p_embedder.pooled_embedder.linear_1.weight"),
    },
    "text_emb_dim", channels=("x_embedder.proj.weight", "final_layer.linear.weight"),
)  # fmt: skip
"""Its makers' layout is that of diffusers."""
