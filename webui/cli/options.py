"""Flags that carry the help of the field they set, and the settings that come of them."""

from __future__ import annotations

import os
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


def setting(name: str, *flags: str) -> Any:
    """A command line option that carries a setting's own help."""
    return typer.Option(*flags, help=Settings.model_fields[name].description, show_default=False)


def field(name: str, *flags: str) -> Any:
    """A command line option that carries a request field's own help."""
    return typer.Option(*flags, help=help_text(name), show_default=False)


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
        InvalidRequest: one is wrong, or needs a library that is not installed.
    """
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        # What no flag gave came from the environment, also where this command has no such flag.
        flag = given.get(name) is not None
        called = f"--{name.replace('_', '-')}" if flag else f"{Settings.model_config['env_prefix']}{name.upper()}"
        wanted = Settings.model_fields[name].description if name in Settings.model_fields else "There is no such setting."
        raise InvalidRequest(f"{called} cannot be {first['input']!r}. {wanted}") from None
    quantized.check(settings.wishes)
    return settings


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


def check_png(output: Path) -> None:
    """Whether a PNG can be written there.

    Raises:
        InvalidRequest: it is no name for one.
        StorageError: the disk or the system does not let anything be written there.
    """
    folder = output.absolute().parent
    try:
        if output.is_dir():
            raise InvalidRequest(f"{output} is a folder. -o must name a .png file.")
        if output.suffix.lower() != ".png":
            raise InvalidRequest(f"-o must name a .png file, such as {output.stem}.png.")
        if not folder.is_dir():
            raise InvalidRequest(f"There is no folder {output.parent} to write to. Make it first.")
        disk.probe(folder)
    except OSError as error:
        raise StorageError(f"Nothing can be written to {folder}: {error.strerror}. Choose another folder with -o.") from None


def readable(path: Path) -> str:
    """A path as text that can always be printed: names of files are bytes, and need not be UTF-8."""
    return os.fsencode(path).decode(errors="replace")
