"""A request inside its picture: our JSON is the truth, the `parameters` text a courtesy to other programs, the XMP a mark of origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, BinaryIO

from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError

from webui import __version__
from webui.errors import UserError
from webui.request import Defaults, Resolved
from webui.store import infotext
from webui.store.chunks import texts
from webui.store.provenance import XMP
from webui.store.record import Record

KEYWORD = "stepwise"
COMPARISON = "stepwise-comparison"
PARAMETERS = "parameters"
VERSION = 1
"""Of the JSON. It rises when a reader that does not know a new field would make another picture."""

NO_SETTINGS = "This PNG holds no settings. Editors and some websites remove them; choose the file as it was saved."
NO_COMPARISON = "This PNG is no contact sheet of a comparison. Choose the sheet as it was saved."
UNREADABLE = "The settings in this PNG are damaged and cannot be read. Choose another copy of it."
NEWER = "This picture was made by a newer version of Stepwise. Update this one to read its settings."


def write(request: Resolved, seconds: float, at: datetime, how: Mapping[str, str] | None = None) -> PngInfo:
    """The text chunks of a picture. Never compressed: Pillow itself refuses to read long compressed ones.

    `how` is what else is known of its making: the type of the numbers, where parts of the model came from.
    """
    truth = {
        "version": VERSION,
        "program": f"Stepwise {__version__}",
        "created": at.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        **(how or {}),
    }
    info = PngInfo()
    info.add_text(KEYWORD, json.dumps(truth | request.model_dump(), ensure_ascii=False))
    info.add_text(PARAMETERS, infotext.write(request))
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return info


def write_comparison(record: Record) -> PngInfo:
    """The text chunks of a contact sheet: the comparison with its settings and the names of its pictures."""
    info = write_description(record.comparison.title)
    info.add_text(COMPARISON, record.model_dump_json())
    return info


def write_description(words: str) -> PngInfo:
    """The text chunks of what was drawn from pictures: what it shows, and where it comes from."""
    info = PngInfo()
    info.add_itxt("Description", words)
    info.add_itxt("XML:com.adobe.xmp", XMP)
    return info


def comparison(png: BinaryIO) -> Record:
    """The comparison that a contact sheet shows.

    Raises:
        UserError: it is not a PNG, it is damaged, or it is no contact sheet.
    """
    for _, text in texts(png, (COMPARISON,)):
        try:
            return Record.model_validate_json(text)
        except ValidationError:
            raise UserError(UNREADABLE) from None
    raise UserError(NO_COMPARISON)


def recipe(png: BinaryIO) -> Resolved:
    """The request that a PNG was made from; from another program's `parameters` as far as they go, the rest by default.

    Raises:
        UserError: it is not a PNG, it is damaged, or it holds no settings that can be read.
    """
    parameters = None
    for keyword, text in texts(png, (KEYWORD, PARAMETERS)):
        if keyword == KEYWORD:
            return _truth(text)
        parameters = parameters or infotext.read(text)
    if parameters is None:
        raise UserError(NO_SETTINGS)
    return parameters.resolve(Defaults(), parameters.model or "")


def seconds(png: BinaryIO) -> float:
    """How long a picture of ours took to make; 0 where it does not say."""
    for _, text in texts(png, (KEYWORD,)):
        try:
            return float(json.loads(text)["seconds"])
        except (ValueError, TypeError, KeyError, RecursionError):
            break
    return 0.0


def _truth(text: str) -> Resolved:
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(UNREADABLE) from None
    if not isinstance(values, dict) or not isinstance(values.get("version"), int):
        raise UserError(UNREADABLE)
    if values["version"] > VERSION:
        raise UserError(NEWER)
    if any(field.is_required() and name not in values for name, field in Resolved.model_fields.items()):
        raise UserError(UNREADABLE)
    return Resolved.parse({name: values[name] for name in Resolved.model_fields if name in values})
