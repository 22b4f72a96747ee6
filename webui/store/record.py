"""A comparison as a file beside its pictures: what was compared, and which picture is which cell.

The journal has the same and more; this is what is left when somebody takes the folder of pictures elsewhere.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from webui import __version__
from webui.comparison import Comparison, Value

ENDING = ".compare.json"


class RecordedCell(BaseModel):
    """A cell: its picture's path below `outputs/`, or why it has none."""

    model_config = ConfigDict(frozen=True)

    values: dict[str, Value]
    picture: str | None = None
    seconds: float | None = None
    error: str | None = None


class Record(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    program: str = f"Stepwise {__version__}"
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    created: datetime
    comparison: Comparison
    cells: tuple[RecordedCell, ...]
    """Row by row."""
