"""Which models there are: diffusers folders below `models/`. Reads JSON only; knows nothing of torch, so that the page may use it."""

from __future__ import annotations

import difflib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from webui.engine.samplers import check
from webui.errors import ModelError, UserError
from webui.request import Defaults, Request

log = logging.getLogger(__name__)

PIPELINES = ("StableDiffusionPipeline",)
"""Pipeline classes that the engine runs. Anything else is never opened."""

DEPTH = 3
"""Folders below `models/` that are looked into."""

JSON_LIMIT = 1 << 20
"""Largest JSON file that is read, in bytes."""

BUILTIN = "storybook"


class Model(BaseModel):
    """A model as its folder and its card describe it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    """Its folder's path below `models/`: what a request names."""
    path: Path
    title: str
    summary: str = ""
    licence: str = ""
    defaults: Defaults = Defaults()
    ideas: tuple[str, ...] = ()
    """Prompts that it paints well."""
    vocabulary: dict[str, tuple[str, ...]] = {}


def scan(folders: Sequence[Path]) -> dict[str, Model]:
    """Every usable model below the folders, by name; where two have one name, the first folder's counts."""
    found: dict[str, Model] = {}
    for folder in folders:
        for path in _candidates(folder, DEPTH):
            name = path.relative_to(folder).as_posix()
            model = _read(name, path) if name not in found else None
            if model is not None:
                found[name] = model
    return found


def find(models: Mapping[str, Model], name: str | None) -> Model:
    """The model of that name; the built-in one, or else the first, if none is named.

    Raises:
        ModelError: there is no such model; the sentence names the nearest.
    """
    if not models:
        raise ModelError("There is no model. Put a diffusers folder into models/ and start again.", "model")
    if name is None:
        return models.get(BUILTIN) or next(iter(models.values()))
    if name not in models:
        near = difflib.get_close_matches(name, models, 3, 0.4) or sorted(models)[:3]
        raise ModelError(f"There is no model called {name[:80]!r}. Did you mean: {', '.join(near)}?", "model")
    return models[name]


def _candidates(folder: Path, depth: int) -> Iterator[Path]:
    """Folders that hold a model_index.json."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return
    for entry in entries:
        if os.path.exists(entry / "model_index.json"):  # noqa: PTH110 - unlike Path.exists, false where we may not look
            yield entry
        elif depth > 1:
            yield from _candidates(entry, depth - 1)


def _json(file: Path) -> dict[str, Any]:
    """A JSON object, or an empty one if the file holds anything else."""
    try:
        if not file.is_file() or file.stat().st_size > JSON_LIMIT:
            return {}
        value = json.loads(file.read_text(encoding="utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # half a character would break every page that shows it
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read(name: str, path: Path) -> Model | None:
    kind = _json(path / "model_index.json").get("_class_name")
    if kind not in PIPELINES:
        log.warning("models/%s is not offered: it is a %.60r, and this version runs %s", name, kind, ", ".join(PIPELINES))
        return None
    if not name.isprintable():
        log.warning("models/%a is not offered: rename the folder to letters, digits, spaces and dashes", name)
        return None
    card = _json(path / "card.json")
    try:
        model = Model(**({"title": path.name, "defaults": card} | card | {"name": name, "path": path}))
        usual = Request().resolve(model.defaults, name)
        check(usual.sampler, usual.schedule, usual.steps)
    except (ValidationError, TypeError, UserError) as error:
        log.warning("models/%s: its card.json is not understood and is left aside: %s", name, error)
        return Model(name=name, path=path, title=path.name)
    return model
