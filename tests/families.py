"""Writes a tiny pipeline with random weights for each family of models: true files of the true classes, loaded in a second."""

from __future__ import annotations

import io
import json
import string
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import sentencepiece
import torch
import transformers
from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel
from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing

from tests.tiny import tokenizer as clip_tokenizer

LETTERS = [*string.ascii_lowercase, *string.digits, *string.punctuation, "▁"]
CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
WIDTH = 16
"""Of every text encoder."""


def write_family(folder: Path, family: str, *, seed: int = 0, wide: bool = False) -> Path:
    """A pipeline of this family; the seed decides its weights. `wide`: as wide as its single files are known by, and tiny all the same."""
    torch.manual_seed(seed)
    pipe = {**PIPES, **OTHERS, **(WIDE if wide else {})}[family]()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            _shaken(part)
    pipe.save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    if family == "FLUX.2":
        index["tokenizer"] = ["transformers", "PixtralProcessor"]  # of which only the tokenizer is needed
    if family == "HiDream":
        del index["tokenizer_4"], index["text_encoder_4"]  # which its makers do not ship
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def open_plainly(folder: Path) -> Any:
    """The folder as diffusers' own documentation opens it."""
    index = json.loads((folder / "model_index.json").read_text())
    if index["_class_name"] == "HiDreamImagePipeline":
        words = transformers.PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer_4")
        encoder = transformers.LlamaForCausalLM.from_pretrained(folder / "text_encoder_4")
        return diffusers.HiDreamImagePipeline.from_pretrained(folder, tokenizer_4=words, text_encoder_4=encoder)
    if index["_class_name"] == "Flux2Pipeline":
        # PixtralProcessor wants torchvision, for pictures that we do not show it.
        pipe = diffusers.Flux2Pipeline.from_pretrained(folder, tokenizer=None)
        pipe.register_modules(tokenizer=transformers.AutoTokenizer.from_pretrained(folder / "tokenizer"))
        return pipe
    absent = {part: None for part in ("text_encoder_3", "tokenizer_3") if index.get(part) == [None, None]}
    return diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, **absent)


def _shaken(module: torch.nn.Module) -> None:
    """Layers that start at zero would hide what passes through them."""
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.02)


def _clip(projection: bool = False, width: int = WIDTH, window: int = 77) -> tuple[Any, Any]:
    words = clip_tokenizer(window)
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    config = transformers.CLIPTextConfig(
        vocab_size=len(words), hidden_size=width, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, projection_dim=width,
        max_position_embeddings=window, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    return words, kind(config)


def _t5(kind: str = "T5") -> tuple[Any, Any]:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -2.0) for letter in LETTERS)]
    words = transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=len(words), d_model=WIDTH, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    return words, getattr(transformers, f"{kind}EncoderModel")(config)


def _qwen_tokenizer() -> Any:
    letters = {letter: k for k, letter in enumerate(sorted(ByteLevel.alphabet()))}
    words = transformers.Qwen2Tokenizer(vocab=letters | {"<|endoftext|>": 256, "<|im_start|>": 257, "<|im_end|>": 258}, merges=[])
    words.chat_template = CHAT
    return words


SMALL: dict[str, Any] = {
    "hidden_size": WIDTH, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 2048,
}  # fmt: skip


def _qwen3(layers: int = 3, causal: bool = False) -> tuple[Any, Any]:
    words = _qwen_tokenizer()
    config = transformers.Qwen3Config(vocab_size=len(words), num_hidden_layers=layers, head_dim=8, **SMALL)
    return words, (transformers.Qwen3ForCausalLM if causal else transformers.Qwen3Model)(config)


def _qwen_vl() -> tuple[Any, Any]:
    words = _qwen_tokenizer()
    text = SMALL | {
        "vocab_size": len(words), "num_hidden_layers": 2, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]},
    }  # fmt: skip
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
        "fullatt_block_indexes": [0],
    }
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    return words, transformers.Qwen2_5_VLForConditionalGeneration(config)


