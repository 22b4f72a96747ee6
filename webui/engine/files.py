"""What a single .safetensors file is, by the names and shapes of its tensors. Knows nothing of torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from webui.engine import gguf
from webui.engine.catalogue import Latents
from webui.engine.denoisers import inner
from webui.engine.extras import SINGLE
from webui.engine.families import FAMILIES, File
from webui.engine.gguf import any_header
from webui.engine.tensors import FLOATS, Header, Tensor, in_matrices, regular
from webui.errors import ModelError

DATA = Path(__file__).parent / "data"
"""Configurations of the families that single files are opened for: the files hold weights alone."""

ALONE = "Use the diffusers folder of the model."

OTHERS: tuple[tuple[str, str], ...] = (
    # What else is shared as one file: the beginning of a tensor's name as a regular expression, and what to say.
    (r"(encoder|decoder)\.(conv_in|down\.|up_blocks|down_blocks)", "It is an autoencoder (VAE), which is a part of a model."),
    (r"emb_params$|clip_[lg]$|string_to_param", "It is a textual-inversion embedding, which is a word for a model."),
    (r"control_model\.|controlnet_|input_hint_block", "It is a ControlNet, which steers a model and is none itself."),
    (
        r"(model\.diffusion_model\.|diffusion_model\.)?(double_blocks|joint_blocks|double_layers|layers\.\d+\.adaLN_modulation)\b",
        f"It is a transformer of a kind that this version does not know, or too much of it is missing. {ALONE}",
    ),
    (
        r"(model\.diffusion_model\.)?blocks\.\d+\.cross_attn\.q_linear",
        f"It is PixArt, or a version of Sana with layers more, whose single files are not opened. {ALONE}",
    ),
    (
        r"(model\.diffusion_model\.|transformer\.)?(single_|joint_)?transformer_blocks\.",
        "It is a transformer under the names of diffusers. Put it into the folder transformer of a diffusers folder of its model.",
    ),
    (
        r"(text_model|transformer\.text_model|transformer\.resblocks|encoder\.block|model\.layers|(enc\.|v\.)?blk)\.",
        "It is a text encoder, which is a part of a model.",
    ),
    (r"(down_blocks|up_blocks|mid_block|time_embedding|input_blocks)\.", "It is a U-Net alone, without text encoder and autoencoder."),
)


EIGHTHS = ("F8_E4M3", "F8_E5M2")
"""Types of one byte that are read as they are, and computed with in a larger one."""

PLAIN = "Use its file in bf16, fp16 or plain fp8."

UNREAD = f"This version does not read such files. {PLAIN}"

QUANTISED: tuple[tuple[str, str], ...] = (
    # The name of a tensor that only such files have, and what to say.
    (r"(scale_weight|scale_input|weight_scale|input_scale|scaled_fp8|weight_scale_2)$",
     f"its weights are fp8 with scales beside them. {UNREAD}"),
    (r"(bitsandbytes__|absmax$|quant_map$|quant_state)", f"its weights are in few bits, as bitsandbytes packs them. {UNREAD}"),
    (r"(\.qweight$|\.wscales$|\.qzeros$)", f"its weights are packed in few bits. {UNREAD}"),
)  # fmt: skip


SPOKEN = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon", "eps": "epsilon"}
"""A model's notes -> the scheduler's word."""

PARAMETERIZATION = re.compile(r"""^\s*parameterization:\s*["']?v["']?\s*$""", re.MULTILINE)

YAML_LIMIT = 1 << 20


class Checkpoint(NamedTuple):
    """A file that can be opened as a whole pipeline."""

    family: str
    parameters: Mapping[str, int]
    matrices: Mapping[str, int]
    bytes: int
    scheduler: Mapping[str, Any]
    """What the file says of its noise schedule, above the family's configuration."""
    holds: tuple[str, ...] = ()
    """The parts that it holds, where others must come from elsewhere."""
    width: int = 0
    """Of the text that its denoiser takes, where parts must come from elsewhere."""
    packed: Mapping[str, int] = {}
    """Bytes of the matrices of parts that stay packed in memory."""
    summary: str = ""
    """What is to be said of the file."""
    latents: Latents | None = None
    """Of its autoencoder, where it holds one."""


def recognise(path: Path) -> Checkpoint:
    """What the file is.

    Raises:
        ModelError: it is damaged, or no whole model of a family that is opened from one file; the sentence says what it is.
    """
    return recognised(path, any_header(path))


def recognised(path: Path, found: Header) -> Checkpoint:
    """What the file at `path`, with this header, is.

    Raises:
        ModelError: no whole model of a family that is opened from one file; the sentence says what it is.
    """
    for name, family in FAMILIES.items():
        if family.file and _fits(found, family.file):
            return _checkpoint(path, found, name, family.file)
    if (alone := _denoiser(path, found)) is not None:
        return alone
    for key in found.tensors:
        for pattern, sentence in OTHERS:
            if re.match(pattern, key):
                raise ModelError(sentence, "model")
    raise ModelError("It is not an image model that this version knows.", "model")


def _fits(found: Header, file: File) -> bool:
    """The tell-tale tensor is there, with the width of the text that it takes."""
    tensor = found.tensors.get(file.key)
    return tensor is not None and len(tensor.shape) > 1 and tensor.shape[-1] == file.width


def _denoiser(path: Path, found: Header) -> Checkpoint | None:
    """A file with a denoiser whose other parts lie elsewhere."""
    names, packed = inner(found.tensors), path.suffix.lower() == ".gguf"
    shapes = {name: found.tensors[key].shape for name, key in names.items()}
    for name, family in FAMILIES.items():
        kind = family.denoiser
        if kind is None or not all(key in shapes for key in kind.keys) or any(key in shapes for key in kind.absent):
            continue
        stem = path.stem.lower()
        if (kind.word and kind.word not in stem) or (kind.unless and kind.unless in stem):
            continue
        for sign, sentence in QUANTISED:
            if any(re.search(sign, key) for key in found.tensors):
                raise ModelError(f"It is {name}, but {sentence}", "model")
        if not all(found.tensors[key].dtype in (gguf.BY_NAME if packed else (*FLOATS, *EIGHTHS)) for key in names.values()):
            raise ModelError(f"It is {name}, but its weights are of a type that this version does not compute with. {PLAIN}", "model")
        try:
            width = int(kind.config[kind.text](shapes, {}))
            enters, leaves = (shapes[kind.channels[0]][1], shapes[kind.channels[1]][0]) if kind.channels[0] else (0, 0)
        except (KeyError, IndexError):
            continue
        if enters > leaves:
            raise ModelError(f"It is {name} for inpainting or editing, which needs a picture to start from.", "model")
        tensors = {name: found.tensors[key] for name, key in names.items()}
        count, part = sum(math.prod(shape) for shape in shapes.values()), "transformer"
        if packed:
            if said := gguf.unread(tensors, found.metadata):
                raise ModelError(f"It is {name}, but {said}.", "model")
            matrices, bytes = gguf.packed(tensors)
            summary = gguf.described(tensors)
            return Checkpoint(name, {part: count}, {part: matrices}, found.bytes, {}, (part,), width, {part: bytes}, summary)
        held = {part: _beginning(found, begins) for part, begins in kind.held.items()}
        parts = {part: tensors} | {part: inside for part, inside in held.items() if inside}
        parameters = {part: sum(math.prod(tensor.shape) for tensor in inside.values()) for part, inside in parts.items()}
        in_them = {part: in_matrices(inside) for part, inside in parts.items()}
        return Checkpoint(name, parameters, in_them, found.bytes, {}, tuple(parts), width)
    return None


def _beginning(found: Header, begins: str | tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors whose names begin so."""
    return {key: tensor for key, tensor in found.tensors.items() if key.startswith(begins)}


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
    parts = {part: _beginning(found, prefix) for part, prefix in file.parts.items()}
    parameters = {part: sum(math.prod(tensor.shape) for tensor in inside.values()) for part, inside in parts.items()}
    matrices = {part: in_matrices(inside) for part, inside in parts.items()}
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
    return Checkpoint(name, parameters, matrices, found.bytes, scheduler, latents=latents)


DECODER = "first_stage_model.decoder.conv_in.weight"
"""The decoder's first layer: its second dimension is the channels of the latents."""

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
"""The U-Net's first layer: its second dimension is the channels that it takes."""
