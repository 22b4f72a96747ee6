"""What has arrived, into the models' folder: whole or not at all, and never over something that is there."""

from __future__ import annotations

import json
from pathlib import Path

from webui.downloads.offer import Offer
from webui.engine.entry import Place, read
from webui.errors import DownloadError

SHELVES = {"model": "checkpoints", "lora": "loras", "vae": "vae", "embedding": "embeddings"}
"""What a single file turned out to be -> where it goes."""


def put(offer: Offer, inside: Path, models: Path) -> tuple[str, str]:
    """Its name among the models, and why it cannot be used, or nothing.

    Args:
        inside: where its files are; on the same drive.

    Raises:
        DownloadError: there is something of its name.
    """
    if offer.folder:
        name, target = offer.name, models / offer.name
        if target.exists():
            raise DownloadError(f"There is a model {name} already. Remove or rename it first, then press Resume.")
        models.mkdir(parents=True, exist_ok=True)
        inside.rename(target)
    else:
        file = inside / offer.files[0].path
        shelf = SHELVES[read(file.name, Place(file)).kind]
        (models / shelf).mkdir(parents=True, exist_ok=True)
        target = _free(models / shelf / file.name)
        name = f"{shelf}/{target.name}"
        card = {"licence": offer.licence, "source": offer.source.partition("?")[0]}  # without a token that may stand there
        target.with_suffix(".json").write_text(json.dumps({key: value for key, value in card.items() if value}, ensure_ascii=False))
        file.rename(target)
    found = read(name, Place(target))
    return name, f"It is there, but cannot be used: {found.reason}" if found.kind == "model" and found.reason else ""


def _free(target: Path) -> Path:
    """The name, or the next one that is free."""
    found, number = target, 1
    while found.exists() or found.with_suffix(".json").exists():
        number += 1
        found = target.with_stem(f"{target.stem} {number}")
    return found
