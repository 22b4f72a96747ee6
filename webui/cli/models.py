"""`webui models`: what lies in the models folder, and what is wrong with the rest of it. `webui models add`: one more."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from webui.cli.options import Models, Outputs, check_place, readable, settings_of
from webui.engine.catalogue import Model
from webui.engine.ledger import Ledger
from webui.engine.shelf import Shelf
from webui.errors import DownloadError
from webui.sizes import in_words
from webui.studio import ledger_of, model_folders, usual_of

if TYPE_CHECKING:
    from webui.downloads.downloads import Download, Downloads

models = typer.Typer(add_completion=False, rich_markup_mode=None)


@models.callback(invoke_without_command=True)
def listed(
    context: typer.Context,
    default: Annotated[
        str | None, typer.Option("--default", metavar="NAME", help="Make pictures with this model wherever none is named.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object about the models.")] = False,
    models: Models = None,
    outputs: Outputs = None,
) -> None:
    """List the models, and why one cannot be used. The default, which makes a picture where no model is named, is marked."""
    check_place(context, "models")
    if context.invoked_subcommand is not None:
        context.obj = models
        return
    settings = settings_of(models=models, outputs=outputs)
    kept = ledger_of(settings)
    # What a studio has read before need not be read again; where there was none, nothing is written.
    shelf, usual = Shelf(model_folders(settings), Ledger(kept if kept.is_file() else None)), usual_of(settings)
    if default is not None:
        now = usual.choose(shelf, default)
        typer.echo(f"{now.title} is the default model from now on.", err=True)
        if as_json:
            typer.echo(json.dumps({"default": now.name}, ensure_ascii=False))
        return
    found = list(shelf.values())
    if as_json:
        typer.echo(json.dumps({"models": [_described(model) for model in found]}, ensure_ascii=False))
        return
    there = {model.name: model for model in found}
    if note := usual.lost(there):
        typer.echo(note, err=True)
    chosen = usual.find(there, None).name if any(model.usable for model in found) else ""
    for model in found:
        mark = "  default" if model.name == chosen else ""
        lent = f"\n    Its other parts come from {model.lender}." if model.lender else ""
        about = f"{model.name}  {model.family or '-'}  {in_words(model.bytes)}{mark}"
        typer.echo(about + (lent if model.usable else f"\n    {model.reason}"))


@models.command()
def add(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="The id of a model on the Hugging Face hub, or the address of a .safetensors file; id#parts: what its single files lack."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before fetching it.")] = False,
    models: Models = None,
) -> None:
    """Fetch a model: what it is and weighs first, then, when you say yes, its files. The same command goes on where it broke off."""
    # Here and not at the top: what reaches into the network takes a moment to import.
    from webui.downloads.downloads import Downloads

    # The folder may stand before "add" too.
    before: Path | None = context.obj
    # It need not be there yet.
    downloads = Downloads(models or before or settings_of().models)
    offer = downloads.look(source)
    typer.echo(f"{offer.title}: {in_words(offer.bytes)} in {len(offer.files)} files, licence: {offer.licence or 'not said'}.", err=True)
    for note in offer.notes:
        typer.echo(note, err=True)
    if sentence := downloads.lacking(offer):
        raise DownloadError(sentence)
    if not yes:
        if not sys.stdin.isatty():
            raise DownloadError("Nothing was fetched: say --yes to fetch it without being asked.")
        if not typer.confirm("Fetch it?", err=True):
            return
    try:
        done = _followed(downloads, downloads.start(offer.id))
    finally:
        downloads.close()
    if done.state != "done":
        raise DownloadError(done.reason.replace("press Resume", "give the same command once more"))
    typer.echo(f"{done.name}" + (f"\n    {done.reason}" if done.reason else ""))


def _followed(downloads: Downloads, download: Download) -> Download:
    """A bar, on a terminal only; the download once it has ended."""
    with tqdm(total=download.bytes, unit="B", unit_scale=True, disable=not sys.stderr.isatty(), leave=False, file=sys.stderr) as bar:
        while download.state not in ("done", "failed"):
            time.sleep(0.1)
            download = next(one for one in downloads.list() if one.id == download.id)
            bar.update(download.have - bar.n)
    return download


def _described(model: Model) -> dict[str, object]:
    return {
        "name": model.name,
        "family": model.family,
        "path": readable(model.path),
        "bytes": model.bytes,
        "usable": model.usable,
        "reason": model.reason,
    }
