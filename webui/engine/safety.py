"""A model's folder is judged before diffusers or transformers see it: what could run code, escape or hang is refused by name.

Both libraries have had ways from a configuration file to code (CVE-2026-44513, CVE-2026-45804, CVE-2026-4372, CVE-2026-5241), because
their gates sat where files are downloaded, not where they are loaded. This one is asked when a model is listed and again right before it
is opened. Knows nothing of torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from webui.engine.tensors import FLOATS, PICKLE, PICKLES, Header, header, regular
from webui.errors import ModelError

JSON_LIMIT = 4 << 20
"""Largest configuration that is read, in bytes. The index of a model in a hundred shards has a tenth of it."""

FORBIDDEN = ("auto_map", "_attn_implementation_internal", "trust_remote_code", "custom_pipelines", "custom_pipeline")
"""Keys of a configuration that name code to run."""

SCHEDULERS = (
    "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler", "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler", "PNDMScheduler", "SASolverScheduler", "TCDScheduler",
    "UniPCMultistepScheduler",
)  # fmt: skip
DENOISERS = (
    "AuraFlowTransformer2DModel", "ChromaTransformer2DModel", "Flux2Transformer2DModel", "FluxTransformer2DModel",
    "HiDreamImageTransformer2DModel", "Lumina2Transformer2DModel", "PixArtTransformer2DModel", "QwenImageTransformer2DModel",
    "SD3Transformer2DModel", "SanaTransformer2DModel", "UNet2DConditionModel", "ZImageTransformer2DModel",
    "CogView4Transformer2DModel", "HunyuanDiT2DModel", "LuminaNextDiT2DModel", "OvisImageTransformer2DModel",
)  # fmt: skip
AUTOENCODERS = ("AutoencoderDC", "AutoencoderKL", "AutoencoderKLFlux2", "AutoencoderKLQwenImage", "AutoencoderTiny")
ENCODERS = (
    "CLIPTextModel", "CLIPTextModelWithProjection", "CLIPVisionModelWithProjection", "Gemma2ForCausalLM", "Gemma2Model", "LlamaForCausalLM",
    "Mistral3ForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration", "Qwen3ForCausalLM", "Qwen3Model", "SiglipVisionModel",
    "T5EncoderModel", "UMT5EncoderModel", "BertModel", "GemmaForCausalLM", "GemmaModel", "GlmModel",
)  # fmt: skip
TOKENIZERS = (
    "CLIPTokenizer", "CLIPTokenizerFast", "GemmaTokenizer", "GemmaTokenizerFast", "LlamaTokenizer", "LlamaTokenizerFast",
    "PixtralProcessor", "PreTrainedTokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast", "T5Tokenizer", "T5TokenizerFast",
    "TokenizersBackend", "BertTokenizer", "BertTokenizerFast",
)  # fmt: skip
GLM = "ChatGLMModel"
"""Of Kolors, in diffusers."""
PROCESSORS = ("CLIPFeatureExtractor", "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "SiglipImageProcessor")

ALLOWED: Mapping[str, frozenset[str]] = {
    "diffusers": frozenset((*SCHEDULERS, *DENOISERS, *AUTOENCODERS)),
    "transformers": frozenset((*ENCODERS, *TOKENIZERS, *PROCESSORS)),
    "kolors": frozenset((GLM, "ChatGLMTokenizer")),
    # The old safety checker: named by many folders, never loaded.
    "stable_diffusion": frozenset(("StableDiffusionSafetyChecker",)),
}
"""Library -> classes that a folder may ask for."""

UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts that text-to-image does without: never loaded, so never asked for."""

VARIANT = "fp16"
"""Weights under this suffix are taken where there are none without."""


INSTEAD = {"PixtralProcessor": "AutoTokenizer"}
"""It reads pictures too, for which it wants a library more; for text it is its tokenizer."""

LLAMA = {"text_encoder_4": ("transformers", "LlamaForCausalLM"), "tokenizer_4": ("transformers", "PreTrainedTokenizerFast")}

BESIDE: Mapping[str, Mapping[str, tuple[str, str]]] = {"HiDreamImagePipeline": LLAMA}
"""Pipeline -> parts that its makers do not ship with it; they lie in folders of these names all the same."""

