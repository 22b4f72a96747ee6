"""Good first models, by the memory that they take. A literal list: nothing is asked of anybody to show it."""

from __future__ import annotations

from typing import NamedTuple


class Starter(NamedTuple):
    """One suggestion."""

    source: str
    """On the Hugging Face hub."""
    title: str
    memory: int
    """GB that its weights and a picture take in half precision, on an accelerator or in main memory: 1.2 times two bytes a number."""
    licence: str
    summary: str


STARTERS: tuple[Starter, ...] = (
    Starter(
        "stable-diffusion-v1-5/stable-diffusion-v1-5", "Stable Diffusion 1.5", 4, "CreativeML Open RAIL-M",
        "512 x 512. Small, quick, and what most LoRAs and embeddings are made for.",
    ),
    Starter(
        "stabilityai/stable-diffusion-xl-base-1.0", "Stable Diffusion XL", 10, "CreativeML Open RAIL++-M",
        "1024 x 1024. Finer, with many LoRAs too.",
    ),
    Starter("Tongyi-MAI/Z-Image-Turbo", "Z-Image Turbo", 26, "Apache-2.0", "1024 x 1024 in nine steps; writes English and Chinese."),
    Starter(
        "black-forest-labs/FLUX.1-schnell", "FLUX.1 schnell", 42, "Apache-2.0",
        "1024 x 1024 in four steps; follows long prompts. Its makers ask for an account that has agreed to their terms.",
    ),
    Starter("Qwen/Qwen-Image", "Qwen-Image", 72, "Apache-2.0", "1024 x 1024 and more; the best at writing in pictures."),
)  # fmt: skip
"""From the least memory to the most."""
