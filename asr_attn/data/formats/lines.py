"""Lines of UTF-8, compressed by gzip where the name ends in .gz, in and out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from asr_attn.data.faults import Faults
from asr_attn.data.json_lines import ENCODER, not_utf8, parse_object
from asr_attn.data.text_files import byte_lines, packed_stream
from asr_attn.errors import ManifestError
from asr_attn.files import atomic_path


def text_lines(path: Path, faults: Faults) -> Iterator[tuple[int, str]]:
    """Yields the numbers and the lines of a file, with their ends; a byte order mark is left out.

    Lines that are not UTF-8 are faults.

    Raises:
        ManifestError: the file cannot be read.
    """
    if path.is_dir():
        raise ManifestError(f"{path} is a folder; give the file itself.")
    if not path.exists():
        raise ManifestError(f"There is no file {path}; check the path.")
    try:
        with path.open("rb") as stream:
            for number, line, fault in byte_lines(path, stream):
                if fault is not None:
                    faults.add(f"{path}:{number}", fault)
                    continue
                try:
                    yield number, line.decode("utf-8")
                except UnicodeDecodeError as error:
                    faults.add(f"{path}:{number}", not_utf8(error))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManifestError(f"{path} cannot be read: {reason}.") from None


def json_objects(path: Path, faults: Faults) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields `file:line` and the object of each line of JSON Lines; empty lines are left out.

    Raises:
        ManifestError: the file cannot be read.
    """
    for number, line in text_lines(path, faults):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        record, wrong = parse_object(line)
        for fault in wrong:
            faults.add(where, fault)
        if record is not None:
            yield where, record


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes lines, given without their ends; the old file stays if anything fails.

    Raises:
        ManifestError: a line is not Unicode.
        InputError: the file cannot be written.
    """
    with atomic_path(path) as scratch, scratch.open("wb") as stream:
        try:
            with packed_stream(path, stream) as packed:
                packed.writelines(f"{line}\n".encode() for line in lines)
        except UnicodeEncodeError:
            raise ManifestError(
                f"{path} cannot be written: the name of a file or folder is not Unicode; rename it."
            ) from None


def write_json(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Writes JSON Lines, as `write_lines` does."""
    write_lines(path, map(ENCODER.encode, records))
