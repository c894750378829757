"""Manifests as they are, faults included: a check must get past the first."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from asr_attn.data.fields import KNOWN_KEYS, kind_of, record_faults
from asr_attn.data.manifest import Utterance
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
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                record, why = _parsed(line)
                if not why and seen.setdefault(record["id"], number) != number:
                    why = f"id {record['id']!r} is already on line {seen[record['id']]}"
                if why:
                    details = (("line", number),)
                    faults.append(Finding("line", name, "", f"line {number}: {why}", 0.0, details))
                else:
                    utterances.append(_utterance(record, file(record["audio"])))
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
    return Path(text).stem, Path(text)


def _parsed(line: bytes) -> tuple[dict[str, Any], str]:
    """The line's object, and what is wrong with it; "" if nothing is."""
    try:
        record = _DECODER.decode(line.decode("utf-8"))
        if b"\\u" in line:  # refuses halves of surrogate pairs
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        return {}, "is not UTF-8; save the file as UTF-8"
    except (ValueError, RecursionError) as error:
        return {}, f"not JSON: {error}"
    if not isinstance(record, dict):
        return {}, f"not a JSON object but {kind_of(record)}"
    return record, "; ".join(record_faults(record))


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _utterance(record: Mapping[str, Any], audio: Path) -> Utterance:
    return Utterance(
        id=record["id"],
        audio=audio,
        text=record["text"],
        duration=float(record["duration"]),
        offset=float(record.get("offset", 0.0)),
        speaker=record.get("speaker"),
        language=record.get("language"),
        extra={key: value for key, value in record.items() if key not in KNOWN_KEYS},
    )
