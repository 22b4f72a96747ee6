"""A comparison: one request, of which one or two fields vary. Plain frozen data; no torch, no gradio, no I/O.

Its cells are requests like any other. They share the seed, and with it the noise that they start from, unless the seed is what varies.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any, Literal, NamedTuple, Self, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from webui.errors import InvalidRequest
from webui.request import SEED_LIMIT, Request, title

CELLS = 64
"""Most cells of a comparison."""

Field = Literal["steps", "sampler", "schedule", "guidance", "seed", "model", "prompt", "negative"]
"""What may vary."""

FIELDS: tuple[Field, ...] = get_args(Field)
WHOLE = ("steps", "seed")
NUMBERS = (*WHOLE, "guidance")
LINES = ("prompt", "negative")
"""Written one per line, since they may hold commas."""

Value = int | float | str

NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,6})?", re.ASCII)
RANGE = re.compile(r"(?P<low>\d{1,20}(\.\d{1,6})?)\s*-\s*(?P<high>\d{1,20}(\.\d{1,6})?)\s*(/\s*(?P<step>\d{1,20}(\.\d{1,6})?))?", re.ASCII)

AN_AXIS = 'What varies is written as {"field": "steps", "values": [4, 8, 16, 32]}.'
TWO_AXES = "One or two settings may vary, no more and no fewer."
A_COMPARISON = (
    'A comparison is written as {"request": {"prompt": "a red sailboat"}, "axes": [{"field": "steps", "values": [4, 8, 16, 32]}]}.'
)


class Axis(BaseModel):
    """A field that varies, and its values in their order.

    Raises:
        InvalidRequest: no values, too many, one twice, or one that the field does not take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: Field
    values: tuple[Value, ...]

    @model_validator(mode="before")
    @classmethod
    def _checked(cls, given: Any) -> Any:
        if not isinstance(given, dict) or set(given) != {"field", "values"}:
            raise InvalidRequest(AN_AXIS, "axes")
        field, values = given["field"], given["values"]
        if field not in FIELDS:
            raise InvalidRequest(f"{str(field)[:60]!r} cannot be compared. What can: {', '.join(FIELDS)}.", "axes")
        if not isinstance(values, list | tuple):
            raise InvalidRequest(AN_AXIS, "axes")
        return {"field": field, "values": _values(field, values)}

    @classmethod
    def parse(cls, given: Any) -> Self:
        """An axis from untrusted JSON: `{"field", "values"}`, or `{"field", "text"}` as a person types it."""
        if isinstance(given, dict) and set(given) == {"field", "text"} and isinstance(given["text"], str) and given["field"] in FIELDS:
            return cls.read(given["field"], given["text"])
        return cls.model_validate(given)

    @classmethod
    def read(cls, field: Field, text: str) -> Self:
        """An axis from text: `4,8,16,32`, `4-40/4` (from 4 to 40 in steps of 4), names between commas, prompts one per line.

        An empty line is a negative prompt too: none.
        """
        values: Iterator[Value]
        if field in LINES:
            values = (line for line in map(str.strip, text.splitlines()) if line or field == "negative")
        else:
            pieces = filter(None, map(str.strip, text.split("\n" if "\n" in text.strip() else ",")))
            values = (value for piece in pieces for value in _spelled(field, piece)) if field in NUMBERS else pieces
        # A short text may spell very many values: one more than there is room for says enough.
        return cls(field=field, values=tuple(islice(values, CELLS + 1)))

    def head(self, value: Value) -> str:
        """A value as the head of its column or row."""
        if self.field == "steps":
            return f"{value} step" if value == 1 else f"{value} steps"
        if self.field in NUMBERS:
            return f"{title(self.field)} {value:.10g}"
        return str(value) or f"no {title(self.field).lower()}"

    @property
    def heads(self) -> list[str]:
        """All heads, in the order of the values."""
        return [self.head(value) for value in self.values]


class Cell(NamedTuple):
    """A place in the grid and what is set there."""

    row: int
    column: int
    values: dict[str, Value]


