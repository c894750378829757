"""Manifests of NVIDIA NeMo: JSON Lines, one utterance a line.

`audio_filepath`, `duration` and `text` are NeMo's own keys, and so are `offset`, `speaker` and
`lang` (nemo/collections/common/parts/preprocessing/manifest.py); `id` is kept beside them.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from asr_attn.data.faults import Faults
from asr_attn.data.formats.drafts import Draft, finish
from asr_attn.data.formats.lines import json_objects, write_json
from asr_attn.data.formats.options import Options
from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars

_KNOWN_FILES = 1 << 16
_KEYS = ("audio_filepath", "duration", "text", "offset", "speaker", "lang", "id")


def read(path: Path, options: Options) -> Iterator[Utterance]:
    """Reads a manifest; relative paths start in its folder.

    Raises:
        ManifestError: the file cannot be read or has faults.
    """

    def drafts(faults: Faults) -> Iterator[Draft]:
        return (_draft(where, record, faults) for where, record in json_objects(path, faults))

    folder = options.audio_folder or path.parent
    return finish(drafts, Faults(path), path, folder, options.bars)


def write(path: Path, utterances: Iterable[Utterance], bars: Bars) -> None:
    """Writes a manifest, with absolute paths: versions of NeMo differ in where others start.

    Raises:
        ManifestError: a key of `extra` is one of NeMo's.
        InputError: the file cannot be written.
    """
    write_json(path, _records(path, utterances))


def _draft(where: str, record: dict[str, Any], faults: Faults) -> Draft:
    if record.get("text") is None:
        faults.add(where, 'missing key "text"; write "" for a recording without speech')
    values = {
        "audio": record.get("audio_filepath", record.get("audio_filename")),
        "id": str(record["id"]) if type(record.get("id")) is int else record.get("id"),
        "text": "" if record.get("text") is None else record["text"],
        "duration": record.get("duration"),
        "offset": 0.0 if record.get("offset") is None else record["offset"],
        "speaker": record.get("speaker"),
        "language": record.get("lang", record.get("language")),
    }
    if type(values["speaker"]) is int:
        values["speaker"] = str(values["speaker"])
    own = {*_KEYS, "audio_filename"}
    if values["language"] == record.get("language"):  # NeMo Curator's word for it
        own.add("language")
    return Draft(where, values, {key: value for key, value in record.items() if key not in own})


def _records(path: Path, utterances: Iterable[Utterance]) -> Iterator[dict[str, Any]]:
    faults = Faults(path)
    absolute = lru_cache(_KNOWN_FILES)(lambda audio: str(audio.resolve()))
    for utterance in utterances:
        yield _record(utterance, absolute(utterance.audio), faults)
    faults.refuse()


def _record(utterance: Utterance, audio: str, faults: Faults) -> dict[str, Any]:
    record: dict[str, Any] = {
        "audio_filepath": audio,
        "duration": utterance.duration,
        "text": utterance.text,
    }
    if utterance.offset:
        record["offset"] = utterance.offset
    if utterance.speaker is not None:
        record["speaker"] = utterance.speaker
    if utterance.language is not None:
        record["lang"] = utterance.language
    record["id"] = utterance.id
    for key in utterance.extra:
        if key in (*_KEYS, "audio_filename"):
            faults.add(f"utterance {utterance.id!r}", f"its key {key!r} has a meaning in NeMo")
    return {**record, **utterance.extra}