NEEDS: Mapping[str, str] = {
    "HiDreamImagePipeline": (
        "HiDream reads prompts with Llama 3.1 8B Instruct too, which does not come with it. Download meta-llama/Llama-3.1-8B-Instruct, "
        "and put its config.json and .safetensors files into the folder text_encoder_4 of this model, its tokenizer into tokenizer_4."
    ),
}
"""Pipeline -> what to do where they are missing."""


class Folder(NamedTuple):
    """A diffusers folder that may be opened."""

    pipeline: str
    """Class of the pipeline."""
    configs: Mapping[str, Mapping[str, Any]]
    """Each part's configuration; under "" the pipeline's own."""
    parameters: Mapping[str, int]
    """Numbers in each part that has weights."""
    matrices: Mapping[str, int]
    """Those in matrices of layers."""
    bytes: int
    """Of all weights that would be loaded."""
    variant: str | None
    """What `from_pretrained` must be told to find the weights."""
    apart: Mapping[str, tuple[str, str]]
    """Parts that the pipeline's own loader does not find or cannot open -> library and class."""
    denoiser: str
    """The part that every step calls."""

    @property
    def whole(self) -> bool:
        """Whether the denoiser's weights are there too, if the index names one."""
        return not self.denoiser or self.denoiser in self.parameters


class Part(NamedTuple):
    """A folder with one part of a pipeline that may be opened."""

    config: Mapping[str, Any]
    headers: Sequence[Header]
    """Of its files of weights."""
    variant: str | None
    """As in `Folder`."""


def inspect_autoencoder(path: Path) -> Part:
    """Look at a folder that holds an autoencoder and nothing else, as it would be opened.

    Raises:
        ModelError: it must not be opened, or cannot be; the sentence says why.
    """
    config = read_json(path / "config.json")
    if config.get("_class_name") not in AUTOENCODERS:
        raise ModelError("It is no autoencoder that this version knows.", "model")
    _no_code(path)
    files, variant = weights(path)
    return Part(config, [header(file) for file in files], variant)


def inspect(path: Path, pipelines: tuple[str, ...], lenders: Collection[str] = ()) -> Folder:
    """Look at a folder as it would be opened. `pipelines` are the classes that may be.

    Of `lenders` among them the denoiser may be missing, whole: such a folder lends its other parts to files that hold a denoiser.

    Raises:
        ModelError: it must not be opened, or cannot be; the sentence says why.
    """
    index = read_json(path / "model_index.json")
    kind = index.get("_class_name")
    if kind not in pipelines:
        raise ModelError(f"It is a {str(kind)[:60]!r}, which is no text-to-image pipeline that this version runs.", "model")
    _no_code(path)
    configs: dict[str, Mapping[str, Any]] = {"": index}
    parameters: dict[str, int] = {}
    matrices: dict[str, int] = {}
    size, variant, denoiser = 0, None, ""
    beside = BESIDE.get(kind, {})
    missing = [part for part in beside if part not in index]
    if any(not (path / part).is_dir() for part in missing):
        raise ModelError(NEEDS[kind], "model")
    apart = {part: beside[part] for part in missing}
    for part, library, name in _parts({**index, **{part: list(beside[part]) for part in missing}}):
        if name in INSTEAD:
            apart[part] = (library, INSTEAD[name])
        folder = path / part
        if name in DENOISERS:
            denoiser = part
            if kind in lenders and not _weighty(folder):
                configs[part] = _configs(folder) if folder.is_dir() else {}
                continue
        if not folder.is_dir():
            raise ModelError(f"Its folder {part} is missing. Download the model again, whole.", "model")
        _no_code(folder)
        configs[part] = _configs(folder)
        if name in (*DENOISERS, *AUTOENCODERS, *ENCODERS, GLM):
            files, found = weights(folder)
            variant = variant or found
            headers = [header(file) for file in files]
            if not any(tensor.dtype in FLOATS for one in headers for tensor in one.tensors.values()):
                raise ModelError(f"The weights in {part} are of a type that this version does not compute with.", "model")
            parameters[part] = sum(one.parameters for one in headers)
            matrices[part] = sum(one.matrices for one in headers)
            size += sum(one.bytes for one in headers)
    return Folder(kind, configs, parameters, matrices, size, variant, apart, denoiser)


