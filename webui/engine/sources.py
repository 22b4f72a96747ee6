"""Where the parts can be had that a family's single files do not hold. A literal list: nothing is asked of anybody to show it.

Sizes are those of the files that are fetched: two bytes a number, from what is published of each part. What the hub says at the moment,
licence and size included, is shown again before anything is fetched (`webui/downloads`).
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
    "black-forest-labs/FLUX.1-schnell", "its text encoders (CLIP L, T5 XXL) with their tokenizers and its VAE", 9.9, "Apache-2.0"
)

SOURCES: Mapping[str, Source] = {
    "FLUX.1": FLUX1,
    "FLUX.1 schnell": FLUX1,
}
"""By family."""
