"""Lists of Common Voice (https://commonvoice.mozilla.org): train.tsv and its like, beside clips.

Cells are never in quotes, and a quotation mark means itself. clip_durations.tsv, where it is
there, gives the durations in milliseconds.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from asr_attn.data.faults import Faults
from asr_attn.data.formats.columns import row_draft, table_rows
from asr_attn.data.formats.drafts import Draft, finish
from asr_attn.data.formats.lines import write_lines
from asr_attn.data.formats.options import Options
from asr_attn.data.formats.placing import place_audio
from asr_attn.data.formats.sounds import refuse_parts
from asr_attn.data.formats.tables import cell_text
from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars
from asr_attn.errors import ManifestError

_COLUMNS = {
    "audio": "path",
    "text": "sentence",
    "speaker": "client_id",
    "language": "locale",
    "id": "id",
}
_NEEDED = ("path", "sentence")


def read(path: Path, options: Options) -> Iterator[Utterance]:
    """Reads a list; its audio is in the folder clips beside it.

    Raises:
        ManifestError: the file cannot be read or has faults.
    """
    faults = Faults(path)
    rows = table_rows(path, faults, "\t", quotes=False)
    _, header = next(rows, ("", []))
    faults.refuse()
    lacking = [name for name in _NEEDED if name not in header]
    if lacking:
        raise ManifestError(
            f"{path} has no column {lacking[0]!r}, so it is no list of Common Voice; its columns "
            f"are {', '.join(header) or 'none'}."
        )
    columns = {key: name for key, name in _COLUMNS.items() if name in header}
    durations = _durations(path.with_name("clip_durations.tsv"), faults)

    def drafts(faults: Faults) -> Iterator[Draft]:
        rows = table_rows(path, faults, "\t", quotes=False)
        next(rows, None)
        for where, row in rows:
            draft = row_draft(where, dict(zip(header, row)), columns, faults)
            yield _with_clip(draft, durations)

    folder = options.audio_folder or path.parent / "clips"
    return finish(drafts, faults, path, folder, options.bars)


def write(path: Path, utterances: Iterable[Utterance], bars: Bars) -> None:
    """Writes a list, and copies the audio to the folder clips beside it.

    Raises:
        ManifestError: an utterance is a part of a file, or a cell holds a tab or a line break.
        InputError: something cannot be written.
    """
    if path.suffix != ".tsv":
        raise ManifestError(f"{path} must end in .tsv; name a file such as train.tsv.")
    refuse_parts(utterances, path, bars)
    taken = set(_COLUMNS.values())
    extra = list(dict.fromkeys(key for u in utterances for key in u.extra))
    header = ["client_id", "path", "sentence", *extra, "locale", "id"]
    faults = Faults(path)
    for utterance in utterances:
        where = f"utterance {utterance.id!r}"
        cells = [utterance.id, utterance.text, utterance.speaker, utterance.language]
        cells += [utterance.audio.name, *map(cell_text, utterance.extra.values())]
        if any(mark in cell for cell in cells if cell for mark in "\t\r\n"):
            faults.add(where, "has a tab or a line break, which breaks this format")
        for key in taken & set(utterance.extra):
            faults.add(where, f"its key {key!r} has a meaning in Common Voice")
    faults.refuse()
    names = place_audio((u.audio for u in utterances), path.parent / "clips", bars)
    rows = (
        [
            u.speaker or "",
            names[u.audio],
            u.text,
            *(cell_text(u.extra.get(key)) for key in extra),
            u.language or "",
            u.id,
        ]
        for u in utterances
    )
    write_lines(path, ("\t".join(row) for row in chain([header], rows)))


def _durations(path: Path, faults: Faults) -> dict[str, float]:
    """Seconds by the names of clips; empty if there is no such file."""
    if not path.exists():
        return {}
    durations = {}
    rows = table_rows(path, faults, "\t", quotes=False)
    next(rows, None)
    for where, row in rows:
        try:
            clip, milliseconds = row
            durations[clip] = float(milliseconds) / 1000
        except ValueError:
            faults.add(where, "write: clip, tab, milliseconds")
    return durations


def _with_clip(draft: Draft, durations: dict[str, float]) -> Draft:
    """Adds the ending, which the first releases leave out, and the duration."""
    values = dict(draft.values)
    clip = values.get("audio")
    if clip is not None and not Path(clip).suffix:
        values["audio"] = clip = f"{clip}.mp3"
    if clip in durations:
        values["duration"] = durations[clip]
    return dataclasses.replace(draft, values=values)
