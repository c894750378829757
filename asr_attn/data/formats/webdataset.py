"""Shards in the layout of WebDataset (https://github.com/webdataset/webdataset), read.

Members of a tar file that follow each other and are called alike up to the first dot are one
sample: KEY.flac, .wav, .mp3, .ogg, .opus and so on, and beside it KEY.json or KEY.txt. The text is
the JSON's if it has one, and its other keys are those of a manifest, or kept. Its `audio` and
`offset` are left out: they tell where the sound was before it came into the shard.
"""

import glob
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr_attn.audio.folders import AUDIO_SUFFIXES
from asr_attn.audio.reading import audio_duration
from asr_attn.audio.shards import BLOCK, Member, member_name
from asr_attn.data.faults import Faults
from asr_attn.data.fields import record_faults
from asr_attn.data.formats.columns import COLUMNS, row_draft
from asr_attn.data.formats.options import Options
from asr_attn.data.ids import Ids
from asr_attn.data.json_lines import not_utf8, parse_bytes
from asr_attn.data.manifest import Utterance, utterance_of
from asr_attn.errors import AudioError, InputError, ManifestError

_TEXTS = (".json", ".txt")
_PLACES = ("audio", "offset")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_SHOWN = 8
_AFTER_END = 1 << 16


@dataclass
class _Sample:
    """Members of a shard that are called alike.

    Attributes:
        shard: the tar file.
        key: what they are called.
        audio: members with sound.
        texts: contents of the others, by their endings.
    """

    shard: Path
    key: str
    audio: list[Member] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"{self.shard}: {self.key}"


def read(path: Path, options: Options) -> Iterator[Utterance]:
    """Reads a folder of tar files, one tar file, or those of a pattern such as `train-*.tar`.

    The audio stays in the shards. An id that no JSON gives is the key, with the name of the shard
    before it where a key comes again in another shard. The headers of all members are read twice
    (once of a single shard); no list of them is kept.

    Raises:
        ManifestError: shards cannot be read, or samples have faults; after the last utterance.
        InputError: there are no tar files.
    """
    if options.audio_folder is not None:
        raise InputError("--audio-folder is not for webdataset, whose audio is in the shards")
    shards = _shards(path)
    return _Reader(path, shards, options).utterances()


def _shards(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() == ".tar")
    elif path.is_file():
        found = [path]
    else:
        found = sorted(map(Path, glob.glob(str(path))))  # noqa: PTH207 (patterns may be absolute)
    if not found:
        raise InputError(
            f"{path} names no tar files; give a folder of them, one, or a pattern in quotes, such "
            "as 'shards/train-*.tar'."
        )
    for shard in found:
        if shard.suffix.lower() != ".tar":
            raise InputError(f"{shard} must end in .tar; unpack it if it is compressed, or rename.")
    return [shard.resolve() for shard in found]


class _Reader:
    def __init__(self, path: Path, shards: Sequence[Path], options: Options) -> None:
        self._path, self._shards, self._options = path, shards, options
        self._unknown: Counter[str] = Counter()
        self._long_ids = len(shards) > 1 and self._keys_meet()

    def utterances(self) -> Iterator[Utterance]:
        faults, ids, empty = Faults(self._path), Ids(), True
        self._unknown.clear()
        for sample in self._samples("reading shards", faults):
            record, wrong = self._record(sample, faults)
            if isinstance(record.get("id"), str):
                ids.add(record["id"])
            wrong = wrong or record_faults(record)
            for fault in wrong:
                faults.add(sample.where, fault)
            if not wrong:
                empty = False
                yield utterance_of(record, sample.audio[0].path)
        self._tell_unknown()
        for name, where, before in ids.repeated(self._places()):
            faults.add(where, f"id {name!r} is already at {before}")
        faults.refuse()
        if empty:
            raise ManifestError(
                f"{self._path} lists no utterances: its tar files have no members that are audio, "
                "called alike up to the first dot as one in .json or .txt."
            )

    def _keys_meet(self) -> bool:
        """Whether a key is in two shards; one of the few where hashes meet by chance is no harm."""
        keys = Ids()
        for sample in self._samples("reading keys", Faults(self._path)):
            keys.add(sample.key)
        again = ((s.key, s.where) for s in self._samples("reading keys", Faults(self._path)))
        return next(keys.repeated(again), None) is not None

    def _places(self) -> Iterator[tuple[str, str]]:
        faults = Faults(self._path)
        for sample in self._samples("reading ids", faults):
            name = self._record(sample, faults)[0].get("id")
            if isinstance(name, str):
                yield name, sample.where

    def _samples(self, what: str, faults: Faults) -> Iterator[_Sample]:
        with self._options.bars(what, len(self._shards)) as bar:
            for shard in self._shards:
                yield from _samples_of(shard, faults, self._unknown)
                bar.advance()

    def _record(self, sample: _Sample, faults: Faults) -> tuple[dict[str, Any], list[str]]:
        """The values of a sample, by the keys of a manifest, and what is wrong with it."""
        if len(sample.audio) != 1:
            names = " and ".join(member.name for member in sample.audio)
            return {}, [f"two audio files, {names}" if names else "there is no audio beside it"]
        values, extra, wrong = _described(sample, faults, self._unknown)
        if wrong:
            return {}, wrong
        if "text" not in values:
            return {}, ['there is no text: no KEY.txt, and no KEY.json with "text"']
        name = f"{sample.shard.stem}-{sample.key}" if self._long_ids else sample.key
        record = {"id": name, **extra, **values, "audio": str(sample.audio[0].path)}
        if "duration" not in record:
            try:
                record["duration"] = audio_duration(sample.audio[0].path)
            except AudioError as error:
                return {}, [str(error).rstrip(".")]
        return record, []

    def _tell_unknown(self) -> None:
        if self._unknown:
            named = [f"{name} ({n})" for name, n in self._unknown.most_common(_SHOWN)]
            more = len(self._unknown) - _SHOWN
            rest = f" and {more} more kinds" if more > 0 else ""
            self._options.say(f"left out what is no audio or text: {', '.join(named)}{rest}")


