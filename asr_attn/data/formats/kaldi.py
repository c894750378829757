"""Data folders of Kaldi (https://kaldi-asr.org/doc/data_prep.html), read.

Relative paths in wav.scp start in the current folder, as they do for Kaldi's programs.
"""

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from asr_attn.data.faults import Faults
from asr_attn.data.formats.drafts import Draft, finish
from asr_attn.data.formats.lines import text_lines
from asr_attn.data.formats.options import Options
from asr_attn.data.manifest import Utterance
from asr_attn.errors import ManifestError

BLANKS = " \t\r\n\f\v"
"""What separates words for Kaldi: only these, not all of Unicode's spaces."""

_GAP = re.compile(f"[{BLANKS}]+")
_SHARED = ("utt2spk", "utt2lang")
_OPTIONAL = ("segments", "utt2spk", "utt2dur", "utt2lang")
_IN_ARCHIVE = re.compile(r".*\.ark:\d+")
_FLAC_OPTIONS = {"-c", "-d", "-s", "-dc", "-cd", "-dcs", "-cds", "--stdout", "--decode", "--silent"}
_SAME_SECONDS = 1e-3  # a duration in utt2dur that is this near to the segment's is more exact


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line: its file and number, and what comes after the id."""

    path: Path
    number: int
    rest: str

    @property
    def where(self) -> str:
        """The place of the line."""
        return f"{self.path}:{self.number}"


@dataclass(frozen=True)
class _Part:
    """Where an utterance lies; no duration is the whole file from the offset on."""

    where: str
    audio: str
    offset: float = 0.0
    duration: float | None = None


def read(path: Path, options: Options) -> Iterator[Utterance]:
    """Reads wav.scp and text, and segments, utt2spk, utt2dur and utt2lang if they are there.

    A speaker that is called as the utterance is Kaldi's word for an unknown one. Commands in
    wav.scp are not run: of those that only decode a file the file is taken, others are faults.

    Raises:
        ManifestError: files are missing or have faults.
    """
    if not path.is_dir():
        raise ManifestError(f"{path} is not a folder; give the folder that holds wav.scp and text.")
    faults = Faults(path)
    there = ["wav.scp", "text", *(name for name in _OPTIONAL if (path / name).exists())]
    tables = {name: _table(path / name, faults) for name in there}
    known = tables.get("segments", tables["wav.scp"])
    for name in ("text", "utt2spk"):
        for key, entry in tables.get(name, {}).items():
            if key not in known:
                faults.add(entry.where, f"{key} has no audio; Kaldi's fix_data_dir.sh mends this")
    return finish(
        partial(_drafts, tables), faults, path, options.audio_folder or Path(), options.bars
    )


def _table(path: Path, faults: Faults) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    shared = path.name in _SHARED
    for number, line in text_lines(path, faults):
        key, *rest = _GAP.split(line.strip(BLANKS), maxsplit=1)
        entry = _Entry(path, number, rest[0] if rest else "")
        if key in entries:
            faults.add(entry.where, f"{key} is already at {entries[key].where}")
        elif key:
            # of the names that many lines have, one copy is kept
            entry = _Entry(path, number, sys.intern(entry.rest)) if shared else entry
            entries[sys.intern(key)] = entry
    return entries


def _whole(tables: Mapping[str, dict[str, _Entry]], faults: Faults) -> Iterator[tuple[str, _Part]]:
    durations = tables.get("utt2dur", {})
    for key, entry in tables["wav.scp"].items():
        audio = _audio(entry, faults)
        duration = _seconds(durations[key], faults) if key in durations else None
        if audio is not None:
            yield key, _Part(entry.where, audio, duration=duration)


def _segments(
    tables: Mapping[str, dict[str, _Entry]], faults: Faults
) -> Iterator[tuple[str, _Part]]:
    files = {key: _audio(entry, faults) for key, entry in tables["wav.scp"].items()}
    durations = tables.get("utt2dur", {})
    for key, entry in tables["segments"].items():
        fields = entry.rest.split()
        if len(fields) != 3:
            hint = "; split the file into its channels" if len(fields) == 4 else ""
            faults.add(entry.where, f"write: utterance recording start end{hint}")
            continue
        if fields[0] not in files:
            faults.add(entry.where, f"wav.scp has no recording {fields[0]}")
        start = _seconds(replace(entry, rest=fields[1]), faults)
        end = _seconds(replace(entry, rest=fields[2]), faults)
        audio = files.get(fields[0])
        if audio is None or start is None or end is None:
            continue
        if end == -1:
            yield key, _Part(entry.where, audio, start)
        elif end <= start:
            faults.add(entry.where, f"the end {fields[2]} is not after the start {fields[1]}")
        else:
            exact = _seconds(durations[key], faults) if key in durations else None
            near = exact is not None and abs(exact - (end - start)) < _SAME_SECONDS
            yield key, _Part(entry.where, audio, start, exact if near else end - start)


def _audio(entry: _Entry, faults: Faults) -> str | None:
    """The file that a line of wav.scp names."""
    text = entry.rest
    if not text:
        faults.add(entry.where, "no file is named")
    elif _IN_ARCHIVE.fullmatch(text):
        faults.add(entry.where, f"{text} is inside an archive; write it to a file of its own")
    elif not text.endswith("|"):
        return text
    else:
        file = _decoded_file(text[:-1])
        if file is None:
            faults.add(
                entry.where,
                f'the command "{text}" is not run; write what it gives to a wav file and name that',
            )
        return file
    return None


def _decoded_file(command: str) -> str | None:
    """The file whose sound a command gives as it is; None if it may do anything else."""
    try:
        program, *words = shlex.split(command)
    except ValueError:  # an open quote, or no words
        return None
    if program == "sox" and len(words) == 4 and words[1:] == ["-t", "wav", "-"]:
        return words[0] if not words[0].startswith("-") else None
    if program == "flac":
        options = {word for word in words if word.startswith("-")}
        files = [word for word in words if not word.startswith("-")]
        if options <= _FLAC_OPTIONS and len(files) == 1:
            return files[0]
    return None


def _seconds(entry: _Entry, faults: Faults) -> float | None:
    try:
        return float(entry.rest)
    except ValueError:
        faults.add(entry.where, f'"{entry.rest}" is not a number of seconds')
        return None


def _drafts(tables: Mapping[str, dict[str, _Entry]], faults: Faults) -> Iterator[Draft]:
    speakers, languages = tables.get("utt2spk"), tables.get("utt2lang", {})
    parts = _segments(tables, faults) if "segments" in tables else _whole(tables, faults)
    for key, part in parts:
        values = {"id": key, "audio": part.audio, "offset": part.offset, "duration": part.duration}
        if key not in tables["text"]:
            faults.add(part.where, f"{key} has no line in text")
            continue
        if speakers is not None and key not in speakers:
            faults.add(part.where, f"{key} has no line in utt2spk")
        speaker = speakers[key].rest if speakers is not None and key in speakers else key
        yield Draft(
            part.where,
            {
                **values,
                "text": tables["text"][key].rest,
                "speaker": speaker if speaker != key else None,
                "language": languages[key].rest if key in languages else None,
            },
        )
