"""`webui generate`: pictures without the page."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from webui.cli.options import ENGINE, Compile, Device, Dtype, Models, Offload, Outputs, Quantize, Tiling, check_png, field, settings_of
from webui.cli.running import running, show_progress
from webui.engine.shelf import Shelf
from webui.errors import InvalidRequest
from webui.events import Cancelled, Failed, Finished
from webui.jobs.job import Job
from webui.request import Request, help_text
from webui.settings import Settings
from webui.studio import BATCH_LIMIT, Studio, model_folders, resolve, usual_of, words_of


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
    count: Annotated[int, typer.Option("--count", help="Pictures to make, with seeds seed, seed + 1, ...")] = 1,
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
    if not 1 <= count <= BATCH_LIMIT:
        raise InvalidRequest(f"--count must be from 1 to {BATCH_LIMIT}.", "count")
    targets = _targets(output, count)
    # Checked before anything is started, so that a wrong request writes nothing.
    shelf = Shelf(model_folders(settings))
    usual = usual_of(settings)
    if model is None and (note := usual.lost(shelf)):
        typer.echo(note, err=True)
    requests = [resolve(one, shelf, words_of(settings), usual) for one in request.series(count)]
    with _folder(settings, output) as settings, running(settings, lasting=False) as studio:
        jobs = studio.submit(requests)
        show_progress(jobs)
        pictures = [_picture(studio, job, target) for job, target in zip(jobs, targets, strict=True)]
    seconds = round(time.monotonic() - began, 3)
    if as_json:
        typer.echo(json.dumps({"pictures": pictures, "seconds": seconds}, ensure_ascii=False))
    else:
        for picture in pictures:
            typer.echo(picture["path"])


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
    return [output] if count == 1 else [output.with_stem(f"{output.stem}-{k}") for k in range(1, count + 1)]


def _picture(studio: Studio, job: Job, target: Path | None) -> dict[str, object]:
    """What `--json` says of one picture; its prompt where wildcards or styles made another one of it.

    Raises:
        typer.Exit: the job has no picture; its sentence is on standard error.
    """
    last = job.last
    if not isinstance(last, Finished):
        typer.echo(last.message if isinstance(last, Failed) else "Stopped." if isinstance(last, Cancelled) else "Not finished.", err=True)
        raise typer.Exit(1)
    path = studio.pictures.file(last.picture)
    if target is not None:
        path = path.replace(target)
    fields = ("seed", "width", "height", "steps", "sampler", "schedule", "guidance", "model")
    drawn = {"prompt": job.request.text} if job.request.drawn is not None else {}
    about = {"path": str(path)} | {name: getattr(job.request, name) for name in fields}
    drawn |= {"vae": job.request.vae} if job.request.vae else {}
    return about | drawn | {"seconds": round(last.seconds, 3)}