def _described(
    sample: _Sample, faults: Faults, unknown: Counter[str]
) -> tuple[Mapping[str, Any], Mapping[str, Any], list[str]]:
    """What the JSON and the text say: known keys, others, and what is wrong."""
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    if (plain := sample.texts.get(".txt")) is not None:
        try:
            values["text"] = plain.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            return {}, {}, [f"the text: {not_utf8(error)}"]
    if (data := sample.texts.get(".json")) is not None:
        row, wrong = parse_bytes(data)
        if row is None:
            return {}, {}, [f"the JSON: {fault}" for fault in wrong]
        unknown.update(f"{key} in .json" for key in _PLACES if row.pop(key, None) is not None)
        draft = row_draft(sample.where, row, _columns(row), faults)
        values |= draft.values
        extra = dict(draft.extra)
    return values, extra, []


def _columns(row: Mapping[str, Any]) -> dict[str, str]:
    """The key of the JSON that stands for each key of a manifest."""
    return {
        key: next(name for name in names if name in row)
        for key, names in COLUMNS.items()
        if key not in _PLACES and any(name in row for name in names)
    }


def _samples_of(shard: Path, faults: Faults, unknown: Counter[str]) -> Iterator[_Sample]:
    """Yields the samples of a shard; what has no place in one is counted by its ending."""
    sample: _Sample | None = None
    for tar, header in _members(shard, faults):
        name = member_name(header.name)
        folder, slash, base = name.rpartition("/")
        stem, dot, ending = base.partition(".")
        suffix, key = f"{dot}{ending.lower()}", f"{folder}{slash}{stem}"
        if not (header.isreg() and stem and suffix in (*AUDIO_SUFFIXES, *_TEXTS)):
            unknown[suffix or base] += 1
            continue
        if ".." in folder.split("/") or header.issparse():
            faults.add(f"{shard}: {name}", "is stored in a way that is not read; pack it anew")
            continue
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(shard, key)
        if suffix in AUDIO_SUFFIXES:
            sample.audio.append(Member(shard, header.offset_data, header.size, name))
        elif suffix in sample.texts:
            faults.add(sample.where, f"two files called {name}")
        elif (content := tar.extractfile(header)) is not None:
            sample.texts[suffix] = content.read()
    if sample is not None:
        yield sample


def _members(shard: Path, faults: Faults) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yields the headers of a tar file, but for folders; faults are told after the last one."""
    try:
        with shard.open("rb") as stream:
            if stream.read(8).startswith(_COMPRESSED):
                faults.add(str(shard), "is compressed, so nothing is found in it; unpack it")
                return
            stream.seek(0)
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                end = 0
                while (header := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                    end = header.offset_data
                    end += -(-header.size // BLOCK) * BLOCK if header.isreg() else 0
                    if not header.isdir():
                        yield tar, header
                # tarfile also takes a header that is cut short or damaged for the end
                stream.seek(end)
                rest = stream.read(_AFTER_END)
            if len(rest) < BLOCK or any(rest):
                faults.add(str(shard), f"is damaged or cut short at byte {end}; copy it again")
    except (tarfile.TarError, EOFError) as error:
        faults.add(str(shard), f"is no tar file, or damaged or cut short ({error}); copy it again")
    except OSError as error:
        faults.add(str(shard), f"cannot be read ({error.strerror or type(error).__name__})")
