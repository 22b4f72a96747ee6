"""`webui compare`: pictures that differ in one or two settings, made together and judged."""

from __future__ import annotations

import json
import time
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
    readable,
    settings_of,
)
from webui.cli.running import UNFINISHED, running, show_progress
from webui.comparison import FIELDS, Axis, Comparison, Value
from webui.comparisons import takeaway
from webui.comparisons.comparisons import Compared, cells_of, error_of
from webui.comparisons.curves import Curve, curves
from webui.engine.shelf import Shelf
from webui.errors import InvalidRequest, StorageError
from webui.events import Finished
from webui.people import OWNER
from webui.request import Request, help_text, title
from webui.store import disk
from webui.studio import Studio, model_folders, usual_of, words_of

USUAL = "4,8,16,32"
"""Step counts that are compared where nothing else is."""

SEVERAL = "Several, between commas, are compared."


def several(name: str, flag: str) -> Any:
    """An option that takes one value, or several to compare."""
    return typer.Option(flag, help=f"{Request.model_fields[name].description} {SEVERAL}", show_default=False)


def compare(
    prompt: Annotated[list[str], typer.Argument(help="What the picture shows. Several prompts are compared.", show_default=False)],
    steps: Annotated[str | None, typer.Option("--steps", help=f"Step counts, such as {USUAL} or 4-40/4.", show_default=USUAL)] = None,
    sampler: Annotated[str | None, several("sampler", "--sampler")] = None,
    schedule: Annotated[str | None, several("schedule", "--schedule")] = None,
    guidance: Annotated[str | None, several("guidance", "--guidance")] = None,
    seed: Annotated[str | None, several("seed", "--seed")] = None,
    model: Annotated[str | None, several("model", "--model")] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option("--negative", help=f"{help_text('negative')} Given several times, they are compared.", show_default=False),
    ] = None,
    width: Annotated[int | None, field("width", "--width")] = None,
    height: Annotated[int | None, field("height", "--height")] = None,
    vae: Annotated[str | None, field("vae", "--vae")] = None,
    style: Annotated[list[str] | None, field("styles", "--style")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="PNG file to write with all of them on one sheet.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object about the comparison.")] = False,
    models: Models = None,
    outputs: Outputs = None,
    device: Device = None,
    dtype: Dtype = None,
    offload: Offload = None,
    tiling: Tiling = None,
    quantize: Quantize = None,
    compile: Compile = None,
) -> None:
    """Make pictures that differ in one or two settings, and say how many steps are enough."""
    began = time.monotonic()
    flags = locals()
    settings = settings_of(**{name: flags[name] for name in ENGINE})
    texts = {"steps": steps, "sampler": sampler, "schedule": schedule, "guidance": guidance, "seed": seed, "model": model}
    given = {name: Axis.read(name, text).values for name in FIELDS if (text := texts.get(name)) is not None}
    lines = {"prompt": tuple(prompt), "negative": tuple(negative or ())}
    comparison = comparison_of(
        given | {name: values for name, values in lines.items() if values},
        {"width": width, "height": height, "vae": vae, "styles": style or []},
    )
    if output is not None:
        check_png(output)
    # Checked before anything is started, so that a wrong comparison writes nothing.
    shelf, usual = Shelf(model_folders(settings)), usual_of(settings)
    if model is None and (note := usual.lost(shelf)):
        typer.echo(note, err=True)
    cells_of(comparison, shelf, words_of(settings), usual)
    with running(settings, lasting=False) as studio:
        compared = studio.comparisons.begin(comparison, OWNER)
        try:
            show_progress(compared.jobs)
        finally:
            # After Ctrl+C too: what is finished is handed over.
            if not any(job.done for job in compared.jobs):
                output = None
            if output is not None:
                _write(output, takeaway.sheet(compared, studio.comparisons.store))
            told = _told(studio, compared, output)
            _say(told, round(time.monotonic() - began, 3), as_json)
    if any(cell["error"] for cell in told["cells"]):
        raise typer.Exit(1)


def comparison_of(given: dict[str, tuple[Value, ...]], more: dict[str, Any]) -> Comparison:
    """The comparison of what was given: settings of several values vary, the others hold for all.

    Raises:
        InvalidRequest: nothing varies, or more than two settings do.
    """
    many = {name: values for name, values in given.items() if len(values) > 1}
    if not many and "steps" not in given:
        many = {"steps": Axis.read("steps", USUAL).values}
    if not many:
        raise InvalidRequest(f"Nothing varies. Give a setting several values, such as --steps {USUAL}.")
    if len(many) > 2:
        names = ", ".join(title(name).lower() for name in many)
        raise InvalidRequest(f"{len(many)} settings vary ({names}); two at most can. Give the others one value each.")
    fixed = {name: values[0] for name, values in given.items() if name not in many}
    axes = tuple(Axis(field=name, values=many[name]) for name in FIELDS if name in many)
    return Comparison(request=Request.parse(more | fixed), axes=axes)


def _write(output: Path, content: bytes) -> None:
    """Whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        disk.replace(output.absolute().parent, output.name, content)
    except OSError as error:
        raise StorageError(f"{output} cannot be written: {error.strerror}. The pictures themselves are saved.") from None


def _told(studio: Studio, compared: Compared, output: Path | None) -> dict[str, Any]:
    """What `--json` says, but for the time."""
    cells, file = [], studio.pictures.file
    for cell, job in compared.cells:
        last = job.last
        path, seconds = (readable(file(last.picture)), round(last.seconds, 3)) if isinstance(last, Finished) else (None, None)
        error = error_of(last) if job.done else UNFINISHED
        cells.append({"path": path, "seed": job.request.seed, "values": cell.values, "seconds": seconds, "error": error})
    found = curves(compared, file) if compared.comparison.varies("steps") and compared.finished else []
    sentence = " ".join(f"{one.head}: {one.answer.sentence}" if one.head else one.answer.sentence for one in found)
    points = [point for one in found for point in _points(one)]
    return {"cells": cells, "sheet": output and readable(output.absolute()), "curve": points, "sentence": sentence or None}


def _points(curve: Curve) -> list[dict[str, Any]]:
    """A curve's points; with several curves each says which it is of."""
    of = {"of": curve.head} if curve.head else {}
    names = ("ssim", "mae", "worst")
    return [of | {"steps": point.steps} | {name: round(getattr(point, name), 5) for name in names} for point in curve.points]


def _say(told: dict[str, Any], seconds: float, as_json: bool) -> None:
    stopped = sum(cell["error"] == UNFINISHED for cell in told["cells"])
    if stopped:
        done = sum(cell["path"] is not None for cell in told["cells"])
        typer.echo(f"Stopped with {done} of {len(told['cells'])} pictures finished.", err=True)
    if as_json:
        typer.echo(json.dumps(told | {"seconds": seconds}, ensure_ascii=False))
        return
    for cell in told["cells"]:
        if cell["error"] and cell["error"] != UNFINISHED:
            typer.echo(f"{', '.join(f'{name} {value}' for name, value in cell['values'].items())}: {cell['error']}", err=True)
    for path in [told["sheet"]] if told["sheet"] else [cell["path"] for cell in told["cells"] if cell["path"]]:
        typer.echo(path)
    if told["sentence"]:
        typer.echo(told["sentence"])
