"""``asr-attn data import`` and ``export``: manifests of and for other programs."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator

from asr_attn.commands.terminal import Progress, refuse_overwriting, say
from asr_attn.data.formats.options import Options
from asr_attn.data.formats.table import FORMATS
from asr_attn.data.manifest import Manifest, Utterance, write_manifest
from asr_attn.errors import InputError

OK = 0


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
    store = args.output.with_name(f"{args.output.stem}-audio")
    options = Options(args.audio_folder, dict(args.columns), store, Progress)
    utterances = _Counted(chosen.read(args.source, options))
    write_manifest(args.output, utterances)
    say(f"{args.output}: {utterances}")
    return OK


def export_list(args: argparse.Namespace) -> int:
    """Run ``asr-attn data export``; returns the exit code.

    Raises:
        InputError: the manifest cannot be used, or the format not written.
    """
    chosen = FORMATS[args.format]
    refuse_overwriting({"--output": args.output}, [args.manifest])
    utterances = _Counted(Manifest(args.manifest))
    chosen.write(args.output, utterances, Progress)
    if utterances.keys and not chosen.keeps_extra:
        say(f"{args.format} has no place for {', '.join(sorted(utterances.keys))}: left out")
    say(f"{args.output}: {utterances}")
    return OK


class _Counted:
    """Utterances, and figures of them from when they were last gone through.

    Attributes:
        keys: that have no meaning here.
    """

    def __init__(self, utterances: Iterable[Utterance]) -> None:
        self._utterances = utterances
        self._count, self._seconds = 0, 0.0
        self.keys: set[str] = set()

    def __iter__(self) -> Iterator[Utterance]:
        self._count, self._seconds, self.keys = 0, 0.0, set()
        for utterance in self._utterances:
            self._count += 1
            self._seconds += utterance.duration
            self.keys.update(utterance.extra)
            yield utterance

    def __str__(self) -> str:
        count = "1 utterance" if self._count == 1 else f"{self._count} utterances"
        return f"{count}, {self._seconds / 3600:.2f} h"
