"""Families of models: what each runs on, needs and proposes. A literal table; knows nothing of torch, so that the page may read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from webui.engine import denoisers
from webui.engine.denoisers import Denoiser
from webui.engine.samplers import FLOW_SAMPLERS, SAMPLERS, Sampler, check
from webui.errors import InvalidRequest
from webui.request import Defaults, Resolved

Layout = Literal["plain", "packed", "flux2", "any"]
Texts = Literal["one CLIP", "two CLIPs", "two CLIPs and T5", "CLIP and T5", "masked T5", "its own"]
CLIPS: tuple[Texts, ...] = ("one CLIP", "two CLIPs")
"""Those that read a prompt of any length, window by window, and take embeddings."""


class File(NamedTuple):
    """How a checkpoint in a single file is recognised, and what is opened with it."""

    folder: str
    """Of its configurations, in `data/`."""
    key: str
    """A tensor that every such file has, whose last dimension is ..."""
    width: int
    """... this: the width of the text that the U-Net takes."""
    scale: float
    """What its latents are multiplied by."""
    parts: Mapping[str, str]
    """Part -> the beginning of its tensors' names; none may be missing."""
    spread: tuple[str, float] | None = None
    """A tensor by which models that predict v are told from those that predict the noise, where the file does not say it: its numbers
    spread wider than this. So ComfyUI tells them; the shapes of both are the same."""


class Family(NamedTuple):
    """One row."""

    pipelines: tuple[str, ...]
    """Classes of diffusers."""
    defaults: Defaults
    samplers: Mapping[str, Sampler] = SAMPLERS
    multiple: int = 8
    """Width and height are multiples of this many pixels."""
    guidance: str = "Guidance"
    """What it is called; empty where there is none."""
    argument: str = "guidance_scale"
    """The pipeline's name for it."""
    off: float = 1.0
    """What the pipeline takes for no guidance."""
    negative: bool = True
    """Whether a negative prompt has an effect, at guidance above 1."""
    texts: Texts = "its own"
    """How prompts are encoded: by CLIP and T5 encoders, with weights; or by the pipeline itself, without."""
    layout: Layout = "plain"
    """How the latents lie in a step: as they are, two by two in tokens, or as FLUX.2 has them; where nobody has looked, any of these."""
    options: Mapping[str, Any] = {}
    """Passed to the pipeline if it knows them. Text of one length, so that jobs can share forwards; the size as it was asked for."""
    area: int = 0
    """Most pixels of a picture, to which the pipeline would enlarge every one; 0 where there is no such thing."""
    shares: bool = True
    """Whether jobs may share forwards: only where it was measured that they change nothing."""
    marks: Mapping[tuple[str, str], Any] = {}
    """(part, key) of a folder's configuration -> the value that tells this family from others of the same pipeline."""
    loras: bool = True
    """Whether the pipeline takes LoRAs."""
    file: File | None = None
    """`None` where no file holds all of a model: text encoders lie elsewhere."""
    denoiser: Denoiser | None = None
    """How a file is recognised that holds the denoiser, and perhaps some other parts; `None` where none is opened."""
    kin: tuple[str, ...] = ()
    """Other families whose folders have the parts that such a file lacks."""


CROSS = "model.diffusion_model.input_blocks.{}.1.transformer_blocks.0.attn2.to_k.weight"
LAST = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
LATENT = {"unet": "model.diffusion_model.", "vae": "first_stage_model."}
SD1 = File("sd1", CROSS.format(1), 768, 0.18215, LATENT | {"text_encoder": "cond_stage_model.transformer."})
SD2 = File("sd2", CROSS.format(1), 1024, 0.18215, LATENT | {"text_encoder": "cond_stage_model.model."}, (LAST, 0.09))
SDXL = File(
    "sdxl",
    CROSS.format(4),
    2048,
    0.13025,
    LATENT | {"text_encoder": "conditioner.embedders.0.", "text_encoder_2": "conditioner.embedders.1."},
)


