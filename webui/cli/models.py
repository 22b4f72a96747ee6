"""`webui models`: what lies in the models folder, and what is wrong with the rest of it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from webui.cli.options import Models, Outputs, settings_of
from webui.engine.catalogue import Model
from webui.engine.ledger import Ledger
from webui.engine.shelf import Shelf
from webui.studio import ledger_of, model_folders


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object about the models.")] = False,
    models: Models = None,
    outputs: Outputs = None,
) -> None:
    """List the models, and why one cannot be used."""
    settings = settings_of(models=models, outputs=outputs)
    kept = ledger_of(settings)
    # What a studio has read before need not be read again; where there was none, nothing is written.
    found = list(Shelf(model_folders(settings), Ledger(kept if kept.is_file() else None)).values())
    if as_json:
        typer.echo(json.dumps({"models": [_described(model) for model in found]}, ensure_ascii=False))
        return
    for model in found:
        typer.echo(f"{model.name}  {model.family or '-'}  {_size(model.bytes)}" + ("" if model.usable else f"\n    {model.reason}"))


def _described(model: Model) -> dict[str, object]:
    return {
        "name": model.name,
        "family": model.family,
        "path": str(model.path),
        "bytes": model.bytes,
        "usable": model.usable,
        "reason": model.reason,
    }


def _size(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
