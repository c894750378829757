"""The arguments of ``asr-attn tune``, and what its help says."""

import argparse

from asr_attn.commands.argument_types import file_path
from asr_attn.commands.arguments import (
    EPILOG_ALONE,
    Commands,
    Parser,
    add_device,
)
from asr_attn.commands.numbers import positive_int, seed

_TUNE = """\
Find the weights of the search (CTC, language models, length) that make the fewest errors on a
validation set, and write them as a file of settings.

The recordings are searched with a few settings, and what is found is put into one pool for each
recording. Thousands of weights are tried on the pools, and the best are searched with, up to ten
times, which adds to the pools what they lack. Of all that were searched with, the three that make
the fewest errors are the candidates. The untuned row is the search that the other commands make
when they are told no weights. Where none are better, the file says so and holds that search: the
result is never worse on this set.

The change is told with the interval of a paired bootstrap. As weights look better on the recordings
that they were tuned on, they are also tuned on one half, by the pools alone, and measured on the
other. Take recordings that are neither trained on nor used for the final result.
"""
_TUNE_EXAMPLES = """\
examples:
  asr-attn tune runs/digits dev.jsonl --output search.yaml
  asr-attn tune model.safetensors dev.jsonl --lm words.arpa.gz --beam 10 --output search.yaml
  asr-attn transcribe model.safetensors calls/ --search search.yaml
  asr-attn evaluate model.safetensors test.jsonl --search search.yaml

"""


def add_tune(commands: Commands) -> None:
    """Add ``asr-attn tune``."""
    parser: Parser = commands.add_parser(
        "tune",
        help="find the weights of the search on a validation set",
        description=_TUNE,
        epilog=_TUNE_EXAMPLES + EPILOG_ALONE,
    )
    parser.set_defaults(run=_tune)
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
        required=True,
        help="file of settings for --search, and for train.py (conf/search/NAME.yaml)",
    )
    parser.add_argument(
        "--lm",
        metavar="FILE",
        type=file_path,
        help="language model to listen to; tunes its weights, too",
    )
    parser.add_argument(
        "--beam", metavar="N", type=positive_int, help="open hypotheses; is not tuned (default 10)"
    )
    parser.add_argument(
        "--metric",
        choices=("auto", "wer", "cer"),
        default="auto",
        help="error rate to lower; auto (default) is cer where texts have no spaces between words, "
        "else wer",
    )
    parser.add_argument(
        "--trials",
        metavar="N",
        type=positive_int,
        default=2000,
        help="weights to try (default 2000)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=seed, default=0, help="of what is tried (default 0)"
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="of the figures; default: text"
    )
    add_device(parser)


def _tune(args: argparse.Namespace) -> int:
    from asr_attn.commands.tune import tune

    return tune(args)
