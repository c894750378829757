"""The arguments of ``asr-attn evaluate``, and what its help says."""

import argparse
import textwrap
from collections.abc import Mapping

from asr_attn.commands.argument_types import file_path
from asr_attn.commands.arguments import EPILOG, Commands, add_search
from asr_attn.evaluation.normalization import MEANINGS
from asr_attn.evaluation.text_formats import TEXT_FORMATS

_EVALUATE = """\
Count errors: of a model on a manifest's recordings, or of texts against texts.

With a model, the manifest's texts are normalised (letter case, punctuation, Unicode) as they were
in the training of that model, and what it recognises is compared as it is. Text files are compared
as they are. With --normalizer both sides are brought to the same form first:

{forms}

Text files may be in these formats, which are recognized by the ending or the lines:

{formats}

Every result names its normalizer and the version of it.

Rates are pooled: all errors over all words (WER) or characters, spaces included (CER). Their 95 %
intervals are by bootstrap over speakers, where the manifest names at least 20, else over
utterances. The real-time factor is the time of recognition, files read included, over the length of
the audio.
"""
_EVALUATE_EXAMPLES = """\
examples:
  asr-attn evaluate runs/digits data/test.jsonl
  asr-attn evaluate model.safetensors test.jsonl --beam 8 --format json
  asr-attn evaluate model.safetensors test.jsonl --output wer.json --hypotheses heard.jsonl
  asr-attn evaluate runs/digits test.jsonl --by speaker --by snr --train train.jsonl
  asr-attn evaluate runs/a runs/b clean.jsonl noisy.jsonl --format md
  asr-attn evaluate --reference said.txt --hypothesis heard.txt --normalizer basic
  asr-attn evaluate --reference test.jsonl --hypothesis heard.jsonl
  asr-attn evaluate --reference data/test/text --hypothesis heard.tsv --reference-format kaldi

"""


def add_evaluate(commands: Commands) -> None:
    """Add ``asr-attn evaluate``."""
    parser = commands.add_parser(
        "evaluate",
        help="count the errors of a model, or of texts",
        usage="asr-attn evaluate CHECKPOINT... MANIFEST... [options]\n"
        "       asr-attn evaluate --reference FILE --hypothesis FILE [options]",
        description=_EVALUATE.format(forms=_table(MEANINGS), formats=_table(TEXT_FORMATS)),
        epilog=_EVALUATE_EXAMPLES + EPILOG,
    )
    parser.set_defaults(run=_evaluate)
    parser.add_argument(
        "paths",
        metavar="CHECKPOINT|MANIFEST",
        type=file_path,
        nargs="*",
        help="model files or folders of runs, and manifests (*.jsonl): each model is evaluated on "
        "each",
    )
    parser.add_argument(
        "--reference",
        metavar="FILE",
        type=file_path,
        help="what was said: one sentence a line, or texts with ids",
    )
    parser.add_argument(
        "--hypothesis",
        metavar="FILE",
        type=file_path,
        help="what was recognised; texts with ids are matched by id, or else by the name of the "
        "recording, others line by line",
    )
    for side in ("reference", "hypothesis"):
        parser.add_argument(
            f"--{side}-format",
            choices=tuple(TEXT_FORMATS),
            help=f"what a line of --{side} is; recognized when not given",
        )
    parser.add_argument(
        "--normalizer",
        choices=tuple(MEANINGS),
        help="form that both sides are brought to",
    )
    parser.add_argument(
        "--ignore",
        metavar="WORD",
        action="append",
        help="take a word such as [noise] out of both sides; may be given several times",
    )
    parser.add_argument(
        "--by",
        metavar="FIELD",
        action="append",
        help="error rates by group: speaker, language, duration, rate (of speaking), snr (signal "
        "to noise), or a key of the manifest; may be given several times",
    )
    parser.add_argument(
        "--train",
        metavar="MANIFEST",
        type=file_path,
        help="count the words that these training texts do not have, and how many are recognised",
    )
    parser.add_argument(
        "--changes",
        metavar="FILE",
        type=file_path,
        help="write what the normalizer changed: [-so-] became {+so+}",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "md", "csv"),
        help="default: as --output ends, else text; md and csv are a row for each evaluation",
    )
    parser.add_argument(
        "--output", metavar="FILE", type=file_path, help="write the figures to a file instead"
    )
    parser.add_argument(
        "--hypotheses",
        metavar="FILE",
        type=file_path,
        help="write what the model recognised, as JSON Lines with the reference beside it; what is "
        "done before an interruption is in FILE.partial",
    )
    add_search(parser)


def _table(meanings: Mapping[str, str]) -> str:
    """Names and what they mean, one a line."""
    width = max(map(len, meanings))
    lines = [textwrap.wrap(meaning, 80) for meaning in meanings.values()]
    return "\n".join(
        f"  {name:{width}}  " + f"\n  {'':{width}}  ".join(meaning)
        for name, meaning in zip(meanings, lines)
    )


def _evaluate(args: argparse.Namespace) -> int:
    from asr_attn.commands.evaluate import evaluate

    return evaluate(args)
