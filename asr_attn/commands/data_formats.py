"""``asr-attn data import`` and ``export``: manifests of and for other programs."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from asr_attn.audio.shards import member_of
from asr_attn.commands.inputs import audio_files
from asr_attn.commands.terminal import Progress, refuse_overwriting, say
from asr_attn.data.fields import record_faults
from asr_attn.data.formats.audio_folder import METADATA
from asr_attn.data.formats.options import Options
from asr_attn.data.formats.table import FORMATS
from asr_attn.data.formats.webdataset_writer import write as write_shards
from asr_attn.data.json_lines import parse_bytes
from asr_attn.data.manifest import Manifest, Utterance, write_manifest
from asr_attn.data.progress import Bars
from asr_attn.data.text_files import byte_lines, is_manifest_name, name_without_endings
from asr_attn.errors import InputError
from asr_attn.files import file_identity

OK = 0
REPLACED = ("kaldi", "lhotse", "webdataset")
"""Formats that replace a folder and all that is in it."""


def import_list(args: argparse.Namespace) -> int:
    """Run ``asr-attn data import``; returns the exit code.

    Raises:
        InputError: the source cannot be used, or the manifest not written.
    """
    chosen = FORMATS[args.format]
    if args.columns and not chosen.has_columns:
        with_columns = " and ".join(name for name, one in FORMATS.items() if one.has_columns)
        raise InputError(f"--columns is for {with_columns}; {args.format} has columns of its own")
    twice = [key for key, count in Counter(key for key, _ in args.columns).items() if count > 1]
    if twice:
        raise InputError(f"--columns names {twice[0]} twice; give one column")
    if args.audio_folder is not None and not args.audio_folder.is_dir():
        raise InputError(f"--audio-folder {args.audio_folder} is not a folder; check the path")
    refuse_overwriting({"--output": args.output}, [args.source])
    _refuse_beside(args.output, args.source)
    if not is_manifest_name(args.output):
        raise InputError(f"--output {args.output}: name a file that ends in .jsonl or .jsonl.gz")
    store = args.output.with_name(f"{name_without_endings(args.output)}-audio")
    if args.allow_pipes and args.format != "kaldi":
        raise InputError("--allow-pipes is for kaldi; other formats have no commands")
    options = Options(args.audio_folder, dict(args.columns), store, args.allow_pipes, Progress, say)
    utterances = _Counted(chosen.read(args.source, options), args.output)
    write_manifest(args.output, utterances)
    say(f"{args.output}: {utterances}")
    return OK


def export_list(args: argparse.Namespace) -> int:
    """Run ``asr-attn data export``; returns the exit code.

    Raises:
        InputError: the manifest cannot be used, or the format not written.
    """
    chosen = FORMATS[args.format]
    outputs = {"--output": args.output, "--output, metadata": args.output / METADATA[1]}
    refuse_overwriting(outputs, [args.manifest])
    outside = None if chosen.takes_members else args.format
    utterances = _Counted(Manifest(args.manifest), args.output, outside)
    _writer(args)(args.output, utterances, Progress)
    if utterances.keys and not chosen.keeps_extra:
        say(f"{args.format} has no place for {', '.join(sorted(utterances.keys))}: left out")
    say(f"{args.output}: {utterances}")
    return OK


def _writer(args: argparse.Namespace) -> Callable[[Path, Iterable[Utterance], Bars], None]:
    """What writes the format, as the arguments have it."""
    if args.megabytes is not None and args.format != "webdataset":
        raise InputError("--megabytes is for webdataset; other formats have no shards")
    if args.format in REPLACED and _holds(args.output, args.manifest):
        raise InputError(
            f"--output {args.output} holds {args.manifest} and would replace it; name another"
        )
    if args.format != "webdataset":
        return FORMATS[args.format].write
    if args.megabytes is None:
        return write_shards
    return partial(write_shards, megabytes=args.megabytes)


def _holds(folder: Path, file: Path) -> bool:
    """Whether a file is in a folder or below, however the paths are spelt."""
    if not folder.is_dir():
        return False
    place = file_identity(folder)
    return any(file_identity(parent) == place for parent in file.resolve().parents)


def _refuse_beside(output: Path, source: Path) -> None:
    """Refuse to write over what may be read beside a source, such as the tables of a folder.

    Raises:
        InputError: there is such a file, and it is no manifest from an earlier time.
    """
    folder = source if source.is_dir() else source.parent
    if not (output.is_file() and folder.is_dir()):
        return
    if file_identity(output.resolve().parent) != file_identity(folder):
        return
    with output.open("rb") as stream:
        line = next((data for _, data, _ in byte_lines(output, stream)), b"")
        record, _ = parse_bytes(line)
    if record is None or record_faults(record):
        raise InputError(
            f"--output {output} is beside what is read, and no manifest: it may be a part of it; "
            "name another file"
        )


class _Counted:
    """Utterances, and figures of them from when they were last gone through.

    Args:
        utterances: to go through.
        output: a file that none of them may be in, since it is written.
        outside: a format that members of shards have no place in; None if there is no such.

    Attributes:
        keys: that have no meaning here.
    """

    def __init__(
        self, utterances: Iterable[Utterance], output: Path, outside: str | None = None
    ) -> None:
        self._utterances, self._outside = utterances, outside
        self._output = {"--output": output}
        self._count, self._seconds = 0, 0.0
        self.keys: set[str] = set()

    def __iter__(self) -> Iterator[Utterance]:
        self._count, self._seconds, self.keys = 0, 0.0, set()
        for utterance in self._utterances:
            if self._output["--output"].is_file():
                refuse_overwriting(self._output, audio_files([utterance]))
            if self._outside and (member := member_of(utterance.audio)) is not None:
                raise InputError(
                    f"{self._outside} has no place for audio in shards, such as {member}: unpack "
                    "them (tar -xf), or export the manifest that they were made of"
                )
            self._count += 1
            self._seconds += utterance.duration
            self.keys.update(utterance.extra)
            yield utterance

    def __str__(self) -> str:
        count = "1 utterance" if self._count == 1 else f"{self._count} utterances"
        return f"{count}, {self._seconds / 3600:.2f} h"
