"""One file or folder below `models/` -> what it is, or why it cannot be used. Nothing is unpickled, executed or believed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from webui.engine.cards import read_json, said_by, told
from webui.engine.catalogue import Model
from webui.engine.extras import Extra, extra, latents_of
from webui.engine.families import FAMILIES, LENDERS, PIPELINES, defaults_of, family_of, suits
from webui.engine.files import recognised
from webui.engine.gguf import any_header
from webui.engine.safety import AUTOENCODERS, Folder, inspect, inspect_autoencoder
from webui.engine.tensors import PICKLE, PICKLES, Header, regular
from webui.errors import ModelError, UserError
from webui.request import Request

log = logging.getLogger(__name__)

FILES = (".safetensors", ".gguf", *PICKLES)
"""Endings of files that somebody may take for a model."""

UNUTTERABLE = frozenset("<>:")
"""Signs that end a name in a prompt."""

PURPOSES = {
    "lora": "It is a LoRA, which changes a model and is none itself. Use it in a prompt: <lora:{stem}:0.8>.",
    "vae": "It is an autoencoder (VAE), which is a part of a model. Choose it under VAE, with a model that it fits.",
    "parts": "It is what files with a denoiser of {family} need beside them, and has no denoiser itself.",
    "embedding": "It is a textual-inversion embedding, which is a word for a model: write {stem} into a prompt.",
}
"""Kind -> what is said where somebody takes it for a model."""


class Place(NamedTuple):
    """Where something lies, and what lies beside it under its name."""

    path: Path
    notes: tuple[Path, ...] = ()
    """What is said of it: .json, .yaml."""
    thumbnail: str = ""
    """A picture."""


def read(name: str, place: Place) -> Model:
    """What lies there under that name. What cannot be used has its reason."""
    shown = name if name.isprintable() else ascii(name)[1:-1]
    path = place.path
    try:
        if shown != name:
            raise ModelError("Rename it to letters, digits, spaces and dashes.", "model")
        return _file(name, place) if path.suffix.lower() in FILES or not path.is_dir() else _folder(name, place)
    except ModelError as error:
        return Model(
            name=shown, path=path, title=Path(shown).name, bytes=_bytes(path), reason=error.message, thumbnail=place.thumbnail
        )  # fmt: skip


def _width(family: str, found: Folder) -> int:
    """Of the text that the denoiser of a folder takes, where its configuration says it."""
    kind = FAMILIES[family].denoiser
    width = found.configs.get(found.denoiser, {}).get(kind.text) if kind is not None else None
    return width if isinstance(width, int) else 0


def _bytes(path: Path) -> int:
    """Of a file; a folder's are not counted where it cannot be used."""
    try:
        return regular(path).st_size
    except ModelError:
        return 0


def _file(name: str, place: Place) -> Model:
    if place.path.suffix.lower() in PICKLES:
        raise ModelError(f"It {PICKLE}.", "model")
    found = any_header(place.path)
    if (other := extra(found)) is not None:
        return _extra(name, place, other, found)
    checkpoint = recognised(place.path, found)
    known = {
        "name": name, "path": place.path, "family": checkpoint.family, "bytes": checkpoint.bytes, "parameters": checkpoint.parameters,
        "matrices": checkpoint.matrices, "latents": checkpoint.latents,
        "defaults": defaults_of(checkpoint.family, name, {}), "thumbnail": place.thumbnail,
        "holds": checkpoint.holds, "width": checkpoint.width, "packed": checkpoint.packed,
    }  # fmt: skip
    return Model(**({"title": place.path.stem, "summary": checkpoint.summary} | _told(place, found) | known))


def _extra(name: str, place: Place, other: Extra, found: Header) -> Model:
    stem = place.path.stem if place.path.suffix.lower() in FILES else place.path.name
    if other.kind != "vae" and UNUTTERABLE & set(stem):
        raise ModelError("Rename it: its name goes into prompts, where <, > and : mean something else.", "model")
    known = {
        "name": name, "path": place.path, "kind": other.kind, "family": other.family, "bytes": found.bytes, "parameters": other.parameters,
        "latents": other.latents, "reason": PURPOSES[other.kind].format(stem=stem), "thumbnail": place.thumbnail,
    }  # fmt: skip
    return Model(**({"title": stem, "summary": other.summary} | _told(place, found) | known))


def _autoencoder(name: str, place: Place) -> Model:
    part = inspect_autoencoder(place.path)
    found = part.headers[0]._replace(bytes=sum(one.bytes for one in part.headers))
    other = extra(found) or Extra("vae", "", {})
    counted = {"vae": sum(one.parameters for one in part.headers)}
    return _extra(name, place, other._replace(parameters=counted, latents=latents_of(part.config)), found)


def _told(place: Place, found: Header) -> dict[str, Any]:
    card = next((file for file in place.notes if file.suffix == ".json"), None)
    return told(found.metadata, read_json(card) if card else {})


def _folder(name: str, place: Place) -> Model:
    path = place.path
    if not (path / "model_index.json").exists() and read_json(path / "config.json").get("_class_name") in AUTOENCODERS:
        return _autoencoder(name, place)
    found = inspect(path, PIPELINES, LENDERS)
    family = family_of(found.pipeline, found.configs)
    defaults = defaults_of(family, name, found.configs)
    known = {
        "name": name, "path": path, "family": family, "bytes": found.bytes,
        "parameters": found.parameters, "matrices": found.matrices, "latents": latents_of(found.configs.get("vae", {})),
        "reason": "", "kind": "model", "thumbnail": place.thumbnail,
        "holds": (), "fetch": "", "lender": "", "around": None, "width": _width(family, found),
    }  # fmt: skip
    if not found.whole:
        known |= {"kind": "parts", "reason": PURPOSES["parts"].format(family=family)}
    card = {field: value for field, value in read_json(path / "card.json").items() if field not in ("words", "stamp", "sha256", "body")}
    plain = {"title": path.name, **said_by(path / "README.md")}
    try:
        model = Model(**(plain | card | known | {"defaults": defaults.model_dump() | card}))
        suits(Request().resolve(model.defaults, name), family)
    except (ValidationError, TypeError, UserError) as error:
        log.warning("models/%s: its card.json is not understood and is left aside: %s", name, error)
        return Model(**(plain | known | {"defaults": defaults}))
    return model