def _gemma() -> tuple[Any, Any]:
    letters = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3} | {letter: k + 4 for k, letter in enumerate(LETTERS)}
    words = transformers.GemmaTokenizer(vocab=letters, merges=[])
    config = transformers.Gemma2Config(vocab_size=len(words), num_hidden_layers=2, head_dim=8, **SMALL)
    return words, transformers.Gemma2Model(config)


def _vae(channels: int, **changes: Any) -> Any:
    """Of eight pixels per latent."""
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=channels, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, **changes,
    )  # fmt: skip


def _flow(**changes: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**changes)


def _unet(*, attention: int = 1, **changes: Any) -> Any:
    """Of two levels; the one numbered `attention` looks at the text."""
    down = ["DownBlock2D", "DownBlock2D"]
    down[attention] = "CrossAttnDownBlock2D"
    up = [name.replace("Down", "Up") for name in reversed(down)]
    given: dict[str, Any] = {"layers_per_block": 1} | changes
    return diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(16, 32), attention_head_dim=2, norm_num_groups=8,
        down_block_types=tuple(down), up_block_types=tuple(up), **given,
    )  # fmt: skip


BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
HEADS: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 8}


def _stable_diffusion(width: int = WIDTH) -> Any:
    words, encoder = _clip(width=width)
    return diffusers.StableDiffusionPipeline(
        _vae(4), encoder, words, _unet(attention=0, cross_attention_dim=width), diffusers.PNDMScheduler(skip_prk_steps=True, **BETAS),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _xl(first: int = WIDTH, second: int = WIDTH, **changes: Any) -> Any:
    (words, encoder), (words_2, encoder_2) = _clip(width=first), _clip(True, second)
    unet = _unet(cross_attention_dim=first + second, addition_embed_type="text_time", addition_time_embed_dim=8,
                 projection_class_embeddings_input_dim=6 * 8 + second, **changes)  # fmt: skip
    return diffusers.StableDiffusionXLPipeline(
        _vae(4), encoder, encoder_2, words, words_2, unet, diffusers.EulerDiscreteScheduler(**BETAS), add_watermarker=False
    )


def _sd3(first: int = WIDTH) -> Any:
    (words, encoder), (words_2, encoder_2), (words_3, encoder_3) = _clip(True, first), _clip(True), _t5()
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8, num_layers=1, joint_attention_dim=2 * WIDTH, caption_projection_dim=16, pooled_projection_dim=first + WIDTH,
        pos_embed_max_size=32, **HEADS,
    )  # fmt: skip
    encoder_3 = transformers.T5EncoderModel(transformers.T5Config(**encoder_3.config.to_dict() | {"d_model": 2 * WIDTH}))
    return diffusers.StableDiffusion3Pipeline(
        transformer, _flow(shift=3.0), _vae(16, shift_factor=0.06, use_quant_conv=False, use_post_quant_conv=False),
        encoder, words, encoder_2, words_2, encoder_3, words_3,
    )  # fmt: skip


DYNAMIC: dict[str, Any] = {"use_dynamic_shifting": True, "shift": 3.0, "base_image_seq_len": 256, "max_image_seq_len": 4096}
FLUX: dict[str, Any] = {
    "in_channels": 64, "num_layers": 1, "num_single_layers": 1, "joint_attention_dim": WIDTH, "axes_dims_rope": (2, 2, 4), **HEADS,
}  # fmt: skip


def _flux(*, guided: bool) -> Any:
    (words, encoder), (words_2, encoder_2) = _clip(), _t5()
    transformer = diffusers.FluxTransformer2DModel(pooled_projection_dim=WIDTH, guidance_embeds=guided, **FLUX)
    scheduler = _flow(**DYNAMIC) if guided else _flow(shift=1.0)
    return diffusers.FluxPipeline(scheduler, _vae(16, shift_factor=0.1), encoder, words, encoder_2, words_2, transformer)


def _chroma() -> Any:
    words, encoder = _t5()
    transformer = diffusers.ChromaTransformer2DModel(
        approximator_num_channels=16, approximator_hidden_dim=16, approximator_layers=1, **FLUX
    )
    return diffusers.ChromaPipeline(_flow(), _vae(16, shift_factor=0.1), encoder, words, transformer)


