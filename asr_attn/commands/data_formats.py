"""``asr-attn data import`` and ``export``: manifests of and for other programs."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from asr_attn.commands.terminal import Progress, refuse_overwriting, say
from asr_attn.data.formats.options import Options
from asr_attn.data.formats.table import FORMATS
from asr_attn.data.manifest import Utterance, read_manifest, write_manifest
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
    utterances = chosen.read(args.source, options)
    write_manifest(args.output, utterances)
    _tell(args.output, utterances)
    return OK


def export_list(args: argparse.Namespace) -> int:
    """Run ``asr-attn data export``; returns the exit code.

    Raises:
        InputError: the manifest cannot be used, or the format not written.
    """
    chosen = FORMATS[args.format]
    refuse_overwriting({"--output": args.output}, [args.manifest])
    utterances = read_manifest(args.manifest)
    chosen.write(args.output, utterances, Progress)
    keys = sorted({key for utterance in utterances for key in utterance.extra})
    if keys and not chosen.keeps_extra:
        say(f"{args.format} has no place for {', '.join(keys)}: left out")
    _tell(args.output, utterances)
    return OK


def _tell(path: Path, utterances: Sequence[Utterance]) -> None:
    hours = sum(utterance.duration for utterance in utterances) / 3600
    count = "1 utterance" if len(utterances) == 1 else f"{len(utterances)} utterances"
    say(f"{path}: {count}, {hours:.2f} h")
