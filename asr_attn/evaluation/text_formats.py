"""Texts with the ids of their utterances, in the formats that recognizers and toolkits write."""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from asr_attn.errors import InputError
from asr_attn.text.leading_ids import leading_tokens, looks_like_id

TEXT_FORMATS: Final = {
    "plain": "one sentence a line, matched by line",
    "kaldi": "ID TEXT",
    "trn": "TEXT (ID), of NIST's sclite",
    "tsv": "ID<TAB>TEXT, as asr-attn transcribe writes, or columns with a header",
    "csv": "columns with a header",
    "jsonl": "objects with id and text, manifests among them",
}
"""The formats and what a line of each is."""
_BY_SUFFIX: Final = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "tsv", ".trn": "trn"}
_TRN: Final = re.compile(r"(.*)\(([^\s()]+)\)\s*")
_COMMENT: Final = ";;"
"""Begins comments of sclite."""
_ALTERNATIVES: Final = re.compile(r"\{[^{}]*/[^{}]*\}")
_ID_COLUMNS: Final = ("id", "utt_id", "utterance_id", "utt", "name", "key")
_AUDIO_COLUMNS: Final = ("audio", "file_name", "path", "audio_filepath", "file", "filename")
_TEXT_COLUMNS: Final = (
    *("text", "transcription", "transcript", "sentence"),
    *("hypothesis", "reference", "hyp", "ref"),
)
_SOME: Final = 0.5
"""Share of lines with something like an id from which on it is doubtful that they have none."""


@dataclass(frozen=True, slots=True)
class NamedText:
    """A text and the utterance that it is of.

    Attributes:
        line: of the file, from 1.
        id: of the utterance; "" in a file without ids.
        text: what was said or recognized.
        audio: path of the recording, where the file names one.
    """

    line: int
    id: str
    text: str
    audio: str = ""


@dataclass(frozen=True)
class TextFile:
    """A file of texts.

    Attributes:
        path: of the file.
        format: one of ``TEXT_FORMATS``.
        texts: in its order.
        leading: first tokens of the lines of a plain file whose lines may begin with ids, though
            the tokens do not look like it; else None.
    """

    path: Path
    format: str
    texts: Sequence[NamedText]
    leading: Sequence[str] | None = None


def read_texts(path: Path, option: str, chosen: str | None = None) -> TextFile:
    """Read a file of texts.

    Args:
        path: the file, compressed where it ends in .gz.
        option: of the command line that names a format, for messages.
        chosen: the format; None recognizes it.

    Raises:
        InputError: the file cannot be read, its format is in doubt, or lines are not of it.
    """
    lines = list(_lines(path))
    name = chosen or _format_of(path, [line for _, line in lines if line.strip()], option)
    if name == "plain":
        texts = [NamedText(number, "", line) for number, line in lines]
        filled = [line for _, line in lines if line.strip()]
        return TextFile(path, name, texts, leading_tokens(filled) if filled else None)
    lines = [(number, line) for number, line in lines if line.strip()]
    texts = list(_READERS[name](path, lines))
    known: dict[str, int] = {}
    for text in texts:
        if text.id in known:
            raise InputError(
                f"{path}:{text.line}: id {text.id!r} is given twice, first at line "
                f"{known[text.id]}; ids must be unique"
            )
        known[text.id] = text.line
    if not texts:
        raise InputError(f"{path} holds no texts; write one utterance a line")
    return TextFile(path, name, texts)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the numbers and the lines of a file, without their ends."""
    try:
        with _opened(path) as stream:
            for number, line in enumerate(stream, start=1):
                yield number, line.removesuffix("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{path} is cut short or damaged; make or copy the file again") from None
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read: {error.strerror}"
        raise InputError(f"{path} {reason}; name a text file") from None


def _opened(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _format_of(path: Path, lines: Sequence[str], option: str) -> str:
    """The format that a file's name or its lines tell."""
    kind = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    by_suffix = _BY_SUFFIX.get(kind.suffix.lower())
    if by_suffix is not None:
        return by_suffix
    lines = [line for line in lines if not line.startswith(_COMMENT)]
    if not lines:
        return "plain"
    if all(line.lstrip().startswith("{") for line in lines) and _is_object(lines[0]):
        return "jsonl"
    if all("\t" in line for line in lines):
        return "tsv"
    if _has_columns(next(csv.reader(lines[:1]))):
        return "csv"
    ends = [found[2] for line in lines if (found := _TRN.fullmatch(line))]
    if len(ends) == len(lines) > 1 and (len(set(ends)) > 1 or any(map(looks_like_id, ends))):
        return "trn"
    starts = [line.split(maxsplit=1)[0] for line in lines]
    begin = sum(map(looks_like_id, starts))
    if len(lines) > 1 and begin == len(lines) and (len(set(starts)) > 1):
        return "kaldi"
    if begin > _SOME * len(lines) or sum(map(looks_like_id, ends)) > _SOME * len(lines):
        raise InputError(
            f"{path}: some lines hold what looks like an id of an utterance, but it is not clear "
            f"that all do; say what a line is by {option} (plain: a sentence, kaldi: ID TEXT, "
            "trn: TEXT (ID))"
        )
    return "plain"


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _kaldi(path: Path, lines: Sequence[tuple[int, str]]) -> Iterator[NamedText]:
    for number, line in lines:
        name, *rest = line.split(maxsplit=1)
        yield NamedText(number, name, rest[0].rstrip() if rest else "")


