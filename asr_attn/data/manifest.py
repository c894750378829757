"""The list of utterances of a data set: JSON Lines, one object a line.

    {"id": "a-1", "audio": "clips/a.wav", "text": "two three", "duration": 1.25}

`id`, `audio`, `text` and `duration` (seconds) are needed; `offset` (seconds), `speaker` and
`language` are optional; any other key is kept as it is. `audio` is absolute or relative to the
folder of the manifest. A recording without speech has the text "".
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from asr_attn.data.fields import KNOWN_KEYS, kind_of, record_faults
from asr_attn.errors import ManifestError
from asr_attn.files import atomic_path

_SHOWN_FAULTS = 20


@dataclass(frozen=True)
class Utterance:
    """One recording, or a part of one, and what is said in it.

    Attributes:
        id: unique within a manifest.
        audio: the file.
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
    path = Path(path)
    reader = _Reader(path)
    try:
        with path.open("rb") as stream:
            utterances = list(reader.utterances(stream))
    except OSError as error:
        raise ManifestError(_why_not_opened(path, error)) from None
    if reader.faults:
        raise ManifestError(_summary(path, reader.faults))
    if not utterances:
        raise ManifestError(f"{path} lists no utterances; write one JSON object a line.")
    return utterances


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Writes a manifest that `read_manifest` reads back; the old file stays if anything fails.

    Audio paths are written relative to the manifest's folder where there is such a path (not from
    one Windows drive to another), so that a data set can be moved as a whole.

    Raises:
        ManifestError: no utterances, an id given twice, or a value that `read_manifest` would
            refuse.
        InputError: the file cannot be written.
    """
    path = Path(path)
    with atomic_path(path) as scratch, scratch.open("wb") as stream:
        stream.writelines(_lines(path, utterances))


class _Reader:
    """Turns lines into utterances and gathers the faults of all of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = str(path.parent.resolve())
        self.faults: list[str] = []
        self.lines_of_ids: dict[str, int] = {}
        self.audio: dict[str, Path | None] = {}  # by the path as written; None: there is no file

    def utterances(self, stream: Iterable[bytes]) -> Iterator[Utterance]:
        for number, line in enumerate(stream, start=1):
            if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                self.faults.append(f"{self.path}:1: the file is UTF-16; save it as UTF-8")
                return
            if not line.strip():
                continue
            record, faults = _parse(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                faults.insert(0, "a byte order mark comes first; save the file as UTF-8 without it")
            if record is not None:
                faults += record_faults(record)
                faults += self._faults_in_context(record, number)
            if faults:
                self.faults += [f"{self.path}:{number}: {fault}" for fault in faults]
            elif record is not None:
                yield self._utterance(record)

    def _faults_in_context(self, record: dict[str, Any], number: int) -> Iterator[str]:
        """Yields the faults that the line alone does not show."""
        name, audio = record.get("id"), record.get("audio")
        if isinstance(name, str) and name:
            before = self.lines_of_ids.setdefault(name, number)
            if before != number:
                yield f"id {json.dumps(name, ensure_ascii=False)} is already on line {before}"
        if isinstance(audio, str) and audio and self._find(audio) is None:
            hint = '; write paths with "/"' if "\\" in audio else ""
            yield f"there is no audio file {audio}{hint}"

    def _find(self, audio: str) -> Path | None:
        if audio not in self.audio:
            full = os.path.normpath(os.path.join(self.folder, audio))  # noqa: PTH118 (for speed)
            self.audio[audio] = Path(full) if os.path.isfile(full) else None  # noqa: PTH113
        return self.audio[audio]

    def _utterance(self, record: dict[str, Any]) -> Utterance:
        audio = self._find(record["audio"])
        assert audio is not None, "checked before"
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


def _parse(line: bytes) -> tuple[dict[str, Any] | None, list[str]]:
    """Returns the line's object, or None and what is wrong with the line."""
    try:
        record = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        byte = line[error.start]
        return None, [f"byte {error.start + 1} (0x{byte:02X}) is not UTF-8; save the file as UTF-8"]
    except json.JSONDecodeError as error:
        return None, [f"not JSON: {error.msg} at column {error.colno}"]
    except (ValueError, RecursionError) as error:
        return None, [f"not JSON: {error}"]
    if not isinstance(record, dict):
        return None, [f"not a JSON object but {kind_of(record)}; write {{...}} with the keys"]
    if b"\\u" in line and not _is_unicode(record):
        return None, ["a \\u escape is half of a surrogate pair; write the character itself"]
    return record, []


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _is_unicode(record: dict[str, Any]) -> bool:
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _summary(path: Path, faults: list[str]) -> str:
    shown = [f"  {fault}" for fault in faults[:_SHOWN_FAULTS]]
    if len(faults) > _SHOWN_FAULTS:
        shown.append(f"  and {len(faults) - _SHOWN_FAULTS} more")
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return "\n".join([f"{path} has {count}:", *shown])


def _why_not_opened(path: Path, error: OSError) -> str:
    if path.is_dir():
        return f"{path} is a folder; give the manifest file itself."
    if not path.exists():
        return f"There is no manifest {path}; check the path or prepare the data first."
    return f"{path} cannot be read: {error.strerror or type(error).__name__}."


def _lines(path: Path, utterances: Iterable[Utterance]) -> Iterator[bytes]:
    """Yields the lines of a manifest; raises ManifestError at the first utterance with a fault."""
    folder = path.parent.resolve()
    places: dict[Path, str] = {}  # of the folders of audio files, as seen from the manifest's
    seen: set[str] = set()
    for utterance in utterances:
        where = f"{path}: utterance {utterance.id!r}"
        if utterance.id in seen:
            raise ManifestError(f"{where} is given twice; ids must be unique.")
        seen.add(utterance.id)
        parent = utterance.audio.parent
        if parent not in places:
            places[parent] = _relative(parent, folder)
        record = _record(utterance, (Path(places[parent]) / utterance.audio.name).as_posix())
        faults = ["extra has a key that is no string" for key in record if not isinstance(key, str)]
        faults = faults or record_faults(record)
        faults += [f"extra has the key {key!r}" for key in utterance.extra if key in KNOWN_KEYS]
        if faults:
            raise ManifestError(f"{where} cannot be written: {'; '.join(faults)}.")
        try:
            line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8")
        except (TypeError, ValueError) as error:
            raise ManifestError(f"{where} cannot be written as JSON: {error}.") from None
        yield line + b"\n"
    if not seen:
        raise ManifestError(f"{path} is not written: there are no utterances to list.")


def _relative(place: Path, folder: Path) -> str:
    """Returns the folder `place` as seen from `folder`, absolute if there is no way."""
    place = place.resolve()
    try:
        return os.path.relpath(place, folder)
    except ValueError:  # two drives
        return str(place)


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
