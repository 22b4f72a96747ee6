"""Families of models: what each runs on, needs and proposes. A literal table; knows nothing of torch, so that the page may read it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from webui.request import Defaults


class Family(NamedTuple):
    """One row."""

    pipelines: tuple[str, ...]
    """Classes of diffusers."""
    defaults: Defaults
    marks: Mapping[tuple[str, str], Any] = {}
    """(part, key) of a folder's configuration -> the value that tells this family from others of the same pipeline."""


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "Stable Diffusion 2.x": Family(("StableDiffusionPipeline",), Defaults(), {("unet", "cross_attention_dim"): 1024}),
        "Stable Diffusion 1.x": Family(("StableDiffusionPipeline",), Defaults()),
    }
)
"""The first row that fits a model is its family."""

PIPELINES = tuple(dict.fromkeys(name for family in FAMILIES.values() for name in family.pipelines))


def family_of(pipeline: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    """The family of a folder with this pipeline and these configurations of its parts."""
    return next(
        name
        for name, family in FAMILIES.items()
        if pipeline in family.pipelines and all(configs.get(part, {}).get(key) == value for (part, key), value in family.marks.items())
    )
