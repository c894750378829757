"""Tables with a header, in files that end in .csv (commas) or .tsv (tabs)."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from asr_attn.data.faults import Faults
from asr_attn.data.formats.columns import COLUMNS, chosen_columns, row_draft, table_rows
from asr_attn.data.formats.drafts import Draft, finish
from asr_attn.data.formats.lines import write_lines
from asr_attn.data.formats.options import Options
from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars
from asr_attn.errors import InputError, ManifestError

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_KNOWN_FILES = 1 << 16


def read(path: Path, options: Options) -> Iterator[Utterance]:
    """Reads a table; relative paths start in its folder, other columns are kept as texts.

    Raises:
        ManifestError: the file cannot be read or has faults.
        InputError: the columns of the audio or the text are not found.
    """
    return read_table(path, options, _delimiter(path), COLUMNS, quotes=True)


def read_table(
    path: Path,
    options: Options,
    delimiter: str,
    names: Mapping[str, Sequence[str]],
    *,
    quotes: bool,
) -> Iterator[Utterance]:
    """As `read`, of a table with another delimiter or other columns.

    Args:
        path: the table.
        options: how to read.
        delimiter: between cells.
        names: what the column of each key may be called.
        quotes: whether cells may be in double quotes.
    """
    faults = Faults(path)
    rows = table_rows(path, faults, delimiter, quotes=quotes)
    _, header = next(rows, ("", []))
    faults.refuse()
    if not header:
        raise ManifestError(f"{path} is empty; a table begins with the names of its columns.")
    if len(set(header)) < len(header):
        raise ManifestError(f"{path} has two columns of one name; rename one.")
    chosen = chosen_columns(header, options.columns, path, names)

    def drafts(faults: Faults) -> Iterator[Draft]:
        rows = table_rows(path, faults, delimiter, quotes=quotes)
        next(rows, None)
        return (row_draft(where, dict(zip(header, row)), chosen, faults) for where, row in rows)

    return finish(drafts, faults, path, options.audio_folder or path.parent, options.bars)


def write(path: Path, utterances: Iterable[Utterance], bars: Bars) -> None:
    """Writes a table, with paths of audio as seen from its folder.

    Values of `extra` that are no texts are written as JSON.

    Raises:
        ManifestError: a text has a line break.
        InputError: the file cannot be written.
    """
    delimiter = _delimiter(path)
    write_lines(path, _lines(path, utterances, delimiter))


def _lines(path: Path, utterances: Iterable[Utterance], delimiter: str) -> Iterator[str]:
    folder = path.parent.resolve()
    seen_from = lru_cache(_KNOWN_FILES)(lambda audio: _seen_from(audio, folder))
    faults = Faults(path)
    header: dict[str, None] = {}
    for utterance in utterances:
        header |= dict.fromkeys(k for k, v in _row(utterance).items() if v is not None)
    yield _line(list(header), delimiter)
    for utterance in utterances:
        row = {**_row(utterance), "audio": seen_from(utterance.audio)}
        cells = [cell_text(row.get(key)) for key in header]
        if any("\n" in cell or "\r" in cell for cell in cells):
            faults.add(f"utterance {utterance.id!r}", "has a line break, which breaks tables")
        yield _line(cells, delimiter)
    faults.refuse()


def _row(utterance: Utterance) -> dict[str, object]:
    return {
        "id": utterance.id,
        "audio": utterance.audio,
        "text": utterance.text,
        "duration": utterance.duration,
        "offset": utterance.offset or None,
        "speaker": utterance.speaker,
        "language": utterance.language,
        **utterance.extra,
    }


def _delimiter(path: Path) -> str:
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if ending.lower() not in _DELIMITERS:
        raise InputError(f"{path} must end in .csv (commas) or .tsv (tabs); rename it.")
    return _DELIMITERS[ending.lower()]


def _seen_from(audio: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(audio.resolve(), folder)).as_posix()
    except ValueError:  # another drive
        return audio.resolve().as_posix()


def cell_text(value: object) -> str:
    """What is written for a value: itself if it is a text, nothing for None, else JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(cells: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(cells)
    return line.getvalue()
