"""Manifests of Lhotse, written: a folder of recordings and supervisions, or a file of cuts."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import soundfile

from asr_attn.data.corpus import replaced_folder
from asr_attn.data.faults import Faults
from asr_attn.data.formats.lhotse import is_alignment, moved_alignment
from asr_attn.data.formats.lines import write_json
from asr_attn.data.formats.sounds import file_durations, file_names
from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars
from asr_attn.errors import AudioError, InputError

_NAMES = ("recordings.jsonl.gz", "supervisions.jsonl.gz")
_OWNED = re.compile("|".join(map(re.escape, _NAMES)))


def write(path: Path, utterances: Iterable[Utterance], bars: Bars) -> None:
    """Writes cuts if the path ends in .jsonl or .jsonl.gz, else a folder; audio paths are absolute.

    Raises:
        ManifestError: an audio file cannot be read.
        InputError: the path cannot be written, or the folder holds other files.
    """
    is_cuts = path.name.endswith((".jsonl", ".jsonl.gz"))
    if path.suffix in (".json", ".gz", ".yaml", ".yml") and not is_cuts:
        raise InputError(f"{path}: give a folder, or a file of cuts ending in .jsonl or .jsonl.gz")
    recordings = _recordings(path, utterances, bars)
    if is_cuts:
        write_json(path, (_cut(u, recordings[u.audio]) for u in utterances))
        return
    with replaced_folder(path, _OWNED) as folder:
        write_json(folder / _NAMES[0], recordings.values())
        write_json(folder / _NAMES[1], (_supervision(u, recordings[u.audio]) for u in utterances))


def _recordings(
    path: Path, utterances: Iterable[Utterance], bars: Bars
) -> dict[Path, dict[str, Any]]:
    faults = Faults(path)
    recordings = {}
    durations = file_durations((utterance.audio for utterance in utterances), bars)
    names = file_names(durations)
    for audio, duration in durations.items():
        if isinstance(duration, AudioError):
            faults.add(names[audio], str(duration).rstrip("."))
            continue
        info = soundfile.info(str(audio))
        channels = list(range(info.channels))
        recordings[audio] = {
            "id": names[audio],
            "sources": [{"type": "file", "channels": channels, "source": str(audio.resolve())}],
            "sampling_rate": info.samplerate,
            "num_samples": round(duration * info.samplerate),
            "duration": duration,
            "channel_ids": channels,
        }
    faults.refuse()
    return recordings


def _supervision(utterance: Utterance, recording: dict[str, Any]) -> dict[str, Any]:
    channels = recording["channel_ids"]
    supervision = {
        "id": utterance.id,
        "recording_id": recording["id"],
        "start": utterance.offset,
        "duration": utterance.duration,
        "channel": channels if len(channels) > 1 else channels[0],
        "text": utterance.text,
        "language": utterance.language,
        "speaker": utterance.speaker,
    }
    custom = dict(utterance.extra)
    if isinstance(custom.get("gender"), str):
        supervision["gender"] = custom.pop("gender")
    if is_alignment(custom.get("alignment")):
        supervision["alignment"] = custom.pop("alignment")
    if custom:
        supervision["custom"] = custom
    return {key: value for key, value in supervision.items() if value is not None}


def _cut(utterance: Utterance, recording: dict[str, Any]) -> dict[str, Any]:
    """A cut that is the utterance; what is in it counts from its start."""
    supervision = _supervision(utterance, recording)
    inner = {**supervision, "start": 0.0}
    if "alignment" in inner:
        inner["alignment"] = moved_alignment(inner["alignment"], -utterance.offset)
    return {
        "id": utterance.id,
        "start": utterance.offset,
        "duration": utterance.duration,
        "channel": supervision["channel"],
        "supervisions": [inner],
        "recording": recording,
        "type": "MonoCut" if len(recording["channel_ids"]) == 1 else "MultiCut",
    }
