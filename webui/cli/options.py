"""Flags that carry the help of the field they set, and the settings that come of them."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from webui.engine import quantized
from webui.errors import InvalidRequest, StorageError
from webui.request import help_text
from webui.settings import Settings, Wishes
from webui.store import disk

NUMBERS = {"steps": int, "guidance": float, "seed": int, "width": int, "height": int, "port": int, "waiting_per_guest": int}
"""Fields and settings whose flags take a number."""


def number(kind: type[int] | type[float]) -> dict[str, Any]:
    """How an option reads a number. What is none stays text: whoever knows the bounds refuses both in the same words."""

    def read(text: str) -> float | str:
        try:
            return kind(text)
        except ValueError:
            return text

    return {"parser": read, "metavar": f"<{kind.__name__}>"}


def setting(name: str, *flags: str) -> Any:
    """A command line option that carries a setting's own help."""
    return _option(name, Settings.model_fields[name].description, *flags)


def field(name: str, *flags: str) -> Any:
    """A command line option that carries a request field's own help."""
    return _option(name, help_text(name), *flags)


def _option(name: str, words: str | None, *flags: str) -> Any:
    return typer.Option(*flags, help=words, show_default=False, **(number(NUMBERS[name]) if name in NUMBERS else {}))


Models = Annotated[Path | None, setting("models", "--models")]
Outputs = Annotated[Path | None, setting("outputs", "--outputs")]
Device = Annotated[str | None, setting("device", "--device")]
Dtype = Annotated[str | None, setting("dtype", "--dtype")]
Offload = Annotated[str | None, setting("offload", "--offload")]
Tiling = Annotated[str | None, setting("tiling", "--tiling")]
Quantize = Annotated[str | None, setting("quantize", "--quantize")]
Compile = Annotated[bool | None, setting("compile", "--compile")]
ENGINE = ("models", "outputs", "device", *Wishes.model_fields)
"""Settings of whoever makes pictures without the page."""


def settings_of(**given: object) -> Settings:
    """Settings from the environment and, above it, the flags that were given.

    Raises:
        InvalidRequest: one is wrong, names no folder with models, or needs a library that is not installed.
    """
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        # What no flag gave came from the environment, also where this command has no such flag.
        flag = given.get(name) is not None
        called = f"--{name.replace('_', '-')}" if flag else f"{Settings.model_config['env_prefix']}{name.upper()}"
        wanted = f"{Settings.model_fields[name].description}{_span(name)}" if name in Settings.model_fields else "There is no such setting."
        raise InvalidRequest(f"{called} cannot be {first['input']!r}. {wanted}") from None
    # Without its own folder a studio has the models that ship with it; one that was asked for and is not there is a slip.
    if "models" in settings.model_fields_set and not settings.models.is_dir():
        raise InvalidRequest(f"There is no folder {settings.models}. Make it, or name another one with --models.")
    quantized.check(settings.wishes)
    return settings


def _span(name: str) -> str:
    """What a number may be, as a sentence after another one; nothing for what is none."""
    rules = Settings.model_fields[name].metadata
    low, high = (next((getattr(rule, end) for rule in rules if hasattr(rule, end)), None) for end in ("ge", "le"))
    if low is None:
        return ""
    return f" A whole number from {low} to {high}." if high is not None else f" A whole number, at least {low}."


def check_place(context: typer.Context, *carried: str) -> None:
    """Whether the flags stand behind the subcommand that follows, if one does: before it they would be read and then forgotten.

    Args:
        carried: parameters that the subcommand looks for here too.

    Raises:
        InvalidRequest: one stands before it.
    """
    name, group = context.invoked_subcommand, context.command
    if name is None or not isinstance(group, TyperGroup):
        return
    takes = {flag for parameter in group.commands[name].params for flag in parameter.opts}
    for parameter in group.params:
        source = context.get_parameter_source(parameter.name)
        if source is None or source.name != "COMMANDLINE" or parameter.name in carried:
            continue
        flag, command = parameter.opts[0], f"{context.command_path} {name}"
        if flag in takes:
            raise InvalidRequest(f"Put {flag} behind {name}: {command} {flag} ...")
        raise InvalidRequest(f"{flag} does not go with {command}. Leave it out.")


def check_png(output: Path, *more: Path) -> None:
    """Whether a PNG can be written there, and `more` of them beside it.

    Raises:
        InvalidRequest: it is no name for one.
        StorageError: the disk or the system does not let anything be written there.
    """
    folder = output.absolute().parent
    try:
        for path in (output, *more):
            with suppress(FileNotFoundError, NotADirectoryError):
                path.lstat()  # refuses a name that is too long
            if path.is_dir():
                raise InvalidRequest(f"{path} is a folder. -o must name a .png file.")
        if output.suffix.lower() != ".png":
            stem = "picture" if output.name.startswith(".") else output.stem
            raise InvalidRequest(f"-o must name a .png file, such as {stem}.png.")
        if not folder.is_dir():
            raise InvalidRequest(f"There is no folder {output.parent} to write to. Make it first.")
        disk.probe(folder)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidRequest("The name after -o is too long. Choose a shorter one.") from None
        raise StorageError(f"Nothing can be written to {folder}: {error.strerror}. Choose another folder with -o.") from None


def readable(path: Path) -> str:
    """A path as text that can always be printed: names of files are bytes, and need not be UTF-8."""
    return os.fsencode(path).decode(errors="replace")
