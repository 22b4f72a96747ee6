"""Styles: texts that are kept under a name and put around prompts. In `styles.csv`, as stable-diffusion-webui reads and writes it."""

from __future__ import annotations

import csv
import difflib
import io
import threading
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webui.errors import InvalidRequest, StorageError
from webui.request import PROMPT_LENGTH, STYLE_LENGTH, Text
from webui.store import disk

COLUMNS = ("name", "prompt", "negative_prompt")
COMMENT = "#"
"""Begins the name of a row that is no style."""

PLACE = "{prompt}"
"""Where the prompt goes in a style's text; without it the text is added at the end."""

FILE_LIMIT = 10_000_000
"""Bytes of the file."""

MOST = 5000
"""Styles in it."""


class Style(BaseModel):
    """One row."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: Text = Field(min_length=1, max_length=STYLE_LENGTH)
    prompt: Text = Field("", max_length=PROMPT_LENGTH)
    negative: Text = Field("", max_length=PROMPT_LENGTH)

    @classmethod
    def parse(cls, values: object) -> Style:
        """A style from untrusted values.

        Raises:
            InvalidRequest: one sentence about the first thing that is wrong.
        """
        try:
            style = cls.model_validate(values)
        except ValidationError as error:
            field = str((error.errors(include_url=False)[0]["loc"] or ("name",))[0])
            known = f"at most {STYLE_LENGTH} characters, and at most {PROMPT_LENGTH} in each of its texts"
            message = f'A style is {{"name", "prompt", "negative"}}, all of them text: a name of {known}.'
            raise InvalidRequest(message, field[:60]) from None
        # Blanks of other widths and joined emoji are names like others; `isprintable` would refuse them.
        if style.name != style.name.strip() or style.name.splitlines() != [style.name] or "\t" in style.name:
            raise InvalidRequest("A style's name has no blanks around it and is one line.", "name")
        if style.name.startswith(COMMENT):
            raise InvalidRequest(f"A style's name does not begin with {COMMENT}: in styles.csv that is a comment.", "name")
        return style


Row = Style | tuple[str, ...]
"""A style, or the cells of a comment, which stays in its place."""


def around(text: str, style: str) -> str:
    """The text with a style's text around it, or behind it.

    Raises:
        InvalidRequest: it would be too long.
    """
    count = style.count(PLACE)
    if len(style) + len(text) * max(1, count) > PROMPT_LENGTH + len(PLACE) * count:
        raise InvalidRequest(f"With its styles the prompt is longer than {PROMPT_LENGTH} characters. Take some out.")
    if count:
        return style.replace(PLACE, text)
    return ", ".join(part for part in (text.strip(), style.strip()) if part) if style.strip() else text


def read(text: str) -> dict[str, Row]:
    """Styles by name and comments, in the file's order; of two styles with one name the last counts.

    Raises:
        StorageError: it is no such table.
    """
    text = text.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    apart = ";" if ";" in first and "," not in first else ","  # Excel's, where the comma is in numbers
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True, delimiter=apart)
    try:
        columns = [column.strip() for column in rows.fieldnames or ()]
        if "name" not in columns or not {"prompt", "text"} & set(columns):
            raise StorageError(f"styles.csv has no columns {', '.join(COLUMNS)}. Write them into its first line, or move the file away.")
        rows.fieldnames = columns
        found: dict[str, Row] = {}
        for row in rows:
            name = (row["name"] or "").strip()
            # Before 2022-12 the second column was called "text"; SD.Next calls the third one "negative".
            prompt, negative = row.get("prompt", row.get("text")) or "", row.get("negative_prompt", row.get("negative")) or ""
            if name.startswith(COMMENT):
                found[f"{COMMENT}{rows.reader.line_num}"] = (name, prompt, negative, *row.get(None, ()))
            elif name and None not in row:
                found[name] = Style.parse({"name": name, "prompt": prompt, "negative": negative})
            elif name:
                raise StorageError(f"styles.csv has too many columns in line {rows.reader.line_num}. Put texts with commas into quotes.")
            if len(found) > MOST:
                raise StorageError(f"styles.csv has more than {MOST} styles. Take some out.")
    except csv.Error as error:
        raise StorageError(
            f"styles.csv is damaged in line {rows.reader.line_num}: {error}. Mend that line, or move the file away."
        ) from None
    except InvalidRequest as error:
        raise StorageError(f"styles.csv cannot be used, line {rows.reader.line_num}: {error.message}") from None
    return found


def write(rows: Iterable[Row]) -> str:
    """The table, with the mark that spreadsheets know UTF-8 by."""
    stream = io.StringIO(newline="")
    plain, quoted = csv.writer(stream), csv.writer(stream, quoting=csv.QUOTE_ALL)
    plain.writerow(COLUMNS)
    for row in rows:
        cells = (row.name, row.prompt, row.negative) if isinstance(row, Style) else row
        # Blanks at the beginning of a cell are skipped outside of quotes.
        (quoted if any(cell.startswith(" ") for cell in cells) else plain).writerow(cells)
    return "\ufeff" + stream.getvalue()


class Styles:
    """The styles of a studio; read again when their file has changed. Safe between threads."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._kept: tuple[tuple[int, int], dict[str, Row]] | None = None

    def all(self) -> dict[str, Style]:
        """All of them by name; none where there is no file.

        Raises:
            StorageError: the file cannot be used.
        """
        with self._lock:
            return {name: row for name, row in self._read().items() if isinstance(row, Style)}

    def named(self, names: Iterable[str]) -> list[Style]:
        """These, in this order.

        Raises:
            InvalidRequest: one of them does not exist, and the sentence names the nearest.
            StorageError: the file cannot be used.
        """
        names = tuple(names)
        known = self.all() if names else {}
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 3, 0.4)
                hint = f"Did you mean: {', '.join(near)}?" if near else "Save it first, or leave it out."
                raise InvalidRequest(f"There is no style called {name[:80]!r}. {hint}", "styles")
        return [known[name] for name in names]

    def save(self, style: Style) -> None:
        """Keep a style, in the place of the one of its name if there is one.

        Raises:
            StorageError: the file cannot be used, or not be written; it is as it was.
        """
        with self._lock:
            rows = self._read() | {style.name: style}
            if len(rows) > MOST:
                raise StorageError(f"styles.csv has {MOST} styles already. Delete one first.")
            self._write(rows)

    def delete(self, name: str) -> None:
        """Forget a style.

        Raises:
            InvalidRequest: there is none of that name.
            StorageError: the file cannot be used, or not be written; it is as it was.
        """
        self.named([name])
        with self._lock:
            self._write({kept: row for kept, row in self._read().items() if kept != name})

    def _read(self) -> dict[str, Row]:
        try:
            if not self._file.exists():
                return {}
            if not self._file.is_file():
                raise StorageError("styles.csv is no file. Rename what has its name.")
            state = self._file.stat()
            if state.st_size > FILE_LIMIT:
                raise StorageError(f"styles.csv has more than {FILE_LIMIT // 1_000_000} MB. Take some styles out.")
            mark = (state.st_mtime_ns, state.st_size)
            if self._kept is None or self._kept[0] != mark:
                self._kept = (mark, read(self._file.read_bytes().decode("utf-8-sig")))
        except UnicodeDecodeError:
            raise StorageError("styles.csv is not UTF-8 text. Save it as UTF-8, or move it away.") from None
        except OSError as error:
            raise StorageError(f"styles.csv cannot be read: {error.strerror}.") from None
        return self._kept[1]

    def _write(self, rows: dict[str, Row]) -> None:
        try:
            disk.replace(self._file.parent, self._file.name, write(rows.values()).encode())
        except OSError as error:
            raise StorageError(f"styles.csv cannot be written: {error.strerror}. Nothing was changed.") from None
        self._kept = None
