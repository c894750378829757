"""From entries of other lists to utterances: what they lack is filled in, and all is checked."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr_attn.data.fields import KNOWN_KEYS, kind_of, record_faults
from asr_attn.data.formats.faults import Faults
from asr_attn.data.formats.options import Bars
from asr_attn.data.formats.sounds import file_durations, file_names
from asr_attn.data.manifest import Utterance
from asr_attn.errors import AudioError, ManifestError


@dataclass(frozen=True)
class Draft:
    """An entry of a list, not checked yet.

    Attributes:
        where: the place of the entry, as `file:line`.
        values: by the keys of a manifest. An id that is not given is made of the file's name, a
            duration is read from the file.
        extra: keys that have no meaning here.
    """

    where: str
    values: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)


def finish(
    drafts: Sequence[Draft], faults: Faults, path: Path, folder: Path, bars: Bars
) -> list[Utterance]:
    """Makes utterances.

    Args:
        drafts: all entries.
        faults: found so far.
        path: the list.
        folder: where relative paths of audio start.
        bars: show how far it is.

    Raises:
        ManifestError: there are faults, or no utterances.
    """
    found = _Files(folder)
    files = [found.file(draft.values.get("audio")) for draft in drafts]
    for draft, file in zip(drafts, files):
        if file is None:
            faults.add(draft.where, found.fault(draft.values.get("audio")))
    names = _ids(drafts, files)
    durations = _durations(drafts, files, faults, bars)
    utterances = []
    first: dict[str, str] = {}
    for draft, file, name, duration in zip(drafts, files, names, durations):
        if file is None or duration is None:  # a fault that was told
            continue
        values = {**draft.values, "id": name, "audio": str(file), "duration": duration}
        wrong = record_faults({**draft.extra, **values})
        wrong += [
            f"the key {key!r} has another meaning in manifests; rename it"
            for key in draft.extra
            if key in KNOWN_KEYS
        ]
        if isinstance(name, str) and first.setdefault(name, draft.where) != draft.where:
            wrong.append(f"id {name!r} is already at {first[name]}")
        for fault in wrong:
            faults.add(draft.where, fault)
        if not wrong:
            utterances.append(_utterance(values, file, draft.extra))
    faults.refuse()
    if not utterances:
        raise ManifestError(f"{path} lists no utterances.")
    return utterances


class _Files:
    """Finds audio files, each once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._found: dict[str, Path | None] = {}

    def file(self, audio: object) -> Path | None:
        if not isinstance(audio, str) or not audio:
            return None
        if audio not in self._found:
            path = Path(audio).expanduser() if audio.startswith("~/") else Path(audio)
            try:
                place = Path(os.path.normpath(self._folder / path))
                self._found[audio] = place if place.is_file() else None
            except ValueError:  # a zero byte
                self._found[audio] = None
        return self._found[audio]

    def fault(self, audio: object) -> str:
        """Why there is no file."""
        if audio is None or audio == "":
            return "names no audio file"
        if not isinstance(audio, str):
            return f"the audio must be the path of one file, got {kind_of(audio)}"
        absolute = Path(audio).is_absolute() or audio.startswith("~/")
        hint = "" if absolute else f" in {self._folder}; give the folder with --audio-folder"
        return f"there is no audio file {audio}{hint}"


def _ids(drafts: Sequence[Draft], files: Sequence[Path | None]) -> list[Any]:
    """The ids that are given; else the file's name, with a number where it has several parts."""
    without = [i for i, draft in enumerate(drafts) if draft.values.get("id") in (None, "")]
    parts = Counter(files[i] for i in without)
    names = file_names(file for i in without if (file := files[i]) is not None)
    ids = [draft.values.get("id") for draft in drafts]
    numbers: Counter[Path] = Counter()
    for i in without:
        file = files[i]
        if file is None:
            continue
        numbers[file] += 1
        width = len(str(parts[file]))
        ids[i] = names[file] if parts[file] == 1 else f"{names[file]}-{numbers[file]:0{width}}"
    return ids


def _durations(
    drafts: Sequence[Draft], files: Sequence[Path | None], faults: Faults, bars: Bars
) -> list[Any]:
    """The durations that are given; else what remains of the file; None after a fault."""
    lacking = [draft.values.get("duration") is None for draft in drafts]
    totals = file_durations((f for f, lacks in zip(files, lacking) if lacks and f), bars)
    durations: list[Any] = []
    for draft, file, lacks in zip(drafts, files, lacking):
        total = totals.get(file) if file is not None and lacks else None
        offset = draft.values.get("offset", 0.0)
        if not lacks:
            durations.append(draft.values["duration"])
        elif isinstance(total, float) and isinstance(offset, int | float) and offset < total:
            durations.append(total - offset)
        else:
            durations.append(None)
            if isinstance(total, AudioError):
                faults.add(draft.where, str(total).rstrip("."))
            elif total is not None:
                faults.add(draft.where, f"offset {offset!r} is not in {file} of {total:.3f} s")
    return durations


def _utterance(values: Mapping[str, Any], file: Path, extra: Mapping[str, Any]) -> Utterance:
    return Utterance(
        id=values["id"],
        audio=file,
        text=values["text"],
        duration=float(values["duration"]),
        offset=float(values.get("offset", 0.0)),
        speaker=values.get("speaker"),
        language=values.get("language"),
        extra=dict(extra),
    )