def _some(*names: str) -> Mapping[str, Sampler]:
    """Samplers of flow models: which of them a pipeline takes is a matter of its arguments, hence of the family."""
    return MappingProxyType({name: FLOW_SAMPLERS[name] for name in names})


def _flow(steps: int, guidance: float, size: int = 1024) -> Defaults:
    return Defaults(steps=steps, guidance=guidance, sampler="Euler", width=size, height=size)


DISTILLED = "Distilled guidance"
"""A number that the model was trained to obey in one pass, without a second one for the empty prompt."""

AS_ASKED: Mapping[str, Any] = {"use_resolution_binning": False, "clean_caption": False}

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "Stable Diffusion 2.x": Family(
            ("StableDiffusionPipeline",), Defaults(), texts="one CLIP", marks={("unet", "cross_attention_dim"): 1024}, file=SD2
        ),
        "Stable Diffusion 1.x": Family(("StableDiffusionPipeline",), Defaults(), texts="one CLIP", file=SD1),
        "Stable Diffusion XL": Family(
            ("StableDiffusionXLPipeline",), Defaults(steps=25, guidance=6.0, width=1024, height=1024), texts="two CLIPs", file=SDXL
        ),
        "Stable Diffusion 3": Family(
            ("StableDiffusion3Pipeline",), _flow(28, 4.5), FLOW_SAMPLERS, 16, texts="two CLIPs and T5",
            options={"max_sequence_length": 256}, denoiser=denoisers.SD3,
        ),
        "FLUX.1 schnell": Family(
            ("FluxPipeline",), _flow(4, 1.0), _some("Euler", "LCM", "UniPC"), 16, guidance="", negative=False, texts="CLIP and T5",
            layout="packed", options={"max_sequence_length": 256}, marks={("transformer", "guidance_embeds"): False},
            denoiser=denoisers.FLUX1_SCHNELL, kin=("FLUX.1",),
        ),
        "FLUX.1": Family(
            ("FluxPipeline",), _flow(28, 3.5), _some("Euler", "LCM", "UniPC", "DPM++ 2M", "DPM++ 2M SDE"), 16, guidance=DISTILLED,
            negative=False, texts="CLIP and T5", layout="packed", options={"max_sequence_length": 512},
            denoiser=denoisers.FLUX1, kin=("FLUX.1 schnell",),
        ),
        "FLUX.2 klein": Family(
            ("Flux2KleinPipeline",), _flow(4, 1.0), _some("Euler", "LCM", "UniPC"), 16, guidance="", negative=False, layout="flux2",
            options={"max_sequence_length": 512}, marks={("", "is_distilled"): True},
            denoiser=denoisers.FLUX2_KLEIN, kin=("FLUX.2 klein base",),
        ),
        "FLUX.2 klein base": Family(
            ("Flux2KleinPipeline",), _flow(28, 4.0), _some("Euler", "LCM", "UniPC", "DPM++ 2M", "DPM++ 2M SDE"), 16, negative=False,
            layout="flux2", options={"max_sequence_length": 512},
            denoiser=denoisers.FLUX2_KLEIN_BASE, kin=("FLUX.2 klein",),
        ),
        "FLUX.2": Family(
            ("Flux2Pipeline",), _flow(28, 4.0), _some("Euler", "LCM", "UniPC", "DPM++ 2M", "DPM++ 2M SDE"), 16, guidance=DISTILLED,
            negative=False, layout="flux2", options={"max_sequence_length": 512},
            denoiser=denoisers.FLUX2,
        ),
        "Qwen-Image": Family(
            ("QwenImagePipeline",), _flow(30, 4.0), _some("Euler", "LCM", "UniPC"), 16, argument="true_cfg_scale", layout="packed",
            options={"max_sequence_length": 512},
            denoiser=denoisers.QWEN,
        ),
        "Z-Image": Family(
            ("ZImagePipeline",), _flow(28, 4.0), _some("Euler", "LCM"), 16, off=0.0, options={"max_sequence_length": 512},
            denoiser=denoisers.Z_IMAGE,
        ),
        "Chroma": Family(
            ("ChromaPipeline",), _flow(30, 4.0), _some("Euler", "LCM", "UniPC"), 16, texts="masked T5", layout="packed",
            options={"max_sequence_length": 512},
            denoiser=denoisers.CHROMA,
        ),
        "Sana": Family(
            ("SanaPipeline",), Defaults(steps=20, guidance=4.5, width=1024, height=1024), FLOW_SAMPLERS, 32,
            options={"max_sequence_length": 300, "use_resolution_binning": False},
            denoiser=denoisers.SANA,
        ),
        "PixArt-Sigma": Family(
            ("PixArtSigmaPipeline",), Defaults(guidance=4.5, width=1024, height=1024), multiple=16, loras=False, texts="masked T5",
            options={"max_sequence_length": 300, "use_resolution_binning": False, "clean_caption": False},
        ),
        "Lumina 2": Family(
            ("Lumina2Pipeline",), _flow(30, 4.0), _some("Euler", "LCM", "UniPC"), 16, options={"max_sequence_length": 256},
            denoiser=denoisers.LUMINA2,
        ),
        "AuraFlow": Family(
            ("AuraFlowPipeline",), _flow(30, 3.5), FLOW_SAMPLERS, 16, texts="masked T5", options={"max_sequence_length": 256},
            denoiser=denoisers.AURAFLOW,
        ),
        "HiDream": Family(
            ("HiDreamImagePipeline",), _flow(50, 5.0), _some("Euler", "LCM", "UniPC"), 16, area=1024 * 1024,
            options={"max_sequence_length": 128},
            denoiser=denoisers.HIDREAM,
        ),
        "Kolors": Family(
            ("KolorsPipeline",), Defaults(steps=25, guidance=5.0, width=1024, height=1024), options={"max_sequence_length": 256}
        ),
        "Latent Consistency": Family(
            ("LatentConsistencyModelPipeline",), Defaults(steps=6, guidance=8.5, sampler="LCM"), MappingProxyType({"LCM": SAMPLERS["LCM"]}),
            guidance=DISTILLED, negative=False,
        ),
        "Other": Family(
            ("HunyuanDiTPipeline", "PixArtAlphaPipeline"), Defaults(steps=25, guidance=4.5, width=1024, height=1024), multiple=32,
            layout="any", options=AS_ASKED, loras=False, shares=False,
        ),
        "Other (flow)": Family(
            ("CogView4Pipeline", "LuminaPipeline", "OvisImagePipeline"), _flow(30, 4.5), _some("Euler"), 32,
            layout="any", options=AS_ASKED, loras=False, shares=False,
        ),
    }
)  # fmt: skip
"""The first row that fits a model is its family."""