def _flux2(*, distilled: bool) -> Any:
    words, encoder = _qwen3(layers=28, causal=True)
    transformer = diffusers.Flux2Transformer2DModel(
        in_channels=128, num_layers=1, num_single_layers=1, joint_attention_dim=3 * WIDTH, timestep_guidance_channels=16,
        axes_dims_rope=(2, 2, 2, 2), guidance_embeds=False, **HEADS,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4, latent_channels=32, sample_size=64
    )
    return diffusers.Flux2KleinPipeline(_flow(**DYNAMIC), vae, encoder, words, transformer, is_distilled=distilled)


def _byte_tokenizer(begin: str, end: str) -> Any:
    """Of bytes, as Mistral's and Llama's are."""
    letters = {letter: k for k, letter in enumerate(sorted(ByteLevel.alphabet()))}
    words = Tokenizer(BPE(vocab=letters | {begin: 256, end: 257, "<pad>": 258}, merges=[]))
    words.pre_tokenizer = ByteLevel(add_prefix_space=False)
    words.post_processor = TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, 256)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token=begin, eos_token=end, pad_token="<pad>", model_max_length=2048
    )


def _flux2_dev() -> Any:
    words = _byte_tokenizer("<s>", "</s>")
    words.chat_template = "{% for m in messages %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endfor %}"
    words.padding_side = "left"
    text = SMALL | {"model_type": "mistral", "vocab_size": len(words), "num_hidden_layers": 31, "head_dim": 8, "sliding_window": None}
    vision = {"model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    encoder = transformers.Mistral3ForConditionalGeneration(transformers.Mistral3Config(text_config=text, vision_config=vision))
    klein = _flux2(distilled=False)
    transformer = diffusers.Flux2Transformer2DModel(**{**klein.transformer.config, "guidance_embeds": True})
    return diffusers.Flux2Pipeline(klein.scheduler, klein.vae, encoder, words, transformer)


def _hidream() -> Any:
    (words, encoder), (words_2, encoder_2), (words_3, encoder_3) = _clip(True, window=248), _clip(True, window=248), _t5()
    words_4 = _byte_tokenizer("<|begin_of_text|>", "<|eot_id|>")
    encoder_4 = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(words_4), num_hidden_layers=2, head_dim=8, **SMALL))
    transformer = diffusers.HiDreamImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=16, num_layers=1, num_single_layers=1, caption_channels=[WIDTH, WIDTH],
        text_emb_dim=2 * WIDTH, num_routed_experts=2, num_activated_experts=1, axes_dims_rope=(4, 2, 2), max_resolution=(32, 32),
        llama_layers=[0, 1], **HEADS,
    )  # fmt: skip
    return diffusers.HiDreamImagePipeline(
        _flow(shift=3.0),
        _vae(16, shift_factor=0.1),
        encoder,
        words,
        encoder_2,
        words_2,
        encoder_3,
        words_3,
        encoder_4,
        words_4,
        transformer,
    )


def _glm() -> tuple[Any, Any]:
    letters = "".join(LETTERS[:-1])
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([letters] * 4), model_writer=model, model_type="char", vocab_size=len(letters) + 4, minloglevel=5,
        num_threads=1,
    )  # fmt: skip
    kept = tempfile.TemporaryDirectory()
    (Path(kept.name) / "tokenizer.model").write_bytes(model.getvalue())
    words = ChatGLMTokenizer(f"{kept.name}/tokenizer.model")
    words.kept = kept  # it is copied from there when it is saved
    config = ChatGLMConfig(
        num_layers=2, padded_vocab_size=128, hidden_size=WIDTH, ffn_hidden_size=32, kv_channels=8, num_attention_heads=2, seq_length=512,
        add_qkv_bias=True, multi_query_attention=True, multi_query_group_num=1, original_rope=True,
    )  # fmt: skip
    encoder = ChatGLMModel(config).float()
    with torch.no_grad():
        for parameter in encoder.parameters():  # it leaves them as they lie in memory
            parameter.normal_(std=0.2)
    return words, encoder


