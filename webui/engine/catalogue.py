"""A model as it is known, and how it is found by name. Knows nothing of torch, so that the page may use it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, computed_field

from webui.engine.families import FAMILIES
from webui.errors import ModelError
from webui.request import SIZE_MULTIPLE, Defaults

BUILTIN = "storybook"


class Latents(NamedTuple):
    """What an autoencoder reads. Nothing tells one apart from another beyond this: so far two of them may be exchanged."""

    kind: str
    """Its class in diffusers."""
    channels: int
    scale: float | None = None
    """What they are multiplied by for the denoiser, where it is known; a file of weights does not say it."""

    def fit(self, others: Latents) -> bool:
        """Whether these can be read in place of the others."""
        return self[:2] == others[:2] and (None in (self.scale, others.scale) or self.scale == others.scale)

    def __str__(self) -> str:
        scaled = "" if self.scale is None else f", scaled by {self.scale:g}"
        return f"{self.kind} with {self.channels} latent channels{scaled}"


class Model(BaseModel):
    """A model, or what changes one, as its files and its card describe it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    """Its path below `models/`: what a request names."""
    path: Path
    title: str
    kind: Literal["model", "lora", "vae", "embedding", "parts"] = "model"
    """Parts are what files of a family need beside their denoiser, in a folder that has none itself."""
    family: str = ""
    """Its row in `FAMILIES`; empty where it is not known."""
    bytes: int = 0
    """Of its weights on disk."""
    parameters: Mapping[str, int] = {}
    """How many numbers each of its parts has."""
    latents: Latents | None = None
    """Of its autoencoder, or of the autoencoder that it is; `None` where that is not known."""
    matrices: Mapping[str, int] = {}
    """How many of them lie in the matrices of its layers, which can be kept in 8 bits."""
    packed: Mapping[str, int] = {}
    """Bytes of the matrices of parts that stay packed as they are in their file."""
    reason: str = ""
    """Why no pictures can be made with it, in a sentence; empty if they can. What is no model says what it is for."""
    holds: tuple[str, ...] = ()
    """The parts of its pipeline that its file holds, where others must come from elsewhere; empty if it needs no others."""
    width: int = 0
    """Of the text that its denoiser takes, where that is known: by it, files and folders that go together are told."""
    lender: str = ""
    """The name of the folder that the parts come from which its file does not hold."""
    around: Path | None = Field(default=None, exclude=True)
    """Where that folder lies."""
    fetch: str = ""
    """What can be downloaded to make it usable, as `webui models add` takes it; empty where nothing is needed."""
    summary: str = ""
    licence: str = ""
    training: str = ""
    """What it was trained on, in a sentence."""
    words: tuple[str, ...] = ()
    """What a LoRA was trained to listen to."""
    thumbnail: str = ""
    """A picture of the same name, in the same folder."""
    stamp: str = ""
    """Sizes and times of the files that it was read from: another stamp, another model."""
    sha256: str = ""
    """Of a single file; empty until it has been computed. A1111 shows the first ten digits."""
    body: str = ""
    """The same without the file's header: what A1111 calls a LoRA by, its first twelve digits."""
    defaults: Defaults = Defaults()
    ideas: tuple[str, ...] = ()
    """Prompts that it paints well."""
    vocabulary: dict[str, tuple[str, ...]] = {}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def samplers(self) -> tuple[str, ...]:
        """Those that it runs with."""
        return tuple(FAMILIES[self.family].samplers) if self.family else ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def guidance(self) -> str:
        """What its guidance is called; empty where it has none."""
        return FAMILIES[self.family].guidance if self.family else ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def negative(self) -> bool:
        """Whether a negative prompt has an effect."""
        return bool(self.family) and FAMILIES[self.family].negative

    @computed_field  # type: ignore[prop-decorator]
    @property
    def multiple(self) -> int:
        """Width and height are multiples of this many pixels."""
        return FAMILIES[self.family].multiple if self.family else SIZE_MULTIPLE

    @property
    def usable(self) -> bool:
        """Whether pictures can be made with it."""
        return not self.reason


def usable(models: Mapping[str, Model]) -> dict[str, Model]:
    """Those that pictures can be made with."""
    return {name: model for name, model in models.items() if model.usable}


def find(models: Mapping[str, Model], name: str | None) -> Model:
    """The model of that name; the built-in one, or else the first, if none is named. Only what is asked for is looked at.

    Raises:
        ModelError: there is no such model, and the sentence names the nearest; or it cannot be used, and the sentence says why.
    """
    if name is not None and name in models:
        model = models[name]  # once: a shelf looks at the file each time
        if model.usable:
            return model
        raise ModelError(f"The model {name} cannot be loaded: {model.reason}", "model")
    default = (
        models[BUILTIN] if BUILTIN in models and models[BUILTIN].usable else next((one for one in models.values() if one.usable), None)
    )
    if default is None:
        raise ModelError("There is no model. Put a checkpoint or a diffusers folder into models/.", "model")
    if name is None:
        return default
    offered = usable(models)
    near = difflib.get_close_matches(name, offered, 3, 0.4) or sorted(offered)[:3]
    raise ModelError(f"There is no model called {name[:80]!r}. Did you mean: {', '.join(near)}?", "model")
