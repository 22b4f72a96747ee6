"""What a model that is not loaded would need of the memory, as it is told. Knows nothing of torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

IN_USE = "Pictures are being made with this model, so it stays. Let them finish, or stop them, and unload it then."


class Need(BaseModel):
    """Whether a model fits into what is free, and how, in a sentence for people."""

    model_config = ConfigDict(frozen=True)

    fits: bool
    words: str
