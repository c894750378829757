"""The arguments of ``asr-attn data``, and what its help says.

What a command needs is imported when it runs.
"""

import argparse

from asr_attn.commands.argument_types import file_path, named_file
from asr_attn.commands.arguments import Commands, add_device
from asr_attn.commands.data_formats_arguments import add_import_export
from asr_attn.commands.numbers import positive_int, seconds

_DATA = """\
Look after the data that models are trained and measured on.
"""

_CHECK = """\
Find what makes training fail or figures lie: in manifests, and in the sound they name.

Each manifest is a split, called by its file name or as NAME=FILE; give the training set first.

Found are audio that cannot be read, wrong durations, silence, clipping, sound without text, texts
too long or too short for their sound, texts in another script or language than the others, very
short and very long utterances, and ids and speakers in two splits. The same recording in two splits
(kind leak), or twice in one, is found by its sound: also when it was coded again, trimmed at its
ends by up to some 100 ms, made louder, or played up to 10 % faster. A recording within a longer one
is not looked for.

With --model, texts that a trained recogniser finds unlikely are listed with what it hears instead:
wrong texts are among the first.

The most harmful findings come first. Notes are what may be as it should: texts in two splits, or
the same speakers in all. Kinds of findings, for --remove:

{kinds}

A cleaned manifest lacks the utterances with findings of the kinds of --remove, and lines that are
no utterances. Wrong durations are mended instead, unless they are to be removed. Of a recording in
two splits, the utterance in the split that was given last stays.
"""
_CHECK_EXAMPLES = """\
examples:
  asr-attn data check train.jsonl dev.jsonl test.jsonl
  asr-attn data check train.jsonl --output cleaned.jsonl
  asr-attn data check train=a/all.jsonl test=b/all.jsonl --remove unreadable silent leak \\
      --output-folder cleaned
  asr-attn data check train.jsonl --model runs/digits --show 50
  asr-attn data check train.jsonl dev.jsonl --format json

exit codes:
  0  nothing wrong
  1  there are findings
  2  nothing done: what was given cannot be used
"""


def add_data(commands: Commands) -> None:
    """Add ``asr-attn data`` and its commands."""
    parser = commands.add_parser(
        "data",
        help="check, import and export data",
        description=_DATA,
        epilog="asr-attn data COMMAND --help explains a command.",
    )
    inner: Commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_check(inner)
    add_import_export(inner)


def _add_check(commands: Commands) -> None:
    from asr_attn.evaluation.datacheck.findings import KINDS, REMOVABLE

    width = max(map(len, REMOVABLE))
    kinds = "\n".join(f"  {name:{width}}  {KINDS[name].title}" for name in REMOVABLE)
    parser = commands.add_parser(
        "check",
        help="find what makes training fail or figures lie",
        description=_CHECK.format(kinds=kinds),
        epilog=_CHECK_EXAMPLES,
    )
    parser.set_defaults(run=_check)
    parser.add_argument(
        "manifests",
        metavar="MANIFEST",
        type=named_file,
        nargs="+",
        help="FILE or NAME=FILE, one for each split",
    )
    parser.add_argument(
        "--model",
        metavar="CHECKPOINT",
        type=file_path,
        help="rank texts by their loss under this recogniser (model file, or folder of a run)",
    )
    parser.add_argument(
        "--show",
        metavar="N",
        type=positive_int,
        default=10,
        help="findings of each kind to show; others are counted (default 10)",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="of the report; default: text"
    )
    _add_cleaning(parser, REMOVABLE)
    _add_settings(parser)
    add_device(parser)


def _add_cleaning(parser: argparse.ArgumentParser, kinds: tuple[str, ...]) -> None:
    group = parser.add_argument_group("cleaning")
    group.add_argument(
        "--output", metavar="FILE", type=file_path, help="write a cleaned manifest, of one MANIFEST"
    )
    group.add_argument(
        "--output-folder",
        metavar="FOLDER",
        type=file_path,
        help="write cleaned manifests there, called NAME.jsonl by their splits",
    )
    group.add_argument(
        "--remove",
        metavar="KIND",
        choices=kinds,
        nargs="+",
        action="extend",
        help="kinds of findings whose utterances are left out (default: unreadable silent)",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is put up with")
    group.add_argument(
        "--tolerance",
        metavar="S",
        type=seconds,
        default=0.1,
        help="between the duration in the manifest and that of the file (default 0.1)",
    )
    group.add_argument(
        "--max-duration",
        metavar="S",
        type=seconds,
        default=30.0,
        help="longest utterance (default 30, as in training)",
    )
    group.add_argument(
        "--no-duplicates",
        action="store_true",
        help="do not look for recordings that are there twice, which takes most of the time",
    )
    group.add_argument(
        "--jobs",
        metavar="N",
        type=positive_int,
        help="processes that read audio (default: as many as there are cores)",
    )


def _check(args: argparse.Namespace) -> int:
    from asr_attn.commands.data import check

    return check(args)
