"""Flags that carry the help of the field they set, and the settings that come of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from webui.engine import quantized
from webui.errors import InvalidRequest
from webui.request import help_text
from webui.settings import Settings, Wishes


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
        wanted = Settings.model_fields[name].description if name in Settings.model_fields else "There is no such setting."
        raise InvalidRequest(f"--{name.replace('_', '-')} cannot be {first['input']!r}. {wanted}") from None
    quantized.check(settings.wishes)
    return settings


def check_png(output: Path) -> None:
    """Whether a PNG can be written there.

    Raises:
        InvalidRequest: it cannot.
    """
    if output.suffix.lower() != ".png":
        raise InvalidRequest(f"-o must name a .png file, such as {output.with_suffix('.png').name}.")
    if not output.absolute().parent.is_dir():
        raise InvalidRequest(f"There is no folder {output.parent} to write to. Make it first.")
    if output.is_dir():
        raise InvalidRequest(f"{output} is a folder. Name a .png file.")
