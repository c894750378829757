"""Folders in the AudioFolder layout of Hugging Face datasets.

The folder holds metadata.csv or metadata.jsonl, whose `file_name` is seen from the folder
(https://huggingface.co/docs/datasets/audio_dataset#audiofolder).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from asr_attn.data.faults import Faults
from asr_attn.data.formats.columns import COLUMNS, chosen_columns, row_draft
from asr_attn.data.formats.drafts import Draft, finish
from asr_attn.data.formats.lines import json_objects, write_json
from asr_attn.data.formats.options import Options
from asr_attn.data.formats.placing import place_audio
from asr_attn.data.formats.sounds import refuse_parts
from asr_attn.data.formats.tables import read_table
from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars
from asr_attn.errors import InputError

METADATA = ("metadata.csv", "metadata.jsonl")
"""Names of the file that lists the audio."""

_COLUMNS: Mapping[str, Sequence[str]] = {**COLUMNS, "audio": ("file_name",)}
_TEXT = "transcription"


def read(path: Path, options: Options) -> Iterator[Utterance]:
    """Reads a folder.

    Raises:
        ManifestError: the list of audio cannot be read or has faults.
        InputError: there is no such list, or the column of the text is not found.
    """
    found = [path / name for name in METADATA if (path / name).is_file()]
    if len(found) != 1:
        below = sorted(file.parent.name for name in METADATA for file in path.glob(f"*/{name}"))
        hint = f"give one of its folders: {', '.join(below)}" if below else "it must hold one"
        raise InputError(f"{path} holds {len(found)} files {' or '.join(METADATA)}; {hint}.")
    listed = found[0]
    if listed.suffix == ".csv":
        return read_table(listed, options, ",", _COLUMNS, quotes=True)
    faults = Faults(listed)
    header: dict[str, None] = {}
    for _, row in json_objects(listed, faults):
        header |= dict.fromkeys(row)
    faults.refuse()
    chosen = chosen_columns(list(header), options.columns, listed, _COLUMNS)

    def drafts(faults: Faults) -> Iterator[Draft]:
        rows = json_objects(listed, faults)
        return (row_draft(where, row, chosen, faults) for where, row in rows)

    return finish(drafts, faults, listed, options.audio_folder or path, options.bars)


def write(path: Path, utterances: Iterable[Utterance], bars: Bars) -> None:
    """Writes metadata.jsonl to a folder and copies the audio there, unless all of it is in it.

    Every line has the same keys, as the datasets library wants it.

    Raises:
        ManifestError: an utterance is a part of a file.
        InputError: something cannot be written, or the folder has a metadata.csv.
    """
    if path.is_file():
        raise InputError(f"{path} is a file; name a folder.")
    if (path / METADATA[0]).exists():
        raise InputError(f"{path} has a {METADATA[0]} already; name a new folder.")
    refuse_parts(utterances, path, bars)
    keys = list(dict.fromkeys(key for u in utterances for key in u.extra))
    own = ("file_name", _TEXT, "id", "duration", "speaker", "language")
    faults = Faults(path)
    for key in keys:
        # "text" would be taken for the transcript, and "*_file_name" for more audio
        if key in (*own, "text") or key.endswith(("file_name", "file_names")):
            faults.add(str(path), f"the key {key!r} of utterances has a meaning in this format")
    faults.refuse()
    names = place_audio((u.audio for u in utterances), path, bars)
    write_json(
        path / METADATA[1],
        (
            {
                "file_name": names[u.audio],
                _TEXT: u.text,
                "id": u.id,
                "duration": u.duration,
                "speaker": u.speaker,
                "language": u.language,
                **{key: u.extra.get(key) for key in keys},
            }
            for u in utterances
        ),
    )
