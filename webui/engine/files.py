"""What a single .safetensors file is, by the names and shapes of its tensors. Knows nothing of torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from webui.engine.catalogue import Latents
from webui.engine.extras import SINGLE
from webui.engine.families import FAMILIES, File
from webui.engine.tensors import FLOATS, Header, header, regular
from webui.errors import ModelError

DATA = Path(__file__).parent / "data"
"""Configurations of the families that single files are opened for: the files hold weights alone."""

ALONE = "Use the diffusers folder of the model."

OTHERS: tuple[tuple[str, str], ...] = (
    # What else is shared as one file: the beginning of a tensor's name as a regular expression, and what to say.
    (r"(encoder|decoder)\.(conv_in|down\.|up_blocks|down_blocks)", "It is an autoencoder (VAE), which is a part of a model."),
    (r"emb_params$|clip_[lg]$|string_to_param", "It is a textual-inversion embedding, which is a word for a model."),
    (r"control_model\.|controlnet_|input_hint_block", "It is a ControlNet, which steers a model and is none itself."),
    (r"(model\.diffusion_model\.)?double_blocks\.\d+\.img_attn", f"It is FLUX's transformer without its text encoders. {ALONE}"),
    (r"(model\.diffusion_model\.)?joint_blocks\.", f"It is Stable Diffusion 3, whose single files are not opened. {ALONE}"),
    (
        r"(text_model|transformer\.text_model|transformer\.resblocks|encoder\.block|model\.layers)\.",
        "It is a text encoder, which is a part of a model.",
    ),
    (r"(down_blocks|up_blocks|mid_block|time_embedding)\.", "It is a U-Net alone, without text encoder and autoencoder."),
)


SPOKEN = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon", "eps": "epsilon"}
"""A model's notes -> the scheduler's word."""

PARAMETERIZATION = re.compile(r"""^\s*parameterization:\s*["']?v["']?\s*$""", re.MULTILINE)

YAML_LIMIT = 1 << 20


class Checkpoint(NamedTuple):
    """A file that can be opened as a whole pipeline."""

    family: str
    parameters: Mapping[str, int]
    bytes: int
    latents: Latents
    scheduler: Mapping[str, Any]
    """What the file says of its noise schedule, above the family's configuration."""


def recognise(path: Path) -> Checkpoint:
    """What the file is.

    Raises:
        ModelError: it is damaged, or no whole model of a family that is opened from one file; the sentence says what it is.
    """
    return recognised(path, header(path))


def recognised(path: Path, found: Header) -> Checkpoint:
    """What the file at `path`, with this header, is.

    Raises:
        ModelError: no whole model of a family that is opened from one file; the sentence says what it is.
    """
    for name, family in FAMILIES.items():
        if family.file and _fits(found, family.file):
            return _checkpoint(path, found, name, family.file)
    for key in found.tensors:
        for pattern, sentence in OTHERS:
            if re.match(pattern, key):
                raise ModelError(sentence, "model")
    raise ModelError("It is not an image model that this version knows.", "model")


def _fits(found: Header, file: File) -> bool:
    """The tell-tale tensor is there, with the width of the text that it takes."""
    tensor = found.tensors.get(file.key)
    return tensor is not None and len(tensor.shape) > 1 and tensor.shape[-1] == file.width


def _prediction(path: Path, found: Header) -> str | None:
    """What the model predicts, as the file says it: by a tensor of that name, in its notes (ModelSpec), or in the .yaml beside it, which
    is how the makers of Stable Diffusion and A1111 tell it. `None` where nothing says it."""
    if "v_pred" in found.tensors:
        return "v_prediction"
    noted = found.metadata.get("modelspec.prediction_type", "")
    if noted in SPOKEN:
        return SPOKEN[noted]
    beside = path.with_suffix(".yaml")
    try:
        if regular(beside).st_size > YAML_LIMIT:
            return None
        words = beside.read_text(encoding="utf-8", errors="replace")
    except (ModelError, OSError):
        return None
    return "v_prediction" if PARAMETERIZATION.search(words) else "epsilon" if "params:" in words else None


def _checkpoint(path: Path, found: Header, name: str, file: File) -> Checkpoint:
    parameters = {
        part: sum(math.prod(tensor.shape) for key, tensor in found.tensors.items() if key.startswith(prefix))
        for part, prefix in file.parts.items()
    }
    for part, count in parameters.items():
        if not count:
            raise ModelError(f"It is {name}, but its {part} is missing. Download the whole checkpoint.", "model")
    first = found.tensors.get(FIRST)
    if first is not None and len(first.shape) == 4 and first.shape[1] != 4:
        raise ModelError(f"It is {name} for inpainting or editing, which needs a picture to start from.", "model")
    if not any(tensor.dtype in FLOATS for tensor in found.tensors.values()):
        raise ModelError("Its weights are of a type that this version does not compute with.", "model")
    scheduler: dict[str, Any] = {} if (said := _prediction(path, found)) is None else {"prediction_type": said}
    if "ztsnr" in found.tensors:
        scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    decoder = found.tensors.get(DECODER)
    latents = Latents(SINGLE, decoder.shape[1] if decoder is not None and len(decoder.shape) == 4 else 0, file.scale)
    return Checkpoint(name, parameters, found.bytes, latents, scheduler)


DECODER = "first_stage_model.decoder.conv_in.weight"
"""The decoder's first layer: its second dimension is the channels of the latents."""

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
"""The U-Net's first layer: its second dimension is the channels that it takes."""
