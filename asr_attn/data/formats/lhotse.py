"""Manifests of Lhotse (https://lhotse.readthedocs.io), read as plain JSON Lines.

Either recordings and supervisions, in two files, or cuts (MonoCut, MultiCut), which hold both. An
utterance is a supervision, with its own start and duration, whatever cut it is in.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from asr_attn.data.faults import Faults
from asr_attn.data.fields import kind_of
from asr_attn.data.formats.drafts import Draft, Drafts, finish
from asr_attn.data.formats.lines import json_objects
from asr_attn.data.formats.options import Options
from asr_attn.data.manifest import Utterance
from asr_attn.errors import ManifestError

_RECORDINGS, _SUPERVISIONS = "recordings", "supervisions"
_ENDINGS = (".jsonl", ".jsonl.gz")
# Sums of decimal fractions are off by this much at most.
_DECIMALS = 9


def read(path: Path, options: Options) -> Iterator[Utterance]:
    """Reads cuts, or recordings and supervisions.

    Args:
        path: the file of cuts; one of the two other files, if the other is called alike; or a
            folder that holds two such files. Relative paths of audio start in the current folder.
        options: how to read.

    Raises:
        ManifestError: the files cannot be read or have faults.
    """
    faults = Faults(path)
    pair = _pair(path)
    drafts = partial(_drafts_of_cuts, path) if pair is None else _drafts_of_pair(*pair, faults)
    return finish(drafts, faults, path, options.audio_folder or Path(), options.bars)


def _drafts_of_cuts(path: Path, faults: Faults) -> Iterator[Draft]:
    for where, cut in json_objects(path, faults):
        yield from _cut_drafts(where, cut, faults)


def _drafts_of_pair(recorded: Path, supervised: Path, faults: Faults) -> Drafts:
    """Reads recordings at once, and gives what reads supervisions."""
    recordings = {
        record.get("id"): record
        for _, record in json_objects(recorded, faults)
        if isinstance(record.get("id"), str)
    }

    def drafts(faults: Faults) -> Iterator[Draft]:
        for where, supervision in json_objects(supervised, faults):
            name = supervision.get("recording_id")
            if not isinstance(name, str) or name not in recordings:
                faults.add(where, f"{recorded.name} has no recording {name!r}")
            else:
                yield from _drafts(where, supervision, recordings[name], 0.0, faults)

    return drafts


def _pair(path: Path) -> tuple[Path, Path] | None:
    """The files of recordings and supervisions that a path stands for; None: a file of cuts."""
    if path.is_dir():
        found = sorted(
            file for file in path.iterdir() if file.name.endswith(_ENDINGS) and file.is_file()
        )
        pairs = {pair for file in found if (pair := _pair(file)) and all(map(Path.exists, pair))}
        if len(pairs) != 1:
            raise ManifestError(
                f"{path} holds {len(pairs)} pairs of recordings and supervisions; give the file of "
                "the supervisions, or of the cuts."
            )
        return pairs.pop()
    if not path.name.endswith(_ENDINGS):
        raise ManifestError(f"{path} must end in .jsonl or .jsonl.gz; give such a file.")
    for one, other in ((_RECORDINGS, _SUPERVISIONS), (_SUPERVISIONS, _RECORDINGS)):
        if one in path.name:
            partner = path.with_name(path.name.replace(one, other))
            return (path, partner) if one == _RECORDINGS else (partner, path)
    return None


def _cut_drafts(where: str, cut: dict[str, Any], faults: Faults) -> Iterator[Draft]:
    kind = cut.get("type", "MonoCut")
    recording, supervisions = cut.get("recording"), cut.get("supervisions")
    if "sources" in cut or "recording_id" in cut:
        name = _RECORDINGS if "sources" in cut else _SUPERVISIONS
        faults.add(where, f'no cut but one of {name}; call the file "{name}"')
    elif kind not in ("MonoCut", "MultiCut", "Cut"):
        faults.add(where, f"a {kind} is no part of one recording; save it as audio first")
    elif not isinstance(recording, dict):
        faults.add(where, "the cut has no recording; features alone cannot be used")
    elif not isinstance(supervisions, list) or not all(map(_is_object, supervisions)):
        faults.add(where, "its supervisions must be a list of objects")
    elif not supervisions:
        faults.add(where, "the cut has no supervisions, so no text")
    elif _source(where, cut, recording, faults) is None:
        return
    elif (start := _number(cut, "start", where, faults)) is not None:
        for supervision in supervisions:
            own = {"custom": {**_custom(cut, where, faults), **_custom(supervision, where, faults)}}
            channel = {"channel": cut.get("channel", 0)}
            yield from _drafts(where, {**channel, **supervision, **own}, recording, start, faults)


def _drafts(
    where: str,
    supervision: Mapping[str, Any],
    recording: Mapping[str, Any],
    begin: float,
    faults: Faults,
) -> Iterator[Draft]:
    """Yields the utterance of a supervision, which counts from `begin` seconds in a recording."""
    source = _source(where, supervision, recording, faults)
    start = _number(supervision, "start", where, faults)
    if supervision.get("text") is None:
        faults.add(where, f"supervision {supervision.get('id')!r} has no text")
    elif source is not None and start is not None:
        extra = {key: supervision[key] for key in ("gender",) if supervision.get(key) is not None}
        if supervision.get("alignment"):
            extra["alignment"] = moved_alignment(supervision["alignment"], begin)
        values = {
            "id": supervision.get("id"),
            "audio": source,
            "text": supervision["text"],
            "duration": supervision.get("duration"),
            "offset": round(begin + start, _DECIMALS) if begin and start else begin + start,
            "speaker": supervision.get("speaker"),
            "language": supervision.get("language"),
        }
        yield Draft(where, values, {**extra, **_custom(supervision, where, faults)})


def _source(
    where: str, supervision: Mapping[str, Any], recording: Mapping[str, Any], faults: Faults
) -> str | None:
    """The file of a recording, if all of its channels are meant."""
    name = f"recording {recording.get('id')!r}"
    sources = recording.get("sources")
    if recording.get("transforms"):
        faults.add(where, f"{name} has transforms; save it as audio first")
    elif not isinstance(sources, list) or len(sources) != 1 or not _is_object(sources[0]):
        faults.add(where, f"{name} is not in one file; save it as audio first")
    elif sources[0].get("type") != "file" or not isinstance(sources[0].get("source"), str):
        kind = sources[0].get("type")
        faults.add(where, f"{name} is of the type {kind!r}, not a file; save it as audio first")
    else:
        channels = sources[0].get("channels") or [0]
        meant = supervision.get("channel", 0)
        if isinstance(channels, list) and all(
            channel in (meant if isinstance(meant, list) else [meant]) for channel in channels
        ):
            return str(sources[0]["source"])
        faults.add(
            where,
            f"only channel {meant} of {name} is meant, and channels are averaged here; split the "
            "file into its channels",
        )
    return None


def is_alignment(value: object) -> bool:
    """Whether it has Lhotse's form: lists of (symbol, start, duration) or one more, by kinds."""
    return isinstance(value, dict) and all(
        isinstance(items, list) and all(map(_is_aligned, items)) for items in value.values()
    )


def _is_aligned(item: object) -> bool:
    return isinstance(item, list) and len(item) in (3, 4) and isinstance(item[1], int | float)


def moved_alignment(alignment: object, seconds: float) -> object:
    """Returns an alignment whose items all start later; what has another form stays."""
    if not seconds or not isinstance(alignment, dict) or not is_alignment(alignment):
        return alignment
    return {
        kind: [[item[0], round(item[1] + seconds, _DECIMALS), *item[2:]] for item in items]
        for kind, items in alignment.items()
    }


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _custom(record: Mapping[str, Any], where: str, faults: Faults) -> dict[str, Any]:
    custom = record.get("custom")
    if custom is None or isinstance(custom, dict):
        return custom or {}
    faults.add(where, f'"custom" must be an object, got {kind_of(custom)}')
    return {}


def _number(record: Mapping[str, Any], key: str, where: str, faults: Faults) -> float | None:
    value = record.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    faults.add(where, f'"{key}" must be a number of seconds')
    return None