class Comparison(BaseModel):
    """A request and the one or two axes along which it varies: the first one gives the columns, the second one the rows.

    Raises:
        InvalidRequest: no axis or more than two, the same one twice, more than `CELLS` cells.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: Request
    axes: tuple[Axis, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not 1 <= len(self.axes) <= 2:
            raise InvalidRequest(TWO_AXES, "axes")
        if len({axis.field for axis in self.axes}) < len(self.axes):
            raise InvalidRequest(f"{title(self.axes[0].field)} cannot vary twice. Choose another setting for the rows.", "axes")
        count = len(self.columns) * len(self.rows)
        if count > CELLS:
            raise InvalidRequest(f"{count} cells are too many: at most {CELLS} are possible. Take some values out.", "axes")
        return self

    @classmethod
    def parse(cls, given: Any) -> Self:
        """A comparison from untrusted JSON.

        Raises:
            InvalidRequest: one sentence about the first thing that is wrong.
        """
        if not isinstance(given, dict) or set(given) != {"request", "axes"}:
            raise InvalidRequest(A_COMPARISON)
        if not isinstance(given["request"], dict) or not isinstance(given["axes"], list):
            raise InvalidRequest(A_COMPARISON)
        if not 1 <= len(given["axes"]) <= 2:
            raise InvalidRequest(TWO_AXES, "axes")
        return cls(request=Request.parse(given["request"]), axes=tuple(Axis.parse(axis) for axis in given["axes"]))

    @property
    def columns(self) -> list[str]:
        """The heads of the columns."""
        return self.axes[0].heads

    @property
    def rows(self) -> list[str]:
        """The heads of the rows; one empty head where only one setting varies."""
        return self.axes[1].heads if len(self.axes) > 1 else [""]

    def cells(self) -> Iterator[Cell]:
        """All cells, row by row."""
        for row in range(len(self.rows)):
            for column in range(len(self.columns)):
                yield Cell(row, column, {axis.field: axis.values[at] for axis, at in zip(self.axes, (column, row), strict=False)})

    def requests(self) -> list[Request]:
        """One request per cell, row by row, all of one seed unless the seed varies; a seed is drawn where there is none."""
        base = self.seeded().request
        return [base.model_copy(update=cell.values) for cell in self.cells()]

    def varies(self, field: str) -> bool:
        """Whether the field is one of the axes."""
        return any(axis.field == field for axis in self.axes)

    def seeded(self) -> Self:
        """The same comparison with a seed."""
        if self.request.seed is not None or self.varies("seed"):
            return self
        return self.of(self.request.model_copy(update={"seed": random.SystemRandom().randrange(SEED_LIMIT)}))

    def of(self, request: Request) -> Self:
        """The same axes around another request."""
        return self.model_copy(update={"request": request})

    def extended(self, values: Sequence[Any]) -> Self:
        """The comparison with more columns.

        Raises:
            InvalidRequest: a value is there already, is not possible, or there are too many.
        """
        first = self.axes[0]
        longer = Axis(field=first.field, values=(*first.values, *values))
        return type(self)(request=self.request, axes=(longer, *self.axes[1:]))

    @property
    def title(self) -> str:
        """What it is, in a line: the prompt, and what varies."""
        varied = " and ".join(title(axis.field).lower() for axis in self.axes)
        prompt = next((str(axis.values[0]) for axis in self.axes if axis.field == "prompt"), self.request.prompt)
        return f"{' '.join(prompt.split())[:80] or 'no prompt'}: {varied}"


def _values(field: Field, given: Sequence[Any]) -> tuple[Value, ...]:
    """The values as the request's own field takes them."""
    if not given:
        raise InvalidRequest(f"{title(field)}: write at least one value to compare.", field)
    if len(given) > CELLS:
        raise InvalidRequest(f"More than {CELLS} values are too many: a comparison has at most {CELLS} cells.", field)
    values: list[Value] = []
    for one in given:
        if one is None:
            raise InvalidRequest(f"{title(field)}: an empty value cannot be compared.", field)
        value = getattr(Request.parse({field: one}), field)
        if value in values:
            raise InvalidRequest(f"{title(field)}: {str(value)[:60]!r} is there twice. Take one of them out.", field)
        values.append(value)
    return tuple(values)


def _spelled(field: Field, piece: str) -> Iterator[Value]:
    """The numbers that a piece of text stands for: one, or a range."""
    kind = int if field in WHOLE else float
    if NUMBER.fullmatch(piece) and (kind is float or "." not in piece):
        yield kind(piece)
        return
    spelled = RANGE.fullmatch(piece)
    if spelled is None or (kind is int and "." in piece):
        what = "whole number such as 20" if kind is int else "number such as 7.5"
        raise InvalidRequest(f"{title(field)}: {piece[:40]!r} is no {what}, and no range such as 4-40/4.", field)
    low, high, step = (Fraction(spelled[name] or 1) for name in ("low", "high", "step"))
    if high < low:
        raise InvalidRequest(f"{title(field)}: the range {piece[:40]} runs backwards. Write the lower number first.", field)
    if not step:
        raise InvalidRequest(
            f"{title(field)}: the range {piece[:40]} takes steps of 0. Write how far apart its numbers are, as in 4-40/4.", field
        )
    # Both ends before the count: "4-1000000000" is above all too high, and only then too long.
    for end in (low, high):
        Request.parse({field: kind(end)})
    count = (high - low) // step + 1
    if count > CELLS:
        message = f"{title(field)}: the range {piece[:40]} has {count} values; a comparison has at most {CELLS} cells. Take larger steps."
        raise InvalidRequest(message, field)
    for k in range(count):
        yield kind(low + k * step)
