"""Which models there are below `models/`, and what is wrong with the others. Knows nothing of torch, so that the page may use it."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from webui.engine.families import FAMILIES, PIPELINES, defaults_of, family_of, suits
from webui.engine.files import lora, recognise
from webui.engine.safety import inspect
from webui.engine.tensors import PICKLE, PICKLES, regular
from webui.errors import ModelError, UserError
from webui.request import SIZE_MULTIPLE, Defaults, Request

log = logging.getLogger(__name__)

DEPTH = 3
"""Folders below `models/` that are looked into."""

JSON_LIMIT = 1 << 20
"""Largest card that is read, in bytes."""

PARTS = ("unet", "transformer", "text_encoder", "vae")
"""Folders by which a pipeline is known that has lost its model_index.json."""

FILES = (".safetensors", ".gguf", *PICKLES)
"""Endings of files that somebody may take for a model."""

BUILTIN = "storybook"


class Model(BaseModel):
    """A model as its folder and its card describe it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    """Its path below `models/`: what a request names."""
    path: Path
    title: str
    kind: Literal["model", "lora"] = "model"
    family: str = ""
    """Its row in `FAMILIES`; empty where it is not known."""
    bytes: int = 0
    """Of its weights on disk."""
    parameters: Mapping[str, int] = {}
    """How many numbers each of its parts has."""
    reason: str = ""
    """Why it cannot be used, in a sentence; empty if it can."""
    summary: str = ""
    licence: str = ""
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


def scan(folders: Sequence[Path]) -> dict[str, Model]:
    """Every model below the folders by name, those that cannot be used included; where two have one name, the first folder's counts."""
    found: dict[str, Model] = {}
    for folder in folders:
        for path in _candidates(folder, DEPTH):
            name = path.relative_to(folder).as_posix()
            if name not in found:
                found[name] = _read(name, path)
    return found


def usable(models: Mapping[str, Model]) -> dict[str, Model]:
    """Those that pictures can be made with."""
    return {name: model for name, model in models.items() if model.usable}


def find(models: Mapping[str, Model], name: str | None) -> Model:
    """The model of that name; the built-in one, or else the first, if none is named.

    Raises:
        ModelError: there is no such model, and the sentence names the nearest; or it cannot be used, and the sentence says why.
    """
    offered = usable(models)
    if name is not None and name in models and name not in offered:
        raise ModelError(f"The model {name} cannot be loaded: {models[name].reason}", "model")
    if not offered:
        raise ModelError("There is no model. Put a checkpoint or a diffusers folder into models/ and start again.", "model")
    if name is None:
        return offered.get(BUILTIN) or next(iter(offered.values()))
    if name not in offered:
        near = difflib.get_close_matches(name, offered, 3, 0.4) or sorted(offered)[:3]
        raise ModelError(f"There is no model called {name[:80]!r}. Did you mean: {', '.join(near)}?", "model")
    return offered[name]


def _candidates(folder: Path, depth: int) -> Iterator[Path]:
    """What lies there as a model: folders with a model_index.json, or with a pipeline's parts; and files of weights."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return
    for entry in entries:
        if entry.suffix in FILES:
            yield entry
        elif not entry.is_dir():
            continue
        elif _there(entry / "model_index.json") or any(_there(entry / part / "config.json") for part in PARTS):
            yield entry
        elif depth > 1:
            yield from _candidates(entry, depth - 1)


def _there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # where we may not look
        return False


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


def _read(name: str, path: Path) -> Model:
    shown = name if name.isprintable() else ascii(name)[1:-1]
    try:
        if shown != name:
            raise ModelError("Rename it to letters, digits, spaces and dashes.", "model")
        return _folder(name, path) if path.is_dir() and path.suffix not in FILES else _file(name, path)
    except ModelError as error:
        return Model(name=shown, path=path, title=Path(shown).name, bytes=_bytes(path), reason=error.message)


def _bytes(path: Path) -> int:
    """Of a file; a folder's are not counted where it cannot be used."""
    try:
        return regular(path).st_size
    except ModelError:
        return 0


def _file(name: str, path: Path) -> Model:
    if path.suffix in PICKLES:
        raise ModelError(f"It {PICKLE}.", "model")
    if found_lora := lora(path):
        reason = f"It is a LoRA, which changes a model and is none itself. Use it in a prompt: <lora:{path.stem}:0.8>."
        return Model(
            name=name, path=path, title=path.stem, kind="lora", family=found_lora.family, bytes=found_lora.bytes, reason=reason
        )  # fmt: skip
    found = recognise(path)
    return Model(
        name=name, path=path, title=path.stem, family=found.family, bytes=found.bytes, parameters=found.parameters,
        defaults=defaults_of(found.family, name, {}),
    )  # fmt: skip


def _folder(name: str, path: Path) -> Model:
    found = inspect(path, PIPELINES)
    family = family_of(found.pipeline, found.configs)
    defaults = defaults_of(family, name, found.configs)
    known = {
        "name": name, "path": path, "family": family, "bytes": found.bytes,
        "parameters": found.parameters, "reason": "", "kind": "model",
    }  # fmt: skip
    card = _json(path / "card.json")
    try:
        model = Model(**({"title": path.name} | card | known | {"defaults": defaults.model_dump() | card}))
        suits(Request().resolve(model.defaults, name), family)
    except (ValidationError, TypeError, UserError) as error:
        log.warning("models/%s: its card.json is not understood and is left aside: %s", name, error)
        return Model(**({"title": path.name, "defaults": defaults} | known))
    return model
