"""Data folders of Kaldi (https://kaldi-asr.org/doc/data_prep.html), read.

Relative paths in wav.scp start in the current folder, as they do for Kaldi's programs.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from asr_attn.data.corpus import replaced_folder
from asr_attn.data.faults import Faults
from asr_attn.data.formats.drafts import Draft, finish
from asr_attn.data.formats.kaldi_commands import (
    decoded_file,
    is_one_channel,
    refusal,
    run_command,
)
from asr_attn.data.formats.lines import text_lines
from asr_attn.data.formats.options import Options
from asr_attn.data.manifest import Utterance
from asr_attn.errors import AudioError, ManifestError

BLANKS = " \t\r\n\f\v"
"""What separates words for Kaldi: only these, not all of Unicode's spaces."""

_GAP = re.compile(f"[{BLANKS}]+")
_SHARED = ("utt2spk", "utt2lang")
_OPTIONAL = ("segments", "utt2spk", "utt2dur", "utt2lang")
_IN_ARCHIVE = re.compile(r".*\.ark:\d+")
_OWNED = re.compile(r"[0-9]{6,}\.wav")
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

    A speaker that is called as the utterance is Kaldi's word for an unknown one. Of
    commands in wav.scp that only decode a file the file is taken. Others run with
    ``options.allow_pipes`` if they are of sox, ffmpeg, flac or sph2pipe, and are faults otherwise.
    They start in the current folder.

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
    folder = options.audio_folder or Path()
    if commands := _commands(tables["wav.scp"], options, folder, faults):
        faults.refuse()
        return _with_commands(tables, commands, path, options)
    return finish(partial(_drafts, tables), faults, path, folder, options.bars)


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
    """The file that a line of wav.scp names; commands were replaced by their files before."""
    text = entry.rest
    if not text:
        faults.add(entry.where, "no file is named")
    elif _IN_ARCHIVE.fullmatch(text):
        faults.add(entry.where, f"{text} is inside an archive; write it to a file of its own")
    elif not text.endswith("|"):
        return text
    return None


def _commands(
    entries: dict[str, _Entry], options: Options, folder: Path, faults: Faults
) -> dict[str, str]:
    """The commands that must run, by recording; others are replaced by the file they decode."""
    found: dict[str, str] = {}
    for key, entry in entries.items():
        if not entry.rest.endswith("|"):
            continue
        command = entry.rest[:-1].strip(BLANKS)
        file = decoded_file(command)
        if file is not None and command.split()[0].endswith("sph2pipe"):
            there = (folder / file).is_file()
            file = file if not there or is_one_channel(folder / file) else None
        if file is not None:
            entries[key] = replace(entry, rest=file)
        elif (why := refusal(command)) is not None:
            faults.add(entry.where, f'the command "{entry.rest}" is not run: it {why}')
        elif not options.allow_pipes or options.store is None:
            faults.add(
                entry.where,
                f'the command "{entry.rest}" is not run; permit it with --allow-pipes, or write '
                "what it gives to a wav file and name that",
            )
        else:
            found[key] = command
    return found


def _with_commands(
    tables: dict[str, dict[str, _Entry]], commands: Mapping[str, str], path: Path, options: Options
) -> Iterator[Utterance]:
    """As `read`, with the sound of commands in a folder, which appears when all is done."""
    assert options.store is not None, "checked before"
    place, faults = options.store.resolve(), Faults(path)
    for _ in _drafts(tables, faults):  # other faults are told before anything runs
        pass
    faults.refuse()
    width = max(6, len(str(len(commands))))
    with replaced_folder(place, _OWNED) as scratch:
        with options.bars("running commands", len(commands)) as bar:
            for number, (key, command) in enumerate(commands.items()):
                entry = tables["wav.scp"][key]
                try:
                    file = run_command(command, scratch / f"{number:0{width}}")
                except AudioError as error:
                    faults.add(entry.where, f'the command "{command} |": {error}')
                else:
                    tables["wav.scp"][key] = replace(entry, rest=str(file))
                bar.advance()
        faults.refuse()
        folder = options.audio_folder or Path()
        for utterance in finish(partial(_drafts, tables), faults, path, folder, options.bars):
            made = utterance.audio.parent == scratch
            yield replace(utterance, audio=place / utterance.audio.name) if made else utterance


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
