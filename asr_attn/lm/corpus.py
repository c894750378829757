"""Text to train and measure language models with: sentences out of files, and their symbols."""

import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, BinaryIO, Final, TypeAlias, cast

from asr_attn.errors import InputError
from asr_attn.lm.ngrams import SPECIALS
from asr_attn.lm.vocabulary import symbol_of, token_symbols
from asr_attn.text.leading_ids import all_have_ids
from asr_attn.text.normalizer import NormalizerConfig, normalize
from asr_attn.text.tokenizer import Tokenizer

Splitter: TypeAlias = Callable[[str], list[str]]
"""Cuts a sentence into symbols."""

_LOOKED_AT: Final = 100
"""Lines of a text that are searched for ids."""
_COMPRESSED: Final = (".gz", ".xz")


@dataclass(frozen=True)
class Line:
    """A sentence and where it is from."""

    path: Path
    number: int
    text: str


def split_words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


def split_characters(text: str) -> list[str]:
    """The characters of a text, ``<space>`` for those between words."""
    return [symbol_of(character) for character in text]


def split_tokens(tokenizer: Tokenizer) -> Splitter:
    """A splitter into the tokens of a recogniser."""
    symbols = token_symbols(tokenizer)
    return lambda text: [symbols[token] for token in tokenizer.encode(text)]


def read_lines(
    paths: Iterable[Path],
    normalizer: NormalizerConfig | None = None,
    on_read: Callable[[int], None] = lambda _: None,
) -> Iterator[Line]:
    """Read sentences: lines of text files, or the texts of manifests (.jsonl).

    Files may be compressed (.gz, .xz). White space is made one space between words, and what is
    then empty is left out.

    Args:
        paths: the files.
        normalizer: how to spell the texts; None leaves them as they are.
        on_read: is told now and then how many bytes of a file were read since it was told last.

    Raises:
        InputError: a file cannot be read.
    """
    for path in paths:
        kind = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
        manifest = kind.suffix.lower() == ".jsonl"
        for number, raw in _raw_lines(path, on_read):
            text = _decode(path, number, raw)
            if manifest:
                text = _text_of(path, number, text)
            text = " ".join(text.split()) if normalizer is None else normalize(text, normalizer)
            if text:
                yield Line(path, number, text)


def ids_notes(paths: Iterable[Path]) -> Iterator[str]:
    """Yields a sentence for each text whose first lines hold ids, which would be words.

    Raises:
        InputError: a file cannot be read.
    """
    for path in paths:
        if path.exists() and not path.is_file():  # a pipe can be read only once
            continue
        found = [line.text for line in islice(read_lines([path]), _LOOKED_AT)]
        if all_have_ids(found):
            yield (
                f"{path}: the lines hold what looks like ids of utterances ({found[0]!r}), which "
                "count as words; take them out, or give a manifest (.jsonl)"
            )


def sentences(lines: Iterable[Line], split: Splitter) -> Iterator[list[str]]:
    """Cut lines into symbols.

    Raises:
        InputError: a word of the text is the name of a special symbol.
    """
    special = set(SPECIALS)
    for line in lines:
        symbols = split(line.text)
        if split is split_words and not special.isdisjoint(symbols):
            word = next(symbol for symbol in symbols if symbol in special)
            raise InputError(
                f"{line.path}:{line.number}: the word {word} has a meaning of its own in language "
                "models; take it out of the text"
            )
        yield symbols


def _raw_lines(path: Path, on_read: Callable[[int], None]) -> Iterator[tuple[int, bytes]]:
    with _blaming(path), path.open("rb") as raw:
        told = 0
        for number, line in enumerate(_unpacked(path, raw), start=1):
            yield number, line
            if number % 1000 == 0:
                on_read(raw.tell() - told)
                told = raw.tell()
        on_read(raw.tell() - told)


def _unpacked(path: Path, raw: BinaryIO) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(raw))
    return lzma.open(raw) if suffix == ".xz" else raw


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path} is cut short or damaged ({error}); make or copy the file again"
        ) from None
    except OSError as error:
        if error.filename is not None and str(error.filename) != str(path):
            raise
        if path.is_dir():
            raise InputError(f"{path} is a folder; name text files") from None
        if not path.exists():
            raise InputError(f"{path}: there is no such text file; check the path") from None
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}); check its permissions") from None


def _decode(path: Path, number: int, raw: bytes) -> str:
    if number == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}:{number}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        ) from None


def _text_of(path: Path, number: int, line: str) -> str:
    """The text of a manifest's line."""
    if not line.strip():
        return ""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{path}:{number}: is not JSON; write one object a line") from None
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise InputError(
            f'{path}:{number}: lacks a "text" that is a string; write {{"text": "two three"}}'
        )
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(
            f"{path}:{number}: a \\u escape is half of a surrogate pair; write the character itself"
        )
    return text
