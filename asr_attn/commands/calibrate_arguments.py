"""The arguments of ``asr-attn calibrate``, and what its help says."""

import argparse

from asr_attn.commands.argument_types import file_path
from asr_attn.commands.arguments import EPILOG, Commands, add_search

_CALIBRATE = """\
Let a model learn how sure its words are, from recordings whose text is known and which it was not
trained on.

A word's confidence is the probability that it is right, from what the decoder and CTC give to it
and how far attention and CTC agree on where it is. The training does this on the validation set;
do it again on recordings like those that the model is used for, and with the settings of the search
that it is used with. The calibration becomes a part of the model file.

"After" is measured on held-out parts of the recordings (five-fold cross-validation).
"""
_CALIBRATE_EXAMPLES = """\
examples:
  asr-attn calibrate runs/digits held_out.jsonl
  asr-attn calibrate model.safetensors calls.jsonl --output calls.safetensors
  asr-attn calibrate model.safetensors calls.jsonl --beam 10 --ctc-weight 0.3 --format json

"""


def add_calibrate(commands: Commands) -> None:
    """Add ``asr-attn calibrate``."""
    parser = commands.add_parser(
        "calibrate",
        help="let a model learn how sure its words are",
        description=_CALIBRATE,
        epilog=_CALIBRATE_EXAMPLES + EPILOG,
    )
    parser.set_defaults(run=_calibrate)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=file_path, help="model file, or folder of a run"
    )
    parser.add_argument(
        "manifest", metavar="MANIFEST", type=file_path, help="recordings and their texts"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=file_path,
        help="write the model there (default: the model file itself)",
    )
    parser.add_argument(
        "--picture",
        metavar="FILE",
        type=file_path,
        help="draw the reliability curve, before and after (.png, .svg)",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="of the figures; default: text"
    )
    add_search(parser)


def _calibrate(args: argparse.Namespace) -> int:
    from asr_attn.commands.calibrate import calibrate

    return calibrate(args)
