"""The arguments of ``asr-attn runs``, and what its help says."""

import argparse
from pathlib import Path

from asr_attn.commands.argument_types import file_path
from asr_attn.commands.arguments import EPILOG_ALONE, Commands

_RUNS = """\
List what was trained, the best first: word error rate on the validation set with its 95 % interval,
epochs, minutes, and the settings in which the runs differ.

Runs that were made with different validation sets do not compare.
"""
_RUNS_EXAMPLES = """\
examples:
  asr-attn runs
  asr-attn runs runs/multirun --setting optimizer.lr --setting seed
  asr-attn runs runs/digits --format json

"""


def add_runs(commands: Commands) -> None:
    """Add ``asr-attn runs``."""
    parser = commands.add_parser(
        "runs",
        help="list what was trained, the best first",
        description=_RUNS,
        epilog=_RUNS_EXAMPLES + EPILOG_ALONE,
    )
    parser.set_defaults(run=_runs)
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=file_path,
        nargs="?",
        default=Path("runs"),
        help="where to look, folders below it included (default: runs)",
    )
    parser.add_argument(
        "--setting",
        metavar="KEY",
        action="append",
        help="show a setting, such as optimizer.lr; may be given several times",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _runs(args: argparse.Namespace) -> int:
    from asr_attn.commands.runs import runs

    return runs(args)
