"""Tables: which column is which key of a manifest, and rows as drafts."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asr_attn.data.faults import Faults
from asr_attn.data.fields import KNOWN_KEYS
from asr_attn.data.formats.drafts import Draft
from asr_attn.data.formats.lines import text_lines
from asr_attn.errors import InputError

COLUMNS: Mapping[str, Sequence[str]] = {
    "id": ("id",),
    "audio": ("audio", "file_name", "path", "audio_filepath", "file", "filename"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "duration": ("duration",),
    "offset": ("offset",),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "language": ("language", "lang", "locale"),
}
"""What a column of each key may be called; the first that is there is taken."""


def chosen_columns(
    header: Sequence[str], given: Mapping[str, str], path: Path, names: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Returns the column of each key that has one.

    Args:
        header: the columns that are there.
        given: the user's choice, by keys.
        path: the table.
        names: what the columns of other keys may be called; upper case is as lower.

    Raises:
        InputError: a column or a key is not there, or none is found for the audio or the text.
    """
    shown = ", ".join(header) or "none"
    for key, column in given.items():
        if key not in KNOWN_KEYS:
            raise InputError(f"--columns {key}={column}: the keys are {', '.join(KNOWN_KEYS)}")
        if column not in header:
            raise InputError(f"{path} has no column {column!r}; its columns are {shown}")
    lowered = {column.strip().lower(): column for column in reversed(header)}
    chosen = dict(given)
    for key, candidates in names.items():
        found = [lowered[name] for name in candidates if name in lowered]
        found = [column for column in found if column not in chosen.values()]
        if key not in chosen and found:
            chosen[key] = found[0]
    for key in ("audio", "text"):
        if key not in chosen:
            raise InputError(
                f"{path} has no column for the {key} by its name; choose one with --columns "
                f"{key}=NAME: {shown}"
            )
    return chosen


def table_rows(
    path: Path, faults: Faults, delimiter: str, *, quotes: bool
) -> Iterator[tuple[str, list[str]]]:
    """Yields `file:line` and the cells of each row, the header first; empty lines are left out.

    Args:
        path: the table.
        faults: takes what is wrong.
        delimiter: between cells.
        quotes: whether cells may be in double quotes, which then mean nothing themselves.
    """
    lines = (line for _, line in text_lines(path, faults))
    if quotes:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        rows = csv.reader(lines, delimiter=delimiter, strict=True, quoting=csv.QUOTE_NONE)
    try:
        width = 0
        for row in rows:
            where = f"{path}:{rows.line_num}"
            width = width or len(row)
            if any("\n" in cell or "\r" in cell for cell in row):
                faults.add(where, "a cell has a line break; is a quotation mark missing?")
            elif row and len(row) != width:
                faults.add(where, f"{len(row)} cells, but the header has {width}")
            elif row:
                yield where, row
    except csv.Error as error:
        faults.add(f"{path}:{rows.line_num}", f"not a table: {error}")


def row_draft(
    where: str, row: Mapping[str, Any], chosen: Mapping[str, str], faults: Faults
) -> Draft:
    """Returns the utterance of a row; empty cells, except the text, are as if not there."""
    values: dict[str, Any] = {}
    for key, column in chosen.items():
        value = row.get(column)
        if isinstance(value, int) and not isinstance(value, bool) and key in ("id", "speaker"):
            value = str(value)
        if key == "text":
            values[key] = "" if value is None else value
            if value is None:
                faults.add(where, f'"{column}" has no text; write "" for one without speech')
        elif value not in (None, ""):
            is_number = key in ("duration", "offset")
            values[key] = _number(where, column, value, faults) if is_number else value
    taken = set(chosen.values())
    extra = {k: v for k, v in row.items() if k not in taken and v not in (None, "")}
    return Draft(where, values, extra)


def _number(where: str, column: str, value: object, faults: Faults) -> object:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        faults.add(where, f'"{column}" must be a number of seconds, got {value!r}')
        return 1.0  # anything: the list is refused
