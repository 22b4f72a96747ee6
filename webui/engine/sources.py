"""Where the parts can be had that a family's single files do not hold. A literal list: nothing is asked of anybody to show it.

Sizes are those of the files that are fetched: as the hub listed them, or else two bytes for each number that is published of a part. What
it says at the moment, licence and size included, is shown again before anything is fetched (`webui/downloads`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PARTS = "#parts"
"""Behind the id of a repository: all of a folder but its denoiser."""


class Source(NamedTuple):
    """A repository on the Hugging Face hub with a folder of a family."""

    repository: str
    parts: str
    """What of it is needed."""
    gigabytes: float
    licence: str
    gated: bool = False
    """Whether its makers ask to agree to their terms first."""
    width: int = 0
    """Of the text that its denoiser takes, where that tells it from another of its family."""
    more: str = ""
    """What else is needed, in a sentence."""

    @property
    def fetch(self) -> str:
        """As `webui models add` takes it."""
        return f"{self.repository}{PARTS}"

    @property
    def size(self) -> str:
        """As a person reads it."""
        return f"{self.gigabytes:.1f} GB"


FLUX1 = Source(
    "black-forest-labs/FLUX.1-schnell", "text encoders (CLIP L, T5 XXL) with their tokenizers and VAE", 9.9, "Apache-2.0", gated=True
)
KLEIN = (
    Source("black-forest-labs/FLUX.2-klein-4B", "text encoder (Qwen3 4B) with its tokenizer and VAE", 8.2, "Apache-2.0", width=7680),
    Source(
        "black-forest-labs/FLUX.2-klein-9B", "text encoder (Qwen3 8B) with its tokenizer and VAE", 16.6, "FLUX Non-Commercial", True, 12288
    ),
)

SOURCES: Mapping[str, tuple[Source, ...]] = {
    "Stable Diffusion 3": (
        Source(
            "stabilityai/stable-diffusion-3.5-medium", "text encoders (CLIP L, CLIP G, T5 XXL) with their tokenizers and VAE", 11.3,
            "Stability AI Community", True,
        ),
    ),
    "FLUX.1 schnell": (FLUX1,),
    "FLUX.1": (FLUX1,),
    "FLUX.2 klein": KLEIN,
    "FLUX.2 klein base": KLEIN,
    "FLUX.2": (
        Source(
            "black-forest-labs/FLUX.2-dev", "text encoder (Mistral Small 24B) with its tokenizer and VAE", 48.2, "FLUX Non-Commercial", True
        ),
    ),
    "Qwen-Image": (Source("Qwen/Qwen-Image", "text encoder (Qwen2.5-VL 7B) with its tokenizer and VAE", 16.8, "Apache-2.0"),),
    "Z-Image": (Source("Tongyi-MAI/Z-Image-Turbo", "text encoder (Qwen3 4B) with its tokenizer and VAE", 8.2, "Apache-2.0"),),
    "Chroma": (Source("lodestones/Chroma1-HD", "text encoder (T5 XXL) with its tokenizer and VAE", 9.7, "Apache-2.0"),),
    "Sana": (
        Source(
            "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers", "text encoder (Gemma 2 2B) with its tokenizer and VAE", 6.5,
            "NVIDIA's own, and Gemma's terms",
        ),
    ),
    "Lumina 2": (Source("Alpha-VLLM/Lumina-Image-2.0", "text encoder (Gemma 2 2B) with its tokenizer and VAE", 10.8, "Apache-2.0"),),
    "AuraFlow": (Source("fal/AuraFlow-v0.3", "text encoder (Pile-T5 XL) with its tokenizer and VAE", 2.6, "Apache-2.0"),),
    "HiDream": (
        Source(
            "HiDream-ai/HiDream-I1-Full", "text encoders (CLIP L, CLIP G, T5 XXL) with their tokenizers and VAE", 11.3, "MIT",
            more="Llama 3.1 8B Instruct (16.1 GB, gated) must be put beside them by hand; their entry says where.",
        ),
    ),
}  # fmt: skip
"""By family, and by the width of the text where a family comes in sizes."""


def source_of(family: str, width: int) -> Source:
    """Where the parts of a file of this family and width can be had."""
    found = SOURCES[family]
    return next((one for one in found if one.width == width), found[0])