def _kolors() -> Any:
    words, encoder = _glm()
    unet = _unet(
        cross_attention_dim=WIDTH, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH, encoder_hid_dim=WIDTH, encoder_hid_dim_type="text_proj",
    )  # fmt: skip
    scheduler = diffusers.EulerDiscreteScheduler(**BETAS | {"beta_end": 0.014, "num_train_timesteps": 1100})
    return diffusers.KolorsPipeline(_vae(4), encoder, words, unet, scheduler)


def _latent_consistency() -> Any:
    words, encoder = _clip()
    unet = _unet(attention=0, cross_attention_dim=WIDTH, time_cond_proj_dim=32)
    scheduler = diffusers.LCMScheduler(**BETAS | {"steps_offset": 0})
    return diffusers.LatentConsistencyModelPipeline(_vae(4), encoder, words, unet, scheduler, None, None, requires_safety_checker=False)


def _qwen_image() -> Any:
    words, encoder = _qwen_vl()
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=64, out_channels=16, num_layers=1, joint_attention_dim=WIDTH, axes_dims_rope=(2, 2, 4), **HEADS
    )
    vae = diffusers.AutoencoderKLQwenImage(base_dim=8, num_res_blocks=1)
    return diffusers.QwenImagePipeline(_flow(**DYNAMIC), vae, encoder, words, transformer)


def _z_image() -> Any:
    words, encoder = _qwen3()
    transformer = diffusers.ZImageTransformer2DModel(
        dim=16, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=WIDTH, axes_dims=[2, 2, 4]
    )
    return diffusers.ZImagePipeline(_flow(shift=3.0), _vae(16, shift_factor=0.1), encoder, words, transformer)


def _lumina() -> Any:
    words, encoder = _gemma()
    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=8, hidden_size=16, num_layers=1, num_refiner_layers=1, num_attention_heads=2, num_kv_heads=2, multiple_of=16,
        axes_dim_rope=(2, 2, 4), cap_feat_dim=WIDTH,
    )  # fmt: skip
    return diffusers.Lumina2Pipeline(transformer, _flow(shift=6.0), _vae(16, shift_factor=0.1), encoder, words)


def _aura() -> Any:
    words, encoder = _t5("UMT5")
    transformer = diffusers.AuraFlowTransformer2DModel(
        sample_size=8, num_mmdit_layers=1, num_single_dit_layers=1, joint_attention_dim=WIDTH, caption_projection_dim=16,
        pos_embed_max_size=256, **HEADS,
    )  # fmt: skip
    return diffusers.AuraFlowPipeline(words, encoder, _vae(4), transformer, _flow(shift=1.73))


def _sana() -> Any:
    words, encoder = _gemma()
    transformer = diffusers.SanaTransformer2DModel(
        num_layers=1, num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=WIDTH,
        sample_size=32, **HEADS,
    )  # fmt: skip
    vae = diffusers.AutoencoderDC(
        encoder_block_out_channels=(8, 8, 8, 8, 8, 32), decoder_block_out_channels=(8, 8, 8, 8, 8, 32), encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6, encoder_qkv_multiscales=((),) * 6, decoder_qkv_multiscales=((),) * 6, attention_head_dim=8,
        scaling_factor=0.4,
    )  # fmt: skip
    scheduler = diffusers.DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
    return diffusers.SanaPipeline(words, encoder, vae, transformer, scheduler)


def _pixart(kind: Any = diffusers.PixArtSigmaPipeline) -> Any:
    words, encoder = _t5()
    transformer = diffusers.PixArtTransformer2DModel(
        num_layers=1, cross_attention_dim=16, caption_channels=WIDTH, sample_size=128, use_additional_conditions=False, **HEADS
    )
    return kind(words, encoder, _vae(4), transformer, diffusers.DPMSolverMultistepScheduler())


