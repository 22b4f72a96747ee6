"""Arguments -> `Settings` -> `Studio` -> serve or generate. `webui --help` imports neither torch nor gradio."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from tqdm import tqdm

from webui import __version__
from webui.engine.catalogue import find, scan
from webui.errors import InvalidRequest, UserError
from webui.events import Cancelled, Failed, Finished, Step
from webui.jobs.job import Job
from webui.request import Request, help_text
from webui.server.serve import hosts, listen
from webui.server.serve import serve as serve_app
from webui.settings import Settings
from webui.studio import BATCH_LIMIT, Studio, model_folders, resolve
from webui.workers.local import LocalWorker

WRONG_INPUT = 2
"""Exit status for what the person can mend; 1 is for pictures that failed."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _setting(name: str, *flags: str) -> Any:
    """A command line option that carries a setting's own help."""
    return typer.Option(*flags, help=Settings.model_fields[name].description, show_default=False)


def _field(name: str, *flags: str) -> Any:
    """A command line option that carries a request field's own help."""
    return typer.Option(*flags, help=help_text(name), show_default=False)


Models = Annotated[Path | None, _setting("models", "--models")]
Outputs = Annotated[Path | None, _setting("outputs", "--outputs")]
Device = Annotated[str | None, _setting("device", "--device")]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    port: Annotated[int | None, _setting("port", "--port")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page in a browser.")] = False,
    models: Models = None,
    outputs: Outputs = None,
    device: Device = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Stepwise: a browser studio for text-to-image diffusion. Without a command, it opens the studio's page."""
    if version:
        typer.echo(__version__)
        return
    if context.invoked_subcommand is not None:
        return
    settings = _settings(port=port, models=models, outputs=outputs, device=device)
    listener = listen(settings.port)
    with listener, _studio(settings, preload=True) as studio:
        # Only now, with the engine's process already on its way: gradio alone takes seconds to import.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        from webui.panels.page import build, look
        from webui.server.app import create

        def ready(url: str) -> None:
            typer.echo(url)
            if not no_browser:
                webbrowser.open(url)

        serve_app(create(studio, build, look(), hosts(settings.port)), listener, ready, studio.release)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help=help_text("prompt"), show_default=False)],
    negative: Annotated[str, _field("negative", "--negative")] = "",
    steps: Annotated[int | None, _field("steps", "--steps")] = None,
    guidance: Annotated[float | None, _field("guidance", "--guidance")] = None,
    seed: Annotated[int | None, _field("seed", "--seed")] = None,
    sampler: Annotated[str | None, _field("sampler", "--sampler")] = None,
    schedule: Annotated[str | None, _field("schedule", "--schedule")] = None,
    width: Annotated[int | None, _field("width", "--width")] = None,
    height: Annotated[int | None, _field("height", "--height")] = None,
    model: Annotated[str | None, _field("model", "--model")] = None,
    count: Annotated[int, typer.Option("--count", help="Pictures to make, with seeds seed, seed + 1, ...")] = 1,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="PNG file to write; the outputs folder if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object about the pictures.")] = False,
    models: Models = None,
    outputs: Outputs = None,
    device: Device = None,
) -> None:
    """Make pictures without the page."""
    began = time.monotonic()
    settings = _settings(models=models, outputs=outputs, device=device)
    fields = ("negative", "steps", "guidance", "seed", "sampler", "schedule", "width", "height", "model")
    given = locals()
    request = Request.parse({"prompt": prompt} | {name: given[name] for name in fields})
    if not 1 <= count <= BATCH_LIMIT:
        raise InvalidRequest(f"--count must be from 1 to {BATCH_LIMIT}.", "count")
    targets = _targets(output, count)
    # Checked before anything is started, so that a wrong request writes nothing.
    requests = [resolve(one, scan(model_folders(settings))) for one in request.series(count)]
    with _folder(settings, output) as settings, _studio(settings, lasting=False) as studio:
        jobs = studio.submit(requests)
        _show_progress(jobs)
        pictures = [_picture(studio, job, target) for job, target in zip(jobs, targets, strict=True)]
    seconds = round(time.monotonic() - began, 3)
    if as_json:
        typer.echo(json.dumps({"pictures": pictures, "seconds": seconds}, ensure_ascii=False))
    else:
        for picture in pictures:
            typer.echo(picture["path"])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `webui`. Ends the process: 0 done, 1 a picture failed, 2 wrong input, 130 interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        status = app(args=arguments, prog_name="webui", standalone_mode=False)
    except UserError as error:
        typer.echo(error.message, err=True)
        sys.exit(WRONG_INPUT)
    except typer.TyperException as error:
        typer.echo(f"{error.format_message().rstrip('.')}. See webui --help.", err=True)
        sys.exit(WRONG_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def _settings(**given: object) -> Settings:
    """Settings from the environment and, above it, the flags that were given."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        wanted = Settings.model_fields[name].description if name in Settings.model_fields else "There is no such setting."
        raise InvalidRequest(f"--{name} cannot be {first['input']!r}. {wanted}") from None


@contextmanager
def _studio(settings: Settings, *, lasting: bool = True, preload: bool = False) -> Iterator[Studio]:
    """A running studio with an engine in a child process."""
    default = find(scan(model_folders(settings)), None).name if preload else None
    worker = LocalWorker(model_folders(settings), settings.device, settings.previews, threads=settings.threads, preload=default)
    studio = Studio(settings, worker, lasting=lasting)
    studio.start()
    try:
        yield studio
    finally:
        studio.close()


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
    if output.suffix.lower() != ".png":
        raise InvalidRequest(f"-o must name a .png file, such as {output.with_suffix('.png').name}.")
    if not output.absolute().parent.is_dir():
        raise InvalidRequest(f"There is no folder {output.parent} to write to. Make it first.")
    if output.is_dir():
        raise InvalidRequest(f"{output} is a folder. Name a .png file.")
    return [output] if count == 1 else [output.with_stem(f"{output.stem}-{k}") for k in range(1, count + 1)]


def _show_progress(jobs: Sequence[Job]) -> None:
    """A bar over all steps of all jobs, on a terminal only; returns when every job has ended."""
    total = sum(job.request.steps for job in jobs)
    with tqdm(total=total, unit="step", disable=not sys.stderr.isatty(), leave=False, file=sys.stderr) as bar:
        while not all(job.done for job in jobs):
            next(job for job in jobs if not job.done).wait(0.1)
            bar.update(sum(_steps_done(job) for job in jobs) - bar.n)


def _steps_done(job: Job) -> int:
    steps = [event.i for event in job.events if isinstance(event, Step)]
    return steps[-1] if steps else 0


def _picture(studio: Studio, job: Job, target: Path | None) -> dict[str, object]:
    """What `--json` says of one picture.

    Raises:
        typer.Exit: the job has no picture; its sentence is on standard error.
    """
    last = job.last
    if not isinstance(last, Finished):
        typer.echo(last.message if isinstance(last, Failed) else "Stopped." if isinstance(last, Cancelled) else "Not finished.", err=True)
        raise typer.Exit(1)
    path = studio.picture(last.picture)
    if target is not None:
        path = path.replace(target)
    fields = ("seed", "width", "height", "steps", "sampler", "schedule", "guidance", "model")
    return {"path": str(path)} | {name: getattr(job.request, name) for name in fields} | {"seconds": round(last.seconds, 3)}
