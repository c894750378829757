"""Data sets of Hugging Face: AudioFolders, and what only its library `datasets` can read.

Named `hf:NAME:SPLIT` or `hf:NAME:CONFIG:SPLIT` for the hub, `hf:FOLDER` or `hf:FOLDER:SPLIT` for
what `save_to_disk` wrote.
"""

import dataclasses
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asr_attn.data.corpus import replaced_folder
from asr_attn.data.faults import Faults
from asr_attn.data.formats import audio_folder
from asr_attn.data.formats.columns import COLUMNS, chosen_columns, row_draft
from asr_attn.data.formats.drafts import Draft, finish
from asr_attn.data.formats.options import Options
from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError

_PREFIX = "hf:"
_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
_OWNED = re.compile(r"[0-9]+\.(wav|flac|ogg|opus|mp3)")
_MAGIC = ((b"RIFF", ".wav"), (b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"ID3", ".mp3"))


def read(path: Path, options: Options) -> Iterator[Utterance]:
    """Reads a folder in the AudioFolder layout, or what `hf:...` names.

    The audio of the latter is written to the folder `options.store`, as it was encoded.

    Raises:
        ManifestError: the data set has faults.
        InputError: there is no such data set, the library is missing, or a column is not found.
    """
    name = path.as_posix()
    if not name.startswith(_PREFIX):
        if any((path / file).exists() for file in ("state.json", "dataset_dict.json")):
            raise InputError(f"{path} was written by save_to_disk; name it {_PREFIX}{path}")
        return audio_folder.read(path, options)
    assert options.store is not None, "the command names one"
    rows = _load(name.removeprefix(_PREFIX))
    sounds = [key for key, feature in rows.features.items() if type(feature).__name__ == "Audio"]
    if len(sounds) != 1:
        raise InputError(f"{name} has {len(sounds)} columns of audio, not one; it cannot be used.")
    names = {**COLUMNS, "audio": (sounds[0],)}
    chosen = chosen_columns(list(rows.features), options.columns, path, names)
    faults = Faults(path)
    with (
        replaced_folder(options.store, _OWNED) as folder,
        options.bars("writing audio", len(rows)) as bar,
    ):
        drafts = []
        for draft in _drafts(rows, chosen, folder, faults):
            drafts.append(draft)
            bar.advance()
        utterances = list(finish(lambda _: drafts, faults, path, folder, options.bars))
    place = options.store.resolve()
    return (dataclasses.replace(u, audio=place / u.audio.name) for u in utterances)


def _load(name: str) -> Any:
    """Returns the `datasets.Dataset` of a name, with its audio not decoded."""
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        raise InputError(
            f"{_PREFIX}{name} needs the library datasets; install it with: pip install datasets"
        ) from None
    folder, _, split = (name, "", "") if Path(name).is_dir() else name.rpartition(":")
    try:
        if Path(folder).is_dir():
            rows = datasets.load_from_disk(folder)
            rows = rows[split] if split else rows
        else:
            hub, _, config = folder.partition(":")
            rows = datasets.load_dataset(hub, config or None, split=split)
    except Exception as error:  # the library raises whatever it meets
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(f"{_PREFIX}{name} cannot be loaded: {reason}.") from error
    if not isinstance(rows, datasets.Dataset):
        raise InputError(f"{_PREFIX}{name} has splits; add one: {_PREFIX}{name}:{next(iter(rows))}")
    for key, feature in rows.features.items():
        if isinstance(feature, datasets.Audio):
            rows = rows.cast_column(key, datasets.Audio(decode=False))
    return rows


def _drafts(rows: Any, chosen: dict[str, str], folder: Path, faults: Faults) -> Iterator[Draft]:
    labels = {key: f for key, f in rows.features.items() if type(f).__name__ == "ClassLabel"}
    width = max(6, len(str(len(rows))))
    for number, row in enumerate(rows):
        where = f"row {number}"
        for key, feature in labels.items():
            if row[key] is not None and row[key] >= 0:
                row[key] = feature.int2str(row[key])
        for key, value in row.items():
            if key != chosen["audio"] and not _is_json(value):
                row[key] = str(value)  # a date
        file = _store(row[chosen["audio"]], folder / f"{number:0{width}}")
        if file is None:
            faults.add(where, "has no audio in a format that can be read")
            continue
        row[chosen["audio"]] = file.name
        yield row_draft(where, row, chosen, faults)


def _store(sound: dict[str, Any] | None, stem: Path) -> Path | None:
    """Writes the bytes of an encoded sound to a file with the ending of its format."""
    path = (sound or {}).get("path")
    data = (sound or {}).get("bytes")
    if data is None and path and Path(path).is_file():
        data = Path(path).read_bytes()
    if not data:
        return None
    suffix = next((ending for magic, ending in _MAGIC if data.startswith(magic)), None)
    if suffix is None and path and Path(path).suffix.lower() in _SUFFIXES:
        suffix = Path(path).suffix.lower()
    if suffix is None:
        return None
    file = stem.with_suffix(suffix)
    file.write_bytes(data)
    return file


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
