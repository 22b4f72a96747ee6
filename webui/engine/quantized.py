"""Weights in 8 bits: each row of a layer's matrix as whole numbers from -127 to 127 and one scale (torchao, int8 weight-only).

A forward turns one matrix at a time back into the type that it computes in, so memory is saved and time is not. Everything that is no
matrix stays as it is. Adapters lie beside the matrices and never in them, so LoRAs work and leave no trace, as they do without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from webui.errors import InvalidRequest, ModelError
from webui.settings import Wishes

MISSING = "--quantize int8 needs torchao, which is not installed: pip install 'stepwise-webui[quantize]'."


def check(wishes: Wishes) -> None:
    """Whether what is asked for is installed. Imports nothing.

    Raises:
        InvalidRequest: it is not; the sentence says how to get it.
    """
    if wishes.quantize == "int8" and find_spec("torchao") is None:
        raise InvalidRequest(MISSING, "quantize")


def loading(parts: Mapping[str, str]) -> dict[str, Any]:
    """What `from_pretrained` of a pipeline is told to load parts in 8 bits, so that they never lie in memory whole.

    Args:
        parts: their names -> the libraries of their classes.
    """
    given = {part: configuration(library) for part, library in parts.items()}
    if not given:
        return {}
    from diffusers.quantizers.pipe_quant_config import PipelineQuantizationConfig

    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=given)}


def configuration(library: str) -> Any:
    """What `from_pretrained` of one part is told. Each library has a class of its own for it.

    Raises:
        ModelError: torchao is not installed.
    """
    import diffusers
    import transformers

    return (diffusers if library == "diffusers" else transformers).TorchAoConfig(_scheme())


def quantize(pipe: Any, parts: Iterable[str], dtype: Any) -> None:
    """Those of these parts that are not in 8 bits yet, since what opened them could not load them so: matrix by matrix, here and now.

    Args:
        dtype: what the rest is computed in, and each matrix is read as.
    """
    for part in parts:
        module = getattr(pipe, part)
        if getattr(module, "hf_quantizer", None) is not None:
            continue
        from torch.nn import Linear
        from torchao.quantization import quantize_

        for layer in module.modules():
            if isinstance(layer, Linear):
                layer.to(dtype)
                quantize_(layer, _scheme())
        module.to(dtype)


def _scheme() -> Any:
    try:
        from torchao.quantization import Int8WeightOnlyConfig
    except ImportError as error:
        raise ModelError(MISSING, "quantize") from error
    # Without changing settings of a compiler that others may use.
    return Int8WeightOnlyConfig(set_inductor_config=False)
