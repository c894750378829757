"""Data folders of Kaldi, written: sorted as Kaldi wants them, and whole or not at all."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from asr_attn.data.corpus import replaced_folder
from asr_attn.data.faults import Faults
from asr_attn.data.formats.kaldi import BLANKS
from asr_attn.data.formats.lines import write_lines
from asr_attn.data.formats.sounds import file_names, whole_files
from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars

_OWNED = re.compile("wav.scp|segments|text|utt2spk|spk2utt|utt2dur|utt2lang")
_BLANK = re.compile(f"[{BLANKS}]")


def write(path: Path, utterances: Iterable[Utterance], bars: Bars) -> None:
    """Writes a data folder; segments only if some utterance is a part of a file.

    Files other than wav are decoded by `flac` and `sox`, in wav.scp.

    Raises:
        ManifestError: an id, a speaker, a text or a path cannot be written in Kaldi's form, or an
            audio file cannot be read.
        InputError: the folder cannot be written, or holds other files.
    """
    _refuse_unwritable(path, utterances)
    parts = sum(not whole for _, whole in whole_files(utterances, path, bars))
    names = _recordings(utterances) if parts else None
    with replaced_folder(path, _OWNED) as folder:
        for table, lines in _tables(utterances, names).items():
            # Code points sort as the bytes of UTF-8 do under LC_ALL=C.
            write_lines(folder / table, sorted(lines, key=lambda line: line.split(" ", 1)[0]))


def _tables(
    utterances: Iterable[Utterance], names: Mapping[Path, str] | None
) -> dict[str, list[str]]:
    """The lines of each file.

    Args:
        utterances: all of them.
        names: of the recordings; None if each utterance is a whole file, called as the utterance.
    """
    tables = defaultdict[str, list[str]](list)
    speakers = defaultdict[str, list[str]](list)
    for u in utterances:
        speakers[u.speaker or u.id].append(u.id)
        if names is None:
            tables["wav.scp"].append(f"{u.id} {_command(u.audio)}")
        else:
            recording = names[u.audio]
            tables["segments"].append(f"{u.id} {recording} {u.offset!r} {u.offset + u.duration!r}")
        tables["text"].append(f"{u.id} {u.text}".rstrip(" "))
        tables["utt2spk"].append(f"{u.id} {u.speaker or u.id}")
        tables["utt2dur"].append(f"{u.id} {u.duration!r}")
        if u.language:
            tables["utt2lang"].append(f"{u.id} {u.language}")
    for path, name in (names or {}).items():
        tables["wav.scp"].append(f"{name} {_command(path)}")
    tables["spk2utt"] = [f"{name} {' '.join(sorted(ids))}" for name, ids in speakers.items()]
    return tables


def _refuse_unwritable(path: Path, utterances: Iterable[Utterance]) -> None:
    faults = Faults(path)
    for utterance in utterances:
        where = f"utterance {utterance.id!r}"
        named = (("id", utterance.id), ("speaker", utterance.speaker))
        for key, value in (*named, ("language", utterance.language)):
            if value is not None and (not value or _BLANK.search(value)):
                faults.add(where, f"Kaldi takes no {key} with blanks in it, or empty: {value!r}")
        text = utterance.text
        if text != text.strip(BLANKS) or re.search(r"[\r\n\f\v]", text):
            faults.add(where, "Kaldi takes no text with line breaks, or blanks at its ends")
        name = str(utterance.audio)
        if name != name.strip(BLANKS) or name.endswith("|") or re.search(r"[\r\n]", name):
            faults.add(where, f"Kaldi takes no file called {name!r}; rename it")
    faults.refuse()


def _recordings(utterances: Iterable[Utterance]) -> dict[Path, str]:
    """The names of the files, without blanks and still different."""
    names = file_names(utterance.audio for utterance in utterances)
    joined = {path: _BLANK.sub("_", name) for path, name in names.items()}
    if len(set(joined.values())) < len(names):
        joined = {path: f"{name}-{i}" for i, (path, name) in enumerate(joined.items())}
    return joined


def _command(audio: Path) -> str:
    """What gives the sound as wav: the file itself if it is that."""
    name = str(audio)
    if audio.suffix.lower() == ".wav":
        return name
    if audio.suffix.lower() == ".flac":
        return f"flac -c -d -s {shlex.quote(name)} |"
    return f"sox {shlex.quote(name)} -t wav - |"