def _trn(path: Path, lines: Sequence[tuple[int, str]]) -> Iterator[NamedText]:
    for number, line in lines:
        if line.startswith(_COMMENT):
            continue
        found = _TRN.fullmatch(line)
        if found is None:
            raise InputError(f"{path}:{number}: does not end in an id; write TEXT (ID)")
        if _ALTERNATIVES.search(found[1]):
            raise InputError(
                f"{path}:{number}: alternatives {{a / b}} are not scored here; write one of them"
            )
        yield NamedText(number, found[2], found[1].strip())


def _tsv(path: Path, lines: Sequence[tuple[int, str]]) -> Iterator[NamedText]:
    rows = [(number, line.split("\t")) for number, line in lines]
    if rows and _has_columns(rows[0][1]):
        yield from _table(path, rows)
        return
    for number, cells in rows:
        if len(cells) != 2:
            raise InputError(
                f"{path}:{number}: has {len(cells)} columns; write ID<TAB>TEXT, or name the "
                "columns in a first line, id and text among them"
            )
        yield NamedText(number, _unquoted(cells[0]), cells[1])


def _csv(path: Path, lines: Sequence[tuple[int, str]]) -> Iterator[NamedText]:
    numbers = [number for number, _ in lines]
    reader = csv.reader((f"{line}\n" for _, line in lines), strict=True)
    try:
        rows = [(numbers[reader.line_num - 1], row) for row in reader]
    except csv.Error as error:
        raise InputError(f"{path}: is not a table: {error}; mend it") from None
    if not rows or not _has_columns(rows[0][1]):
        raise InputError(
            f"{path}: its first line names no columns of ids and texts; call them id and text"
        )
    yield from _table(path, rows)


def _table(path: Path, rows: Sequence[tuple[int, list[str]]]) -> Iterator[NamedText]:
    header = [cell.strip().lower() for cell in rows[0][1]]
    audio = _column(header, _AUDIO_COLUMNS)
    name = _column(header, _ID_COLUMNS)
    name = audio if name is None else name
    text = _column(header, _TEXT_COLUMNS)
    assert name is not None
    assert text is not None
    for number, cells in rows[1:]:
        if len(cells) != len(header):
            raise InputError(
                f"{path}:{number}: has {len(cells)} cells, but the header has {len(header)}"
            )
        yield NamedText(number, cells[name], cells[text], cells[audio] if audio is not None else "")


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _has_columns(cells: Sequence[str]) -> bool:
    """Whether cells are a header that names ids and texts."""
    header = [cell.strip().lower() for cell in cells]
    names = _column(header, (*_ID_COLUMNS, *_AUDIO_COLUMNS))
    return names is not None and _column(header, _TEXT_COLUMNS) is not None


def _unquoted(name: str) -> str:
    """A name as ``asr-attn transcribe`` writes it: a string of JSON if it holds control characters.

    A name that is in quotes itself is none: it holds no such characters.
    """
    if len(name) < 2 or not name.startswith('"'):
        return name
    try:
        found = json.loads(name)
    except (ValueError, RecursionError):
        return name
    return found if isinstance(found, str) and not found.isprintable() else name


def _jsonl(path: Path, lines: Sequence[tuple[int, str]]) -> Iterator[NamedText]:
    for number, line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{path}:{number}: is not JSON; write one object a line") from None
        name, text = (record.get("id"), record.get("text")) if isinstance(record, dict) else (0, 0)
        if not isinstance(name, str) or not isinstance(text, str):
            raise InputError(
                f'{path}:{number}: lacks an "id" or a "text" that is a string; write '
                '{"id": "a-1", "text": "two three"}'
            )
        audio = record.get("audio")
        yield NamedText(number, name, text, audio if isinstance(audio, str) else "")


_READERS: Final[dict[str, Callable[[Path, Sequence[tuple[int, str]]], Iterator[NamedText]]]] = {
    "kaldi": _kaldi,
    "trn": _trn,
    "tsv": _tsv,
    "csv": _csv,
    "jsonl": _jsonl,
}