def read_json(file: Path) -> dict[str, Any]:
    """A configuration.

    Raises:
        ModelError: it is no JSON object, is too large or too deep, or names code to run.
    """
    if regular(file).st_size > JSON_LIMIT:
        raise ModelError(f"{file.name} is too large for a configuration.", "model")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        forbidden = next((key for key in _keys(value) if key in FORBIDDEN), None)
    except OSError:
        raise ModelError(f"{file.name} cannot be read.", "model") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{file.name} is damaged: it is not JSON.", "model") from None
    if not isinstance(value, dict):
        raise ModelError(f"{file.name} is damaged: it is not a JSON object.", "model")
    if forbidden:
        message = f"{file.name} asks for code of its own to be run ({forbidden}): such models are not opened."
        raise ModelError(f"{message} Remove that entry if you trust the rest.", "model")
    if not isinstance(value.get("_class_name", ""), str):
        raise ModelError(f"{file.name} asks for code of its own to be run (_class_name is a list): such models are not opened.", "model")
    return value


def _keys(value: Any) -> Iterator[str]:
    """All keys, at any depth."""
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def _parts(index: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, library and class of each part that would be loaded."""
    for part, value in index.items():
        if part.startswith("_") or not isinstance(value, list) or value == [None, None]:
            continue
        library, kind = value if len(value) == 2 else (None, None)
        if not (isinstance(library, str) and isinstance(kind, str) and kind in ALLOWED.get(library, ())):
            raise ModelError(f"Its part {part[:40]!r} asks for {str(value)[:80]}, which is not among the classes that are opened.", "model")
        if not part.isidentifier():
            raise ModelError(f"Its model_index.json names a part {part[:40]!r}, which is no name of a folder.", "model")
        if part not in UNUSED:
            yield part, library, kind


def _weighty(folder: Path) -> bool:
    """Whether there is anything of a part's weights."""
    return folder.is_dir() and any(file.suffix in (".safetensors", *PICKLES) or ".index." in file.name for file in folder.iterdir())


def _no_code(folder: Path) -> None:
    """Both libraries import Python files that lie beside a configuration, and wait for ever at a pipe."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        raise ModelError(f"The folder {folder.name} may not be read: no permission.", "model") from None
    for entry in entries:
        if entry.suffix in (".py", ".pyc", ".so"):
            message = (
                f"It comes with code of its own ({entry.name[:60]!a}): such models are not opened. Remove the file if you trust the rest."
            )
            raise ModelError(message, "model")
        if not entry.is_dir():
            regular(entry)


def _configs(folder: Path) -> Mapping[str, Any]:
    """The part's configuration, after a look into every small JSON file that lies beside it."""
    config: Mapping[str, Any] = {}
    for file in sorted(folder.glob("*.json")):
        if file.name in ("tokenizer.json", "vocab.json", "added_tokens.json"):
            continue  # large, and read by libraries that know no classes
        value = read_json(file)
        if file.name in ("config.json", "scheduler_config.json"):
            config = value
    return config


def weights(folder: Path) -> tuple[list[Path], str | None]:
    """The files that would be loaded, and their variant."""
    for variant in (None, VARIANT):
        infix = f".{variant}" if variant else ""
        for stem in ("diffusion_pytorch_model", "model"):
            index = folder / f"{stem}.safetensors.index{infix}.json"
            if index.exists():
                return _shards(folder, index), variant
            file = folder / f"{stem}{infix}.safetensors"
            if file.exists() or file.is_symlink():
                return [file], variant
    pickle = next((file.name for file in sorted(folder.iterdir()) if file.suffix in PICKLES), None)
    if pickle:
        raise ModelError(f"{pickle[:60]!a} in {folder.name} {PICKLE}.", "model")
    raise ModelError(f"The weights in {folder.name} are missing. Download the model again, whole.", "model")


def _shards(folder: Path, index: Path) -> list[Path]:
    places = read_json(index).get("weight_map")
    names = set(places.values()) if isinstance(places, dict) and all(isinstance(name, str) for name in places.values()) else {""}
    for name in names:
        if not name.endswith(".safetensors") or "/" in name or "\\" in name or name.startswith("."):
            raise ModelError(f"{index.name} names {name[:60]!a} as weights, which is no file in its folder.", "model")
    missing = sorted(name for name in names if not (folder / name).exists())
    if missing:
        raise ModelError(
            f"{len(missing)} of the {len(names)} files of weights in {folder.name} are missing, such as {missing[0][:80]!a}.", "model"
        )
    return [folder / name for name in sorted(names)]