LENDERS = frozenset(name for family in FAMILIES.values() if family.denoiser for name in family.pipelines)
"""Pipelines whose folders lend their parts to files that hold a denoiser alone."""

PIPELINES = tuple(dict.fromkeys(name for family in FAMILIES.values() for name in family.pipelines))


class Variant(NamedTuple):
    """Models of a family that were trained further, to need other settings."""

    families: tuple[str, ...]
    words: tuple[str, ...]
    """One of these in the model's name, or:"""
    marks: Mapping[tuple[str, str], Any]
    changes: Mapping[str, Any]
    """Defaults that differ from the family's."""
    apart: bool = False
    """Whether the word must stand between other signs than letters: "hyper" begins many a name that means something else."""

    def named(self, name: str) -> bool:
        """Whether the name of a model is that of such a one."""
        pattern = r"(?<![a-z]){}(?![a-z])" if self.apart else "{}"
        return any(re.search(pattern.format(word), name.lower()) for word in self.words)


UNETS = ("Stable Diffusion 1.x", "Stable Diffusion 2.x", "Stable Diffusion XL")
FEW: dict[str, Any] = {"guidance": 1.0, "sampler": "Euler", "schedule": "SGM Uniform"}

VARIANTS: tuple[Variant, ...] = (
    Variant(("Stable Diffusion 2.x",), ("768",), {("unet", "sample_size"): 96}, {"width": 768, "height": 768}),
    Variant(UNETS, ("lcm",), {("unet", "time_cond_proj_dim"): 256}, {"steps": 6, "guidance": 1.0, "sampler": "LCM"}),
    Variant(UNETS, ("lightning",), {}, FEW | {"steps": 8}),
    Variant(UNETS, ("hyper", "hypersd", "hypersdxl", "hypervae"), {}, {"steps": 8, "guidance": 1.0, "sampler": "TCD"}, apart=True),
    Variant(
        UNETS, ("turbo",), {}, {"steps": 4, "guidance": 1.0, "sampler": "Euler a", "schedule": "SGM Uniform", "width": 512, "height": 512}
    ),
    Variant(("HiDream",), ("dev",), {}, {"steps": 28, "guidance": 1.0}),
    Variant(("HiDream",), ("fast",), {}, {"steps": 16, "guidance": 1.0}),
    Variant(("Stable Diffusion 3",), ("turbo",), {}, {"steps": 4, "guidance": 1.0}),
    Variant(("Z-Image",), ("turbo",), {}, {"steps": 9, "guidance": 1.0}),
)
"""All that fit a model are applied, in this order."""


