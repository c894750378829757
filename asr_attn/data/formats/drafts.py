"""From entries of other lists to utterances: what they lack is filled in, and all is checked."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from asr_attn.audio.shards import file_on_disk
from asr_attn.data.faults import Faults
from asr_attn.data.fields import KNOWN_KEYS, kind_of, record_faults
from asr_attn.data.formats.sounds import file_durations, file_names
from asr_attn.data.ids import Ids
from asr_attn.data.manifest import Utterance, utterance_of
from asr_attn.data.progress import Bars
from asr_attn.errors import AudioError, ManifestError

_KNOWN_FILES = 1 << 16
"""Audio files that are remembered to be there."""


@dataclass(frozen=True, slots=True)
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


Drafts: TypeAlias = Callable[[Faults], Iterable[Draft]]
"""Reads a list from its start and gives its entries; what is wrong with their form are faults."""


def finish(
    drafts: Drafts, faults: Faults, path: Path, folder: Path, bars: Bars
) -> Iterator[Utterance]:
    """Makes utterances, one by one.

    The list is read twice, so that it need not be held in memory: how files without ids are called
    depends on all of them. What is no file or folder, such as a pipe, is read once and held.

    Args:
        drafts: gives the entries.
        faults: found so far.
        path: the list.
        folder: where relative paths of audio start.
        bars: show how far it is.

    Raises:
        ManifestError: there are faults, or no utterances; after the last utterance.
    """
    entries = _Entries(_repeatable(drafts, faults, path), path, folder)
    durations = file_durations(entries.without_duration, bars)
    ids, empty = Ids(), True
    for draft, file, name in entries.named(faults):
        if isinstance(name, str):
            ids.add(name)
        values, wrong = entries.values(draft, file, name, durations)
        for fault in wrong:
            faults.add(draft.where, fault)
        if file is not None and not wrong:
            empty = False
            yield utterance_of(values, file, draft.extra)
    for name, where, before in ids.repeated(entries.places()):
        faults.add(where, f"id {name!r} is already at {before}")
    faults.refuse()
    if empty:
        raise ManifestError(f"{path} lists no utterances.")


def _repeatable(drafts: Drafts, faults: Faults, path: Path) -> Drafts:
    if path.is_file() or path.is_dir():
        return drafts
    held = list(drafts(faults))
    return lambda _: held


class _Entries:
    """The entries of a list, which are gone through twice.

    Args:
        drafts: gives them.
        path: the list.
        folder: where relative paths of audio start.

    Attributes:
        without_duration: the files whose durations are needed.
    """

    def __init__(self, drafts: Drafts, path: Path, folder: Path) -> None:
        self._drafts = drafts
        self._path = path
        self._files = _Files(folder)
        self._without_id: Counter[Path] = Counter()  # entries of each file
        self.without_duration: dict[Path, None] = {}
        for draft in drafts(Faults(path)):
            file = self._files.file(draft.values.get("audio"))
            if file is not None and draft.values.get("id") in (None, ""):
                self._without_id[file] += 1
            if file is not None and draft.values.get("duration") is None:
                self.without_duration[file] = None
        self._names = file_names(self._without_id)

    def named(self, faults: Faults) -> Iterator[tuple[Draft, Path | None, Any]]:
        """Yields entries with their files and ids.

        The id is the one that is given; else the file's name, with a number where it has several
        parts.
        """
        numbers: Counter[Path] = Counter()
        for draft in self._drafts(faults):
            file = self._files.file(draft.values.get("audio"))
            name = draft.values.get("id")
            if name in (None, "") and file is not None:
                numbers[file] += 1
                parts = self._without_id[file]
                name = self._names[file]
                name += f"-{numbers[file]:0{len(str(parts))}}" if parts > 1 else ""
            yield draft, file, name

    def places(self) -> Iterator[tuple[str, str]]:
        """Yields ids, and where they are."""
        for draft, _, name in self.named(Faults(self._path)):
            if isinstance(name, str):
                yield name, draft.where

    def values(
        self,
        draft: Draft,
        file: Path | None,
        name: object,
        durations: Mapping[Path, float | AudioError],
    ) -> tuple[dict[str, Any], list[str]]:
        """The values of an entry, complete, and what is wrong with them."""
        if file is None:
            return {}, [self._files.fault(draft.values.get("audio"))]
        seconds, wrong = _duration(draft, file, durations)
        values = {**draft.values, "id": name, "audio": str(file), "duration": seconds}
        if not wrong:
            wrong = record_faults({**draft.extra, **values})
            wrong += [
                f"the key {key!r} has another meaning in manifests; rename it"
                for key in draft.extra
                if key in KNOWN_KEYS
            ]
        return values, wrong


class _Files:
    """Finds audio files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._find = lru_cache(_KNOWN_FILES)(self._looked_up)

    def file(self, audio: object) -> Path | None:
        return self._find(audio) if isinstance(audio, str) and audio else None

    def _looked_up(self, audio: str) -> Path | None:
        path = Path(audio).expanduser() if audio.startswith("~/") else Path(audio)
        try:
            place = Path(os.path.normpath(self._folder / path))
            return place if Path(file_on_disk(str(place))).is_file() else None
        except ValueError:  # a zero byte
            return None

    def fault(self, audio: object) -> str:
        """Why there is no file."""
        if audio is None or audio == "":
            return "names no audio file"
        if not isinstance(audio, str):
            return f"the audio must be the path of one file, got {kind_of(audio)}"
        absolute = Path(audio).is_absolute() or audio.startswith("~/")
        hint = "" if absolute else f" in {self._folder}; give the folder with --audio-folder"
        return f"there is no audio file {audio}{hint}"


def _duration(
    draft: Draft, file: Path, durations: Mapping[Path, float | AudioError]
) -> tuple[Any, list[str]]:
    """The duration that is given, else what remains of the file; and what is wrong with it."""
    if draft.values.get("duration") is not None:
        return draft.values["duration"], []
    total = durations[file]
    if isinstance(total, AudioError):
        return None, [str(total).rstrip(".")]
    offset = draft.values.get("offset", 0.0)
    if isinstance(offset, int | float) and offset < total:
        return total - offset, []
    return None, [f"offset {offset!r} is not in {file} of {total:.3f} s"]
