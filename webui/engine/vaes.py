"""The autoencoder (VAE) that a request names in place of its model's own. Knows nothing of torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import PurePath

from webui.engine.catalogue import Model
from webui.errors import InvalidRequest


def fitting(models: Mapping[str, Model], model: Model) -> dict[str, Model]:
    """The VAEs that fit a model, by name, in order of their titles."""
    found = [one for one in models.values() if one.kind == "vae" and fits(one, model)]
    return {one.name: one for one in sorted(found, key=lambda one: (one.title.casefold(), one.name))}


def fits(vae: Model, model: Model) -> bool:
    """Whether the model's latents are what the VAE reads, as far as the files of both tell it."""
    return vae.latents is not None and model.latents is not None and vae.latents.fit(model.latents)


def named(models: Mapping[str, Model], name: str) -> Model | None:
    """The VAE of that name: its path below `models/`, or the name of its file, with or without the ending, as other programs write it.

    Raises:
        InvalidRequest: what has that name is damaged; the sentence says how.
    """
    # Of ten thousand files only those are looked at that may be meant.
    meant = [models[name]] if name in models else [models[path] for path in models if name in path and name in _called(path)]
    found = next((model for model in meant if model.kind == "vae"), None)
    if found is None and (damaged := next((model for model in meant if model.kind == "model" and model.reason), None)):
        raise InvalidRequest(f"{name[:80]} cannot be used as a VAE: {damaged.reason}", "vae")
    return found


def chosen(name: str | None, model: Model, models: Mapping[str, Model]) -> Model | None:
    """The VAE that a request names for its model; `None` where that is the model's own.

    Raises:
        InvalidRequest: there is none of that name, and the sentence names the nearest; or it does not fit the model.
    """
    if name is None:
        return None
    vae = named(models, name)
    if vae is None:
        there = {call: path for path in fitting(models, model) for call in (path, *_called(path))}
        near = list(dict.fromkeys(there[call] for call in difflib.get_close_matches(name, there, 3, 0.4)))
        hint = f"Did you mean: {', '.join(near)}?" if near else "Put its .safetensors file into models/vae/, or choose Automatic."
        raise InvalidRequest(f"There is no VAE called {name[:80]!r}. {hint}", "vae")
    if not fits(vae, model):
        whose = f"an {vae.latents}" if vae.latents else "one that is opened as a diffusers folder alone"
        own = f", and the model's own is an {model.latents}" if model.latents else ""
        raise InvalidRequest(f"The VAE {vae.name[:80]} does not fit {model.title[:80]}: it is {whose}{own}. Choose Automatic.", "vae")
    return vae


def _called(path: str) -> tuple[str, ...]:
    """What a VAE is called besides its path."""
    pure = PurePath(path)
    return pure.name, pure.stem, str(pure.with_suffix(""))
