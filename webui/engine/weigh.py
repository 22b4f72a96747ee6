"""What a model would need of the memory, by the numbers of its header: decided as if it were loaded now, and nothing is loaded."""

from __future__ import annotations

from typing import Any

import torch

from webui.engine.catalogue import Model
from webui.engine.need import Need
from webui.engine.placement import decide, takes
from webui.errors import ModelError
from webui.settings import Wishes
from webui.sizes import in_words


def weigh(model: Model, device: torch.device, room: int, host: int, wishes: Wishes) -> Need:
    """How the model would lie on the device.

    Args:
        room: bytes of the device that are free, or would be if idle models were let go.
        host: the same of main memory.
    """
    try:
        placed = decide(model, device, room, host, wishes)
    except ModelError as refused:
        return Need(fits=False, words=f"Does not fit{refused.message.removeprefix(f'The model {model.name} cannot be loaded')}")
    ways = [placed.numbers]
    if placed.streamed:
        ways.append("with its layers fetched from main memory, which is slower")
    if placed.tiled:
        ways.append("with large pictures decoded in tiles")
    return Need(fits=True, words=f"Needs about {in_words(takes(model, placed, device))} as {', '.join(ways)}; {in_words(room)} are free.")


def held(pipe: Any, device: torch.device) -> int:
    """Bytes of a pipeline's weights that lie on the device."""
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    return sum(weight.nbytes for part in parts for weight in part.parameters() if weight.device.type == device.type)
