"""The list of utterances of a data set: JSON Lines, one object a line.

    {"id": "a-1", "audio": "clips/a.wav", "text": "two three", "duration": 1.25}

`id`, `audio`, `text` and `duration` (seconds) are needed; `offset` (seconds), `speaker` and
`language` are optional; any other key is kept as it is. `audio` is absolute or relative to the
folder of the manifest; it may name a member of a tar file (see `audio.shards`). A recording without
speech has the text "". A manifest may be compressed by gzip (.jsonl.gz).
"""

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from asr_attn.audio.shards import file_on_disk, member_of
from asr_attn.data.faults import Faults
from asr_attn.data.fields import KNOWN_KEYS, record_faults
from asr_attn.data.ids import Ids
from asr_attn.data.json_lines import ENCODER, parse_bytes
from asr_attn.data.text_files import byte_lines, packed_stream
from asr_attn.errors import ManifestError
from asr_attn.files import atomic_path

_KNOWN_FILES = 1 << 16
"""Audio files that are remembered to be there."""
_KNOWN_SHARDS = 1 << 10
"""The same of shards, each of which has many members."""
_NOTHING: Mapping[str, Any] = {}
"""Shared by all utterances that have no keys of their own."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording, or a part of one, and what is said in it.

    Attributes:
        id: unique within a manifest.
        audio: the file, or the member of a shard.
        text: the words; "" if there are none.
        duration: seconds.
        offset: seconds from the start of the file to the start of the utterance.
        speaker: who speaks, if known.
        language: a language tag, if known.
        extra: keys of the manifest that have no meaning here.
    """

    id: str
    audio: Path
    text: str
    duration: float
    offset: float = 0.0
    speaker: str | None = None
    language: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


def read_manifest(path: Path) -> list[Utterance]:
    """Reads a manifest; audio paths are returned absolute.

    Raises:
        ManifestError: the file cannot be read or is empty, or lines of it have faults; one message
            lists them all as `file:line: fault`.
    """
    return list(Manifest(path))


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Writes a manifest that `read_manifest` reads back; the old file stays if anything fails.

    Audio paths are written relative to the manifest's folder where there is such a path (not from
    one Windows drive to another), so that a data set can be moved as a whole.

    Raises:
        ManifestError: no utterances, an id given twice, or a value that `read_manifest` would
            refuse.
        InputError: the file cannot be written.
    """
    path, ids = Path(path), Ids()
    with atomic_path(path) as scratch:
        with scratch.open("wb") as stream, packed_stream(path, stream) as packed:
            packed.writelines(_lines(path, utterances, ids))
        for name, _, _ in ids.repeated(_written_ids(scratch)):
            raise ManifestError(f"{path}: utterance {name!r} is given twice; ids must be unique.")


class Manifest:
    """The utterances of a manifest, read anew, line by line, each time they are gone through.

    Memory does not grow with the manifest, but for 8 bytes a line. Utterances of one audio file
    share its path.

    Args:
        path: the manifest. What is no file, such as a pipe, can be read only once and is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._folder = str(self._path.parent.resolve())
        self._kept: bytes | None = None
        self._find = lru_cache(_KNOWN_FILES)(self._looked_up)
        self._is_file = lru_cache(_KNOWN_SHARDS)(lambda path: os.path.isfile(path))  # noqa: PTH113

    def __iter__(self) -> Iterator[Utterance]:
        """Yields the utterances.

        Raises:
            ManifestError: as `read_manifest`; for faults of lines, after the last one.
        """
        faults, ids, empty = Faults(self._path), Ids(), True
        for number, record, wrong in self._records():
            if record is not None:
                wrong += record_faults(record)
                wrong += self._audio_faults(record.get("audio"))
                if isinstance(name := record.get("id"), str):
                    ids.add(name)
            for fault in wrong:
                faults.add(f"{self._path}:{number}", fault)
            if record is not None and not wrong:
                empty = False
                yield self._utterance(record)
        for name, number, before in ids.repeated(self._names()):
            shown = json.dumps(name, ensure_ascii=False)
            faults.add(f"{self._path}:{number}", f"id {shown} is already on line {before}")
        faults.refuse()
        if empty:
            raise ManifestError(f"{self._path} lists no utterances; write one JSON object a line.")

    def _records(self) -> Iterator[tuple[int, dict[str, Any] | None, list[str]]]:
        """Yields the number of each line, its object, and what is wrong with its form."""
        try:
            with self._opened() as stream:
                yield from parsed_lines(self._path, stream)
        except OSError as error:
            raise ManifestError(_why_not_opened(self._path, error)) from None

    def _opened(self) -> IO[bytes]:
        if self._kept is None and self._path.exists() and not self._path.is_file():
            self._kept = self._path.read_bytes()
        return self._path.open("rb") if self._kept is None else io.BytesIO(self._kept)

    def _names(self) -> Iterator[tuple[str, int]]:
        """Yields the ids and the numbers of their lines."""
        for number, record, _ in self._records():
            if record is not None and isinstance(name := record.get("id"), str):
                yield name, number

    def _audio_faults(self, audio: object) -> list[str]:
        if not isinstance(audio, str) or not audio or self._find(audio) is not None:
            return []
        hint = '; write paths with "/"' if "\\" in audio else ""
        what = "audio file" if member_of(audio) is None else "shard"
        return [f"there is no {what} {file_on_disk(audio)}{hint}"]

    def _looked_up(self, audio: str) -> Path | None:
        """The file that a line names; None: there is none."""
        full = os.path.normpath(os.path.join(self._folder, audio))  # noqa: PTH118 (for speed)
        return Path(full) if self._is_file(file_on_disk(full)) else None

    def _utterance(self, record: dict[str, Any]) -> Utterance:
        audio = self._find(record["audio"])
        assert audio is not None, "checked before"
        return utterance_of(record, audio)