def family_of(pipeline: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    """The family of a folder with this pipeline and these configurations of its parts."""
    return next(name for name, family in FAMILIES.items() if pipeline in family.pipelines and _marked(family.marks, configs))


def defaults_of(family: str, name: str, configs: Mapping[str, Mapping[str, Any]]) -> Defaults:
    """What a model of this family and name proposes, unless its card says otherwise."""
    defaults = FAMILIES[family].defaults
    for variant in VARIANTS:
        if family in variant.families and (variant.named(name) or (variant.marks and _marked(variant.marks, configs))):
            defaults = defaults.model_copy(update=variant.changes)
    return defaults


def suits(request: Resolved, name: str) -> None:
    """Whether a model of the family called `name` can do what is asked.

    Raises:
        InvalidRequest: it cannot; the sentence says what it can.
    """
    family = FAMILIES[name]
    if request.sampler in SAMPLERS and request.sampler not in family.samplers:
        message = f"{request.sampler} does not work with {name} models. They take: {', '.join(family.samplers)}."
        raise InvalidRequest(message, "sampler")
    check(request.sampler, request.schedule, request.steps, family.samplers)
    for field in ("width", "height"):
        pixels = getattr(request, field)
        if pixels % family.multiple:
            near = max(family.multiple, round(pixels / family.multiple) * family.multiple)
            message = f"{field.capitalize()} must be a multiple of {family.multiple} for {name} models; try {near}."
            raise InvalidRequest(message, field)
    if family.area and request.width * request.height > family.area:
        side = int(family.area**0.5)
        raise InvalidRequest(f"{name} models make at most as many pixels as {side} x {side} has. Lower width or height.", "width")
    if request.negative_text.strip() and not family.negative:
        mend = "Leave it empty." if request.negative.strip() else "Take out the style that brings one."
        raise InvalidRequest(f"{name} models take no negative prompt. {mend}", "negative")
    if request.guidance != 1 and not family.guidance:
        raise InvalidRequest(f"{name} models have no guidance: it was trained into them. Set it to 1.", "guidance")


def _marked(marks: Mapping[tuple[str, str], Any], configs: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(configs.get(part, {}).get(key) == value for (part, key), value in marks.items())
