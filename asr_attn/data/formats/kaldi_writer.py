"""Data folders of Kaldi, written: sorted as Kaldi wants them, and whole or not at all."""

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from asr_attn.data.corpus import replaced_folder
from asr_attn.data.formats.faults import Faults
from asr_attn.data.formats.kaldi import BLANKS
from asr_attn.data.formats.lines import write_lines
from asr_attn.data.formats.options import Bars
from asr_attn.data.formats.sounds import file_names, whole_files
from asr_attn.data.manifest import Utterance

_OWNED = re.compile("wav.scp|segments|text|utt2spk|spk2utt|utt2dur|utt2lang")
_BLANK = re.compile(f"[{BLANKS}]")


def write(path: Path, utterances: Sequence[Utterance], bars: Bars) -> None:
    """Writes a data folder; segments only if some utterance is a part of a file.

    Files other than wav are decoded by `flac` and `sox`, in wav.scp.

    Raises:
        ManifestError: an id, a speaker, a text or a path cannot be written in Kaldi's form, or an
            audio file cannot be read.
        InputError: the folder cannot be written, or holds other files.
    """
    _refuse_unwritable(path, utterances)
    files = {u.id: _command(u.audio) for u in utterances}
    tables: dict[str, Mapping[str, str]] = {}
    if not all(whole_files(utterances, path, bars)):
        names = _recordings(utterances)
        files = {names[u.audio]: _command(u.audio) for u in utterances}
        tables["segments"] = {
            u.id: f"{names[u.audio]} {u.offset!r} {u.offset + u.duration!r}" for u in utterances
        }
    speakers = defaultdict(list)
    for utterance in utterances:
        speakers[utterance.speaker or utterance.id].append(utterance.id)
    tables["wav.scp"] = files
    tables["text"] = {u.id: u.text for u in utterances}
    tables["utt2spk"] = {u.id: u.speaker or u.id for u in utterances}
    tables["spk2utt"] = {name: " ".join(sorted(ids)) for name, ids in speakers.items()}
    tables["utt2dur"] = {u.id: repr(u.duration) for u in utterances}
    if languages := {u.id: u.language for u in utterances if u.language}:
        tables["utt2lang"] = languages
    with replaced_folder(path, _OWNED) as folder:
        for name, table in tables.items():
            # Code points sort as the bytes of UTF-8 do under LC_ALL=C.
            write_lines(folder / name, [f"{k} {table[k]}".rstrip(" ") for k in sorted(table)])


def _refuse_unwritable(path: Path, utterances: Sequence[Utterance]) -> None:
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


def _recordings(utterances: Sequence[Utterance]) -> dict[Path, str]:
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
