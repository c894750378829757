"""The arguments of ``asr-attn compare``, and what its help says."""

import argparse

from asr_attn.commands.argument_types import file_path
from asr_attn.commands.arguments import EPILOG_ALONE, Commands
from asr_attn.commands.numbers import seed, whole

_COMPARE = """\
Say whether one recogniser is better than another, on the same utterances.

Files are those of asr-attn evaluate --hypotheses. The interval of the difference is that of a
paired bootstrap: utterances are resampled, for both at once. Of single models there is also NIST's
matched-pairs sentence-segment word error test (Gillick and Cox 1989). With several seeds of each,
seeds are resampled too: the answer is then about the two ways to train, not about two models.
"""
_COMPARE_EXAMPLES = """\
examples:
  asr-attn evaluate runs/old test.jsonl --hypotheses old.jsonl
  asr-attn evaluate runs/new test.jsonl --hypotheses new.jsonl
  asr-attn compare old.jsonl new.jsonl
  asr-attn compare old.jsonl new.jsonl --by-speaker --format json
  asr-attn compare old.jsonl new.jsonl --by-speaker test.jsonl
  asr-attn compare --a old-0.jsonl old-1.jsonl old-2.jsonl --b new-0.jsonl new-1.jsonl new-2.jsonl

"""


def add_compare(commands: Commands) -> None:
    """Add ``asr-attn compare``."""
    parser = commands.add_parser(
        "compare",
        help="say whether one recogniser is better than another",
        usage="asr-attn compare A B [options]\n"
        "       asr-attn compare --a FILE... --b FILE... [options]",
        description=_COMPARE,
        epilog=_COMPARE_EXAMPLES + EPILOG_ALONE,
    )
    parser.set_defaults(run=_compare)
    parser.add_argument(
        "files", metavar="A B", type=file_path, nargs="*", help="results of one model each"
    )
    parser.add_argument(
        "--a",
        metavar="FILE",
        type=file_path,
        nargs="+",
        action="extend",
        help="results of several seeds of A",
    )
    parser.add_argument(
        "--b", metavar="FILE", type=file_path, nargs="+", action="extend", help="of B"
    )
    parser.add_argument(
        "--by-speaker",
        metavar="MANIFEST",
        type=file_path,
        nargs="?",
        const=True,
        help="resample speakers, not utterances: what to expect of other speakers; they are those "
        "of the results, or of a manifest",
    )
    parser.add_argument(
        "--draws",
        metavar="N",
        type=whole(1, 10_000_000),
        default=10000,
        help="of the bootstrap (default 10000, at least 1000)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=seed, default=0, help="of the draws (default 0)"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument("--output", metavar="FILE", type=file_path, help="write to a file instead")


def _compare(args: argparse.Namespace) -> int:
    from asr_attn.commands.compare import compare

    return compare(args)
