"""What lies below `models/` as a model: names and places, from folders' listings alone. No file is opened."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from webui.engine.entry import FILES, Place

DEPTH = 8
"""Folders below `models/` that are looked into."""

PARTS = ("unet", "transformer", "text_encoder", "vae")
"""Folders by which a pipeline is known that has lost its model_index.json."""

PICTURES = (".preview.png", ".preview.jpg", ".png", ".jpg", ".jpeg", ".webp")
"""Endings of a model's thumbnail; A1111 writes the first."""

NOTES = (".json", ".yaml")
"""Endings of what is said of a model beside it: its card, and its configuration as the makers of Stable Diffusion write it."""

NOWHERE = -1
"""The time of what cannot be looked at."""

Times = dict[Path, int]
"""Folder -> when something last came, went or was renamed in it, in nanoseconds."""


def walk(folder: Path, times: Times) -> Iterator[tuple[str, Place]]:
    """Name and place of every model: folders as diffusers saves them, or with a pipeline's parts, and files of weights.

    All folders that were looked into are noted in `times`: while these do not change, a second walk finds the same.
    """
    return _walk(folder, "", DEPTH, frozenset(), times)


def changed_at(path: Path) -> int:
    """When something last came, went or was renamed in a folder, or when a file was last written, in nanoseconds."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return NOWHERE


def stamp_of(place: Place) -> tuple[str, int]:
    """Sizes and times of everything that an entry is read from; and the newest time of its weights, in nanoseconds."""
    try:
        found = place.path.stat()
    except OSError:
        return "gone", 0
    newest = found.st_mtime_ns
    if stat.S_ISDIR(found.st_mode):
        inside = sorted(_inside(place.path, 2))
        newest = max([newest, *(changed for _, changed in inside)])
        own = hashlib.sha256(repr(inside).encode()).hexdigest()
    else:
        # The time of its attributes too: permissions decide whether it can be read, and a copy may bring an old time with it.
        own = f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"
    return f"{own}|{place.thumbnail}|{[changed_at(file) for file in place.notes]}", newest


def weights_of(stamp: str) -> str:
    """The part of a stamp that is about the weights alone."""
    return stamp.partition("|")[0]


def _walk(folder: Path, prefix: str, depth: int, above: frozenset[tuple[int, int]], times: Times) -> Iterator[tuple[str, Place]]:
    times[folder] = NOWHERE
    try:
        own = folder.stat()
        with os.scandir(folder) as found:
            entries = {entry.name: entry for entry in found if not entry.name.startswith(".")}
    except OSError:
        return
    times[folder] = own.st_mtime_ns
    if (own.st_dev, own.st_ino) in above:  # a link that leads back
        return
    for name in sorted(entries):
        path = Path(entries[name].path)
        if path.suffix.lower() in FILES:
            yield prefix + name, _place(path, path.stem, entries)
        elif not _is_folder(entries[name]):
            continue
        elif _is_model(path):
            times[path] = changed_at(path)
            times |= {path / part: changed_at(path / part) for part in _names(path) if (path / part).is_dir()}
            yield prefix + name, _place(path, name, entries)
        elif depth > 1:
            yield from _walk(path, f"{prefix}{name}/", depth - 1, above | {(own.st_dev, own.st_ino)}, times)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as found:
            return {entry.name for entry in found}
    except OSError:
        return set()


def _is_model(folder: Path) -> bool:
    inside = _names(folder)
    alone = "config.json" in inside and any(name.startswith("diffusion_pytorch_model") for name in inside)
    return "model_index.json" in inside or alone or any("config.json" in _names(folder / part) for part in inside.intersection(PARTS))


def _place(path: Path, stem: str, beside: Mapping[str, object]) -> Place:
    thumbnail = next((stem + ending for ending in PICTURES if stem + ending in beside), "")
    return Place(path, tuple(path.with_name(stem + ending) for ending in NOTES if stem + ending in beside), thumbnail)


def _inside(folder: Path, depth: int) -> Iterator[tuple[str, int]]:
    """Every file in a model's folder, with its size and its times."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        if _is_folder(entry):
            yield from _inside(Path(entry.path), depth - 1) if depth > 1 else ()
            continue
        try:
            about = entry.stat()
        except OSError:
            continue
        yield f"{entry.path!r}:{about.st_size}:{about.st_ctime_ns}", about.st_mtime_ns
