"""Arguments -> a subcommand -> an exit status."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence

import typer

from webui.cli.compare import compare
from webui.cli.generate import generate
from webui.cli.models import models
from webui.cli.serve import serve
from webui.errors import UserError

WRONG_INPUT = 2
"""Exit status for what the person can mend; 1 is for pictures that failed."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.callback(invoke_without_command=True)(serve)
app.command()(generate)
app.command()(compare)
app.add_typer(models, name="models")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `webui`. Ends the process: 0 done, 1 a picture failed, 2 wrong input, 130 interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl+C: what is finished is handed over, what is open is put away
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        status = app(args=arguments, prog_name="webui", standalone_mode=False)
    except UserError as error:
        typer.echo(error.message, err=True)
        sys.exit(WRONG_INPUT)
    except typer.TyperException as error:
        typer.echo(_refusal(error), err=True)
        sys.exit(WRONG_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


def _refusal(error: typer.TyperException) -> str:
    """What could not be read, and where help is."""
    context: typer.Context | None = getattr(error, "ctx", None)
    words, command = error.format_message().rstrip("."), context.command_path if context is not None else "webui"
    if "extra argument" in words and command.endswith("generate"):
        words += ". A prompt of several words goes between quotes"
    return f"{words}{'' if words.endswith('?') else '.'} See {command} --help."