def parsed_lines(
    path: Path, stream: IO[bytes]
) -> Iterator[tuple[int, dict[str, Any] | None, list[str]]]:
    """Yield the number of each line of JSON Lines, its object, and what is wrong with its form.

    Empty lines are left out.

    Args:
        path: what the file is called in messages.
        stream: the file, compressed or not.

    Raises:
        ManifestError: the file is damaged gzip data.
        OSError: the file cannot be read.
    """
    for number, line, fault in byte_lines(path, stream):
        if fault is not None:
            yield number, None, [fault]
        elif line.strip():
            yield number, *parse_bytes(line)


def utterance_of(
    record: Mapping[str, Any], audio: Path, extra: Mapping[str, Any] | None = None
) -> Utterance:
    """The utterance of a record without faults (see ``fields.record_faults``).

    Args:
        record: values by the keys of a manifest.
        audio: the file that it means.
        extra: further values; those of the record under other keys when not given.
    """
    if extra is None:
        extra = {key: value for key, value in record.items() if key not in KNOWN_KEYS}
    return Utterance(
        id=record["id"],
        audio=audio,
        text=record["text"],
        duration=float(record["duration"]),
        offset=float(record.get("offset", 0.0)),
        speaker=_shared(record.get("speaker")),
        language=_shared(record.get("language")),
        extra={sys.intern(key): value for key, value in extra.items()} or _NOTHING,
    )


def _shared(name: str | None) -> str | None:
    """The same text, which is in memory only once."""
    return None if name is None else sys.intern(name)


def _why_not_opened(path: Path, error: OSError) -> str:
    if path.is_dir():
        return f"{path} is a folder; give the manifest file itself."
    if not path.exists():
        return f"There is no manifest {path}; check the path or prepare the data first."
    return f"{path} cannot be read: {error.strerror or type(error).__name__}."


def _lines(path: Path, utterances: Iterable[Utterance], ids: Ids) -> Iterator[bytes]:
    """Yields the lines of a manifest; raises ManifestError at the first utterance with a fault."""
    empty = True
    folder = path.parent.resolve()
    prefix = lru_cache(_KNOWN_FILES)(lambda place: _prefix(place, folder))
    for utterance in utterances:
        where = f"{path}: utterance {utterance.id!r}"
        place, name = _place(utterance.audio)
        record = _record(utterance, prefix(place) + name)
        faults = ["extra has a key that is no string" for key in record if not isinstance(key, str)]
        faults = faults or record_faults(record)
        faults += [f"extra has the key {key!r}" for key in utterance.extra if key in KNOWN_KEYS]
        if faults:
            raise ManifestError(f"{where} cannot be written: {'; '.join(faults)}.")
        try:
            line = ENCODER.encode(record).encode("utf-8")
        except (TypeError, ValueError) as error:
            raise ManifestError(f"{where} cannot be written as JSON: {error}.") from None
        ids.add(utterance.id)
        empty = False
        yield line + b"\n"
    if empty:
        raise ManifestError(f"{path} is not written: there are no utterances to list.")


def _written_ids(path: Path) -> Iterator[tuple[str, None]]:
    """Yields the ids of a file of lines."""
    if not path.is_file():  # what went into a pipe cannot be read again
        raise ManifestError(f"{path}: an id is given twice; ids must be unique.")
    with path.open("rb") as stream:
        for _, line, _ in byte_lines(path, stream):
            yield json.loads(line)["id"], None


def _place(audio: Path) -> tuple[str, str]:
    """The folder of a file or of a shard, and what follows it in a path, with /."""
    member = member_of(audio)
    if member is None:
        return os.path.split(audio)
    place, name = os.path.split(member.shard)
    return place, f"{name}/{member.inside}"


def _prefix(place: str, folder: Path) -> str:
    """What comes before the names of the files of a folder, as seen from `folder`, with /."""
    real = Path(place).resolve()
    try:
        seen = Path(os.path.relpath(real, folder))
    except ValueError:  # two drives
        seen = real
    return (seen / "x").as_posix()[:-1]


def _record(utterance: Utterance, audio: str) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": utterance.id,
        "audio": audio,
        "text": utterance.text,
        "duration": utterance.duration,
    }
    if utterance.offset:
        record["offset"] = utterance.offset
    if utterance.speaker is not None:
        record["speaker"] = utterance.speaker
    if utterance.language is not None:
        record["language"] = utterance.language
    return {**record, **utterance.extra}