def _hunyuan() -> Any:
    (words_2, encoder_2), letters = _t5(), {token: k for k, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS])}
    words = transformers.BertTokenizer(vocab=letters | {f"##{letter}": len(letters) + k for k, letter in enumerate(LETTERS)})
    encoder = transformers.BertModel(
        transformers.BertConfig(vocab_size=len(words), hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    )
    transformer = diffusers.HunyuanDiT2DModel(
        num_layers=2, sample_size=8, patch_size=2, in_channels=4, hidden_size=16, cross_attention_dim=WIDTH, cross_attention_dim_t5=WIDTH,
        pooled_projection_dim=16, text_len=77, text_len_t5=256, **HEADS,
    )  # fmt: skip
    return diffusers.HunyuanDiTPipeline(
        _vae(4), encoder, words, transformer, diffusers.DDPMScheduler(**BETAS), None, None, False, encoder_2, words_2
    )


def _cogview4() -> Any:
    words = _byte_tokenizer("<s>", "</s>")
    encoder = transformers.GlmModel(
        transformers.GlmConfig(vocab_size=len(words), num_hidden_layers=2, head_dim=8, pad_token_id=258, **SMALL)
    )
    transformer = diffusers.CogView4Transformer2DModel(
        in_channels=4, out_channels=4, num_layers=1, text_embed_dim=WIDTH, time_embed_dim=16, condition_dim=4, rope_axes_dim=(64, 64),
        sample_size=8, **HEADS,
    )  # fmt: skip
    return diffusers.CogView4Pipeline(words, encoder, _vae(4), transformer, _flow(**DYNAMIC))


def _lumina_next() -> Any:
    words, _ = _gemma()
    encoder = transformers.GemmaModel(transformers.GemmaConfig(vocab_size=len(words), num_hidden_layers=2, head_dim=8, **SMALL))
    transformer = diffusers.LuminaNextDiT2DModel(
        sample_size=8, hidden_size=32, num_layers=1, num_attention_heads=2, num_kv_heads=2, multiple_of=16, cross_attention_dim=WIDTH
    )
    return diffusers.LuminaPipeline(transformer, _flow(), _vae(4), encoder, words)


def _ovis() -> Any:
    words, encoder = _qwen3()
    transformer = diffusers.OvisImageTransformer2DModel(**FLUX)
    return diffusers.OvisImagePipeline(_flow(**DYNAMIC), _vae(16, shift_factor=0.1), encoder, words, transformer)


PIPES: Mapping[str, Callable[[], Any]] = {
    "Stable Diffusion 1.x": _stable_diffusion,
    "Stable Diffusion 2.x": lambda: _stable_diffusion(1024),
    "Stable Diffusion XL": _xl,
    "Stable Diffusion 3": _sd3,
    "FLUX.1": lambda: _flux(guided=True),
    "FLUX.1 schnell": lambda: _flux(guided=False),
    "FLUX.2 klein base": lambda: _flux2(distilled=False),
    "FLUX.2 klein": lambda: _flux2(distilled=True),
    "Qwen-Image": _qwen_image,
    "Z-Image": _z_image,
    "Chroma": _chroma,
    "Sana": _sana,
    "PixArt-Sigma": _pixart,
    "Lumina 2": _lumina,
    "AuraFlow": _aura,
    "FLUX.2": _flux2_dev,
    "HiDream": _hidream,
    "Kolors": _kolors,
    "Latent Consistency": _latent_consistency,
    "Other": lambda: _pixart(diffusers.PixArtAlphaPipeline),
    "Other (flow)": _ovis,
}

OTHERS: Mapping[str, Callable[[], Any]] = {
    "CogView4Pipeline": _cogview4,
    "HunyuanDiTPipeline": _hunyuan,
    "LuminaPipeline": _lumina_next,
}
"""Of the rows "Other", beside the pipelines that stand for them."""

WIDE: Mapping[str, Callable[[], Any]] = {
    "Stable Diffusion 1.x": lambda: _stable_diffusion(768),
    "Stable Diffusion 2.x": lambda: _stable_diffusion(1024),
    "Stable Diffusion XL": lambda: _xl(1000, 1048, layers_per_block=2),
    # In one file, the encoders are told by their widths.
    "Stable Diffusion 3": lambda: _sd3(8),
}
