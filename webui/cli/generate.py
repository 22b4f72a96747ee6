"""`webui generate`: pictures without the page."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from webui.cli.options import (
    ENGINE,
    Compile,
    Device,
    Dtype,
    Models,
    Offload,
    Outputs,
    Quantize,
    Tiling,
    check_png,
    field,
    number,
    readable,
    settings_of,
)
from webui.cli.running import UNFINISHED, running, show_progress
from webui.comparisons.comparisons import error_of
from webui.engine.shelf import Shelf
from webui.errors import InvalidRequest, NotFound
from webui.events import Finished
from webui.jobs.job import Job
from webui.request import Request, help_text
from webui.settings import Settings
from webui.store.store import Store
from webui.studio import BATCH_LIMIT, model_folders, resolve, usual_of, words_of


def generate(
    prompt: Annotated[str, typer.Argument(help=help_text("prompt"), show_default=False)],
    negative: Annotated[str, field("negative", "--negative")] = "",
    steps: Annotated[int | None, field("steps", "--steps")] = None,
    guidance: Annotated[float | None, field("guidance", "--guidance")] = None,
    seed: Annotated[int | None, field("seed", "--seed")] = None,
    sampler: Annotated[str | None, field("sampler", "--sampler")] = None,
    schedule: Annotated[str | None, field("schedule", "--schedule")] = None,
    width: Annotated[int | None, field("width", "--width")] = None,
    height: Annotated[int | None, field("height", "--height")] = None,
    model: Annotated[str | None, field("model", "--model")] = None,
    vae: Annotated[str | None, field("vae", "--vae")] = None,
    style: Annotated[list[str] | None, field("styles", "--style")] = None,
    count: Annotated[int, typer.Option("--count", help="Pictures to make, with seeds seed, seed + 1, ...", **number(int))] = 1,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="PNG file to write; the outputs folder if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object about the pictures.")] = False,
    models: Models = None,
    outputs: Outputs = None,
    device: Device = None,
    dtype: Dtype = None,
    offload: Offload = None,
    tiling: Tiling = None,
    quantize: Quantize = None,
    compile: Compile = None,
) -> None:
    """Make pictures without the page."""
    began = time.monotonic()
    given = locals()
    settings = settings_of(**{name: given[name] for name in ENGINE})
    fields = ("negative", "steps", "guidance", "seed", "sampler", "schedule", "width", "height", "model", "vae")
    request = Request.parse({"prompt": prompt, "styles": style or []} | {name: given[name] for name in fields})
    if count not in range(1, BATCH_LIMIT + 1):
        raise InvalidRequest(f"--count must be a whole number from 1 to {BATCH_LIMIT}.", "count")
    targets = _targets(output, count)
    # Checked before anything is started, so that a wrong request writes nothing.
    shelf = Shelf(model_folders(settings))
    usual = usual_of(settings)
    if model is None and (note := usual.lost(shelf)):
        typer.echo(note, err=True)
    requests = [resolve(one, shelf, words_of(settings), usual) for one in request.series(count)]
    jobs: list[Job] = []
    with _folder(settings, output) as settings:
        try:
            with running(settings, lasting=False) as studio:
                jobs = studio.submit(requests)
                show_progress(jobs)
        finally:
            # After Ctrl+C too, and before the hidden folder goes: what is finished is handed over.
            store = Store(settings.outputs)
            told = [_told(store, job, target) for job, target in zip(jobs, targets, strict=False)]
            _say(told, round(time.monotonic() - began, 3), as_json)
    if any("error" in one for one in told):
        raise typer.Exit(1)


@contextmanager
def _folder(settings: Settings, output: Path | None) -> Iterator[Settings]:
    """With -o, pictures are saved in a hidden folder beside the file first, so that the file appears whole or not at all."""
    if output is None:
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix=".stepwise-", dir=output.absolute().parent) as folder:
        yield settings.model_copy(update={"outputs": Path(folder)})


def _targets(output: Path | None, count: int) -> list[Path | None]:
    """Where the pictures go: FILE, or FILE-1, FILE-2, ... when there are several; `None` for the outputs folder."""
    if output is None:
        return [None] * count
    check_png(output)
    if count == 1:
        return [output]
    targets = [output.with_stem(f"{output.stem}-{k}") for k in range(1, count + 1)]
    check_png(*targets)
    return list(targets)


def _told(store: Store, job: Job, target: Path | None) -> dict[str, Any]:
    """What `--json` says of one picture, which is put in its place: its prompt too where wildcards or styles made another one of it.

    Of one that there is not, its seed and the error.
    """
    last = job.last
    if not isinstance(last, Finished):
        return {"seed": job.request.seed, "error": error_of(last) or UNFINISHED}
    try:
        path = store.path(last.picture)
        path = path if target is None else path.replace(target)
    except NotFound:
        return {"seed": job.request.seed, "error": f"{last.picture} was made, and is gone again."}
    except OSError as error:
        return {"seed": job.request.seed, "error": f"{target} cannot be written: {error.strerror}."}
    fields = ("seed", "width", "height", "steps", "sampler", "schedule", "guidance", "model")
    drawn = {"prompt": job.request.text} if job.request.drawn is not None else {}
    about = {"path": readable(path)} | {name: getattr(job.request, name) for name in fields}
    drawn |= {"vae": job.request.vae} if job.request.vae else {}
    return about | drawn | {"seconds": round(last.seconds, 3)}


def _say(told: list[dict[str, Any]], seconds: float, as_json: bool) -> None:
    """The pictures that there are, on standard output if there is one at all; a sentence for each that failed, on standard error."""
    pictures, errors = [one for one in told if "error" not in one], [one for one in told if "error" in one]
    for one in errors:
        if one["error"] != UNFINISHED:
            typer.echo(f"seed {one['seed']}: {one['error']}" if len(told) > 1 else one["error"], err=True)
    if any(one["error"] == UNFINISHED for one in errors):
        typer.echo(f"Stopped with {len(pictures)} of {len(told)} pictures finished.", err=True)
    if as_json and pictures:
        failed = {"errors": errors} if errors else {}
        typer.echo(json.dumps({"pictures": pictures} | failed | {"seconds": seconds}, ensure_ascii=False))
    elif not as_json:
        for picture in pictures:
            typer.echo(picture["path"])
