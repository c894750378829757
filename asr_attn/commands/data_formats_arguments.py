"""The arguments of ``asr-attn data import`` and ``export``, and what their help says.

What a command needs is imported when it runs.
"""

import argparse

from asr_attn.commands.argument_types import file_path
from asr_attn.commands.arguments import Commands
from asr_attn.commands.numbers import positive_int
from asr_attn.data.formats.catalogue import MEANINGS

_IMPORT = """\
Make a manifest of a list of utterances that another program keeps.

formats:
{formats}

The source is a file or a folder, as the format has it. huggingface also takes names, with the
library datasets: hf:NAME:SPLIT or hf:NAME:CONFIG:SPLIT on the hub, hf:FOLDER or hf:FOLDER:SPLIT of
save_to_disk; their audio is written to a folder beside the manifest, called as it is and -audio.
webdataset takes a folder of tar files, one of them, or a pattern in quotes; the audio stays in
them, and the manifest says where.

kaldi with --allow-pipes runs the commands in wav.scp ("sox ... |") once and writes their audio to
such a folder. Commands that only decode a file are not run: the file itself is read.

Audio stays where it is otherwise. Durations that the format does not give are read from the files.
What has no meaning here is kept in the manifest. All faults are told, and then nothing is written.
"""
_IMPORT_EXAMPLES = """\
examples:
  asr-attn data import kaldi data/train --output train.jsonl
  asr-attn data import kaldi data/train --output train.jsonl --allow-pipes
  asr-attn data import lhotse manifests/supervisions_train.jsonl.gz --output train.jsonl
  asr-attn data import nemo train_manifest.json --output train.jsonl
  asr-attn data import commonvoice cv-corpus/cy/train.tsv --output train.jsonl
  asr-attn data import csv list.csv --columns audio=file text=words --output train.jsonl
  asr-attn data import huggingface my-data/train --columns text=words --output train.jsonl
  asr-attn data import huggingface hf:my-name/my-data:train --output train.jsonl
  asr-attn data import webdataset 'shards/train-*.tar' --output train.jsonl

exit codes:
  0  done
  2  nothing done: what was given cannot be used
"""
_EXPORT = """\
Write a manifest in the form of another program.

formats:
{formats}

kaldi makes a folder; lhotse a folder of recordings and supervisions, or cuts if the name ends in
.jsonl or .jsonl.gz; huggingface a folder with metadata.jsonl; webdataset a folder of tar files, and
in it manifest.jsonl to train from. commonvoice and huggingface want the
audio beside the list: it is copied there, and must be whole files. Paths are absolute where the
other program would look for relative ones elsewhere than beside the list (kaldi, lhotse, nemo).
"""
_EXPORT_EXAMPLES = """\
examples:
  asr-attn data export kaldi train.jsonl --output data/train
  asr-attn data export lhotse train.jsonl --output cuts_train.jsonl.gz
  asr-attn data export nemo train.jsonl --output train_manifest.json
  asr-attn data export huggingface train.jsonl --output my-data/train
  asr-attn data export webdataset train.jsonl --output shards/train --megabytes 1000

exit codes:
  0  done
  2  nothing done: what was given cannot be used
"""


def add_import_export(commands: Commands) -> None:
    """Add ``asr-attn data import`` and ``asr-attn data export``."""
    _add_import(commands)
    _add_export(commands)


def _add_import(commands: Commands) -> None:
    parser = commands.add_parser(
        "import",
        help="make a manifest of another program's list",
        description=_IMPORT.format(formats=_formats()),
        epilog=_IMPORT_EXAMPLES,
    )
    parser.set_defaults(run=_import)
    _add_format(parser)
    parser.add_argument("source", metavar="SOURCE", type=file_path, help="file or folder to read")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=file_path,
        required=True,
        help="manifest to write (.jsonl or .jsonl.gz)",
    )
    parser.add_argument(
        "--columns",
        metavar="KEY=COLUMN",
        type=_column,
        nargs="+",
        action="extend",
        default=[],
        help="columns of csv and huggingface, for the keys id, audio, text, duration, offset, "
        "speaker and language; those with usual names are found without",
    )
    parser.add_argument(
        "--audio-folder",
        metavar="FOLDER",
        type=file_path,
        help="where relative paths of audio start (default: the current folder for kaldi and "
        "lhotse, clips for commonvoice, else the folder of the list)",
    )
    parser.add_argument(
        "--allow-pipes",
        action="store_true",
        help="run the commands of sox, ffmpeg, flac and sph2pipe in Kaldi's wav.scp, without a "
        "shell; their audio is written beside the manifest",
    )


def _add_export(commands: Commands) -> None:
    parser = commands.add_parser(
        "export",
        help="write a manifest in another program's form",
        description=_EXPORT.format(formats=_formats()),
        epilog=_EXPORT_EXAMPLES,
    )
    parser.set_defaults(run=_export)
    _add_format(parser)
    parser.add_argument("manifest", metavar="MANIFEST", type=file_path, help="manifest to read")
    parser.add_argument(
        "--output", metavar="PATH", type=file_path, required=True, help="file or folder to write"
    )
    parser.add_argument(
        "--megabytes",
        metavar="N",
        type=positive_int,
        help="size of a tar file of webdataset, at most (default 500)",
    )


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "format", metavar="FORMAT", choices=tuple(MEANINGS), help=", ".join(MEANINGS)
    )


def _formats() -> str:
    width = max(map(len, MEANINGS))
    return "\n".join(f"  {name:{width}}  {meaning}" for name, meaning in MEANINGS.items())


def _column(text: str) -> tuple[str, str]:
    key, sign, column = text.partition("=")
    if not (key and sign and column):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=COLUMN, such as text=sentence")
    return key, column


def _import(args: argparse.Namespace) -> int:
    from asr_attn.commands.data_formats import import_list

    return import_list(args)


def _export(args: argparse.Namespace) -> int:
    from asr_attn.commands.data_formats import export_list

    return export_list(args)
