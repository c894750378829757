"""Manifests as they are, faults included: a check must get past the first."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from asr_attn.data.fields import record_faults
from asr_attn.data.manifest import Utterance, parsed_lines, utterance_of
from asr_attn.data.text_files import name_without_endings
from asr_attn.errors import InputError, ManifestError
from asr_attn.evaluation.datacheck.findings import Finding

_KNOWN_FILES = 1 << 16


@dataclass(frozen=True)
class Split:
    """A part of the data: train, dev or test.

    Attributes:
        name: for reports.
        path: the manifest.
        utterances: those that can be read; their audio files may be missing.
        faults: of the other lines.
    """

    name: str
    path: Path
    utterances: Sequence[Utterance]
    faults: Sequence[Finding]


def read_splits(given: Sequence[str]) -> list[Split]:
    """Read manifests.

    Args:
        given: files, or NAME=FILE; a file without a name is called by its stem.

    Raises:
        InputError: a file cannot be read or lists nothing, or two have the same name.
    """
    paths: dict[str, Path] = {}
    for text in given:
        name, path = _named(text)
        if name in paths:
            raise InputError(
                f"{path}: there is another split {name!r}, {paths[name]}; name them: a={path}"
            )
        paths[name] = path
    return [read_split(name, path) for name, path in paths.items()]


def read_split(name: str, path: Path) -> Split:
    """Read one manifest, line by line.

    Raises:
        ManifestError: the file cannot be read, or no line of it is an utterance.
    """
    utterances: list[Utterance] = []
    faults: list[Finding] = []
    seen: dict[str, int] = {}
    folder = path.parent.resolve()
    file = lru_cache(_KNOWN_FILES)(lambda audio: Path(os.path.normpath(folder / audio)))
    try:
        with path.open("rb") as stream:
            for number, record, wrong in parsed_lines(path, stream):
                if record is not None:
                    wrong += record_faults(record)
                if record is not None and not wrong:
                    before = seen.setdefault(record["id"], number)
                    if before != number:
                        wrong.append(f"id {record['id']!r} is already on line {before}")
                if record is None or wrong:
                    why = f"line {number}: {'; '.join(wrong)}"
                    faults.append(Finding("line", name, "", why, 0.0, (("line", number),)))
                else:
                    utterances.append(utterance_of(record, file(record["audio"])))
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read: {error.strerror}"
        raise ManifestError(f"{path} {reason}; name a manifest (*.jsonl)") from None
    if not utterances:
        first = f"; the first fault: {faults[0].what}" if faults else ""
        raise ManifestError(f"{path} lists no utterances; write one JSON object a line{first}")
    return Split(name, path, utterances, faults)


def _named(text: str) -> tuple[str, Path]:
    name, equals, rest = text.partition("=")
    if equals and name and rest and not Path(text).exists():
        return name, Path(rest)
    return name_without_endings(Path(text)), Path(text)
