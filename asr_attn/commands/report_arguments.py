"""The arguments of ``asr-attn report``, and what its help says."""

import argparse

from asr_attn.commands.argument_types import file_path
from asr_attn.commands.arguments import EPILOG, Commands, add_search
from asr_attn.commands.numbers import count
from asr_attn.evaluation.normalization import MEANINGS

_REPORT = """\
Write a page to look into what a model recognises, or two models side by side: error rates with
intervals, learning curves, groups, confusions, confidence, attention, and all utterances. Some of
them can be heard, each word by itself, beside their waveform, spectrogram and attention: those with
the most errors, those in which the model was sure and wrong, those of doubt, and some without
errors.

The page is one file that needs no network. It holds compressed sound of the utterances shown in
detail: about 4 kB a second.
"""
_EXAMPLES = """\
examples:
  asr-attn report runs/digits data/test.jsonl --output report.html
  asr-attn report runs/digits test.jsonl --by speaker --by snr --output report.html
  asr-attn report runs/a runs/b test.jsonl --output a-and-b.html
  asr-attn report model.safetensors test.jsonl --details 200 --explain 0 --output report.html

"""


def add_report(commands: Commands) -> None:
    """Add ``asr-attn report``."""
    parser = commands.add_parser(
        "report",
        help="write a page to see and hear the errors of a model",
        usage="asr-attn report CHECKPOINT [CHECKPOINT] MANIFEST --output FILE.html [options]",
        description=_REPORT,
        epilog=_EXAMPLES + EPILOG,
    )
    parser.set_defaults(run=_report)
    parser.add_argument(
        "paths",
        metavar="CHECKPOINT|MANIFEST",
        type=file_path,
        nargs="+",
        help="one or two model files or folders of runs, and a manifest (*.jsonl)",
    )
    parser.add_argument(
        "--output", metavar="FILE", type=file_path, required=True, help="the page to write (.html)"
    )
    parser.add_argument(
        "--by",
        metavar="FIELD",
        action="append",
        help="error rates by group, as in asr-attn evaluate (default: duration, rate, snr, and "
        "speaker where all have one)",
    )
    parser.add_argument(
        "--details",
        metavar="N",
        type=count,
        default=60,
        help="utterances to hear and to look into (default: 60)",
    )
    parser.add_argument(
        "--explain",
        metavar="N",
        type=count,
        default=10,
        help="of them, those to show by gradients and occlusion what each word rests on; takes "
        "seconds each (default: 10)",
    )
    parser.add_argument(
        "--audio",
        choices=("opus", "mp3", "none"),
        default="opus",
        help="how sound is compressed; older Safari plays mp3 only (default: opus)",
    )
    parser.add_argument(
        "--normalizer", choices=tuple(MEANINGS), help="form that texts are compared in"
    )
    parser.add_argument(
        "--train",
        metavar="MANIFEST",
        type=file_path,
        help="count words that these texts do not have",
    )
    add_search(parser)


def _report(args: argparse.Namespace) -> int:
    from asr_attn.commands.report import report

    return report(args)
