"""The arguments of ``asr-attn lm``, and what its help says.

What a command needs is imported when it runs.
"""

import argparse

from asr_attn.commands.argument_types import file_path
from asr_attn.commands.arguments import Commands, Parser
from asr_attn.commands.numbers import count, real, whole

_EPILOG = """\
exit codes:
  0  done
  2  nothing done: what was given cannot be used
"""

_LM = """\
Train n-gram language models for the search, and measure language models of any kind.

Neural ones are trained by: python train.py task=lm --help
"""

_TRAIN = """\
Train an n-gram language model and write it as an ARPA file, or compiled (.npz), which is read much
faster.

Text files have one sentence a line and may be compressed (.gz, .xz); of manifests (*.jsonl) the
texts are read. Empty lines are left out. Smoothing is interpolated modified Kneser-Ney, and the
ARPA file is what KenLM's lmplz would write. With --model, texts are spelt as they were in the
training of that recogniser, which a language model that is to be used with it needs.

Units are words, characters (a space is the symbol <space>) or the tokens of the recogniser.
"""
_TRAIN_EXAMPLES = """\
examples:
  asr-attn lm train corpus.txt.xz --order 3 --output words.arpa.gz --model runs/digits
  asr-attn lm train corpus.txt --order 6 --units tokens --model runs/digits --output tokens.arpa
  asr-attn lm train train.jsonl --order 4 --units characters --normalize --output characters.arpa
  asr-attn lm train big.txt.gz --order 4 --prune 0 0 1 --memory 4000 --output pruned.arpa.gz
  asr-attn lm train big.txt.gz --order 3 --entropy 2e-8 --vocabulary 100000 --output small.npz

"""

_SCORE = """\
Measure how well a language model predicts a text: its perplexity, which is lower for better ones.

Ends of sentences are predicted as well. Out-of-vocabulary words count with the probability that
the model gives to <unk>, or not at all. Perplexities of words and of characters do not compare, so
a model of smaller units has a perplexity per word, too: that of the same text spread over its words
and ends of sentences. It is what a model of words has, but that one pays no letters for words it
does not know.

A neural model (model file, or folder of a run of python train.py task=lm) brings its tokens and its
spelling with it.
"""
_SCORE_EXAMPLES = """\
examples:
  asr-attn lm score words.arpa.gz dev.txt
  asr-attn lm score tokens.arpa dev.jsonl --model runs/digits --units tokens --format json
  asr-attn lm score runs/lm/DATE dev.txt

"""


_PACK = """\
Compile an ARPA file: the compiled file (.npz) is about as large as the ARPA file compressed with
gzip, and a large model is read from it in seconds instead of a minute.
"""
_PACK_EXAMPLES = """\
examples:
  asr-attn lm pack words.arpa.gz --output words.npz

"""


def add_lm(commands: Commands) -> None:
    """Add ``asr-attn lm`` and its commands."""
    parser = commands.add_parser(
        "lm",
        help="train and measure language models",
        description=_LM,
        epilog="asr-attn lm COMMAND --help explains a command.",
    )
    inner: Commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_train(inner)
    _add_score(inner)
    _add_pack(inner)


def _add_train(commands: Commands) -> None:
    parser = _command(commands, "train", "make a model from text", _TRAIN, _TRAIN_EXAMPLES)
    parser.set_defaults(run=_train)
    parser.add_argument("texts", metavar="TEXT", type=file_path, nargs="+", help="text or manifest")
    parser.add_argument(
        "--order",
        metavar="N",
        type=whole(1, 100),
        required=True,
        help="length of the longest n-grams",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=file_path,
        required=True,
        help="FILE.arpa, FILE.arpa.gz or FILE.npz",
    )
    parser.add_argument(
        "--units",
        choices=("words", "characters", "tokens"),
        default="words",
        help="what the model is of; tokens are those of --model (default: words)",
    )
    _add_spelling(parser)
    parser.add_argument(
        "--prune",
        metavar="T",
        type=count,
        nargs="+",
        default=(),
        help="leave out n-grams of length 1, 2, ... that come T times or less; the first is 0",
    )
    parser.add_argument(
        "--entropy",
        metavar="SHARE",
        type=real(0.0, 1.0),
        default=0.0,
        help="leave out n-grams without which perplexity rises by a smaller share, such as 1e-8",
    )
    parser.add_argument(
        "--vocabulary",
        metavar="N",
        type=count,
        default=0,
        help="know the N most frequent words only; the others become <unk> (default: all)",
    )
    parser.add_argument(
        "--memory",
        metavar="MB",
        type=whole(1, 10**8),
        default=1000,
        help="memory to work in; what does not fit goes to temporary files (default: 1000)",
    )


def _add_score(commands: Commands) -> None:
    parser = _command(commands, "score", "measure a model on text", _SCORE, _SCORE_EXAMPLES)
    parser.set_defaults(run=_score)
    parser.add_argument(
        "language_model",
        metavar="LM",
        type=file_path,
        help="ARPA file, compiled file, or neural model",
    )
    parser.add_argument("texts", metavar="TEXT", type=file_path, nargs="+", help="text or manifest")
    parser.add_argument(
        "--units",
        choices=("words", "characters", "tokens"),
        help="what the model is of (default: characters if it knows <space>, else words)",
    )
    _add_spelling(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="of the figures; default: text"
    )


def _add_pack(commands: Commands) -> None:
    parser = _command(commands, "pack", "compile an ARPA file", _PACK, _PACK_EXAMPLES)
    parser.set_defaults(run=_pack)
    parser.add_argument("language_model", metavar="LM", type=file_path, help="ARPA file")
    parser.add_argument("--output", metavar="FILE", type=file_path, required=True, help="FILE.npz")


def _command(
    commands: Commands, name: str, summary: str, description: str, examples: str
) -> Parser:
    return commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=examples + _EPILOG,
    )


def _add_spelling(parser: Parser) -> None:
    spelling = parser.add_mutually_exclusive_group()
    spelling.add_argument(
        "--model",
        metavar="CHECKPOINT",
        type=file_path,
        help="spell texts as this recogniser does (model file, or folder of a run)",
    )
    spelling.add_argument(
        "--normalize", action="store_true", help="ignore letter case and punctuation"
    )


def _train(args: argparse.Namespace) -> int:
    from asr_attn.commands.lm import train

    return train(args)


def _pack(args: argparse.Namespace) -> int:
    from asr_attn.commands.lm import pack

    return pack(args)


def _score(args: argparse.Namespace) -> int:
    from asr_attn.commands.lm import score

    return score(args)
