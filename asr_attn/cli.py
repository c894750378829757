"""The command ``asr-attn``: transcribe recordings and evaluate models.

Only what a command needs is imported, when it runs: help and mistakes are answered at once.
"""

import argparse
import errno
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from asr_attn import __version__
from asr_attn.commands.terminal import abandon_output, prepare_output, say
from asr_attn.errors import InputError
from asr_attn.files import write_error

OK, SOME_FAILED, REFUSED, BROKEN_PIPE, INTERRUPTED = 0, 1, 2, 141, 130

# What torch says when it cannot allocate, on a GPU and on a CPU
_NO_MEMORY = ("out of memory", "not enough memory", "allocate memory")

_EPILOG = """\
exit codes:
  0  all done
  1  some recordings could not be read; the others are done
  2  nothing done: what was given cannot be used
"""

_TRANSCRIBE = """\
Write down what is said in recordings.

Inputs are audio files (wav, flac, ogg, opus, mp3, ...), folders (all audio files in them and in the
folders below) and manifests (*.jsonl). Any sample rate and number of channels will do.

A single FILE gives just its text. Otherwise each recording gives one line NAME<TAB>TEXT, in the
order given; NAME is the path of a file, or the id of a manifest's utterance. The format jsonl gives
one JSON object a line: id, audio, text, duration (seconds), score, log_prob, truncated, silent.
"""
_TRANSCRIBE_EXAMPLES = """\
examples:
  asr-attn transcribe runs/digits speech.wav
  asr-attn transcribe model.safetensors recordings/ --output transcripts.jsonl
  asr-attn transcribe model.safetensors *.flac --beam 8 > transcripts.txt
  asr-attn transcribe model.safetensors test.jsonl --format jsonl | head -n 3

"""

_EVALUATE = """\
Count errors: of a model on a manifest's recordings, or of texts against texts.

With a model, the manifest's texts are normalised (letter case, punctuation, Unicode) as they were
in the training of that model, and what it recognises is compared as it is. Text files are compared
as they are, unless --normalize is given.

Rates are pooled: all errors over all words (WER) or characters, spaces included (CER). The
real-time factor is the time of recognition, files read included, over the length of the audio.
"""
_EVALUATE_EXAMPLES = """\
examples:
  asr-attn evaluate runs/digits data/test.jsonl
  asr-attn evaluate model.safetensors test.jsonl --beam 8 --format json
  asr-attn evaluate model.safetensors test.jsonl --output wer.json --hypotheses heard.jsonl
  asr-attn evaluate --reference said.txt --hypothesis heard.txt --normalize
  asr-attn evaluate --reference test.jsonl --hypothesis heard.jsonl

"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, like all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: arguments; those of the process when not given.

    Returns:
        The exit code.
    """
    prepare_output()
    try:
        code = _run(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough
        abandon_output()
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is not None:
            reason = error.strerror or type(error).__name__
            say(f"{error.filename} cannot be used ({reason}); check the path and its permissions")
            return REFUSED
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        abandon_output()
        say(str(write_error(Path("standard output"), error)))
        return REFUSED
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = _parser().parse_args(argv)
        code: int = args.run(args)
    except SystemExit as done:  # --help and --version
        return done.code if isinstance(done.code, int) else OK
    except InputError as error:
        say(str(error))
        return REFUSED
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(p in str(error) for p in _NO_MEMORY):
            raise
        say("out of memory; lower --batch-seconds, or cut long recordings into shorter ones")
        return REFUSED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="asr-attn",
        description="Transcribe with attention-based speech recognisers, and evaluate them.",
        epilog="asr-attn COMMAND --help explains a command. Training: python train.py --help.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"asr-attn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_transcribe(commands)
    _add_evaluate(commands)
    return parser


def _add_transcribe(commands: "argparse._SubParsersAction[_Parser]") -> None:
    parser = commands.add_parser(
        "transcribe",
        help="write down what is said in recordings",
        description=_TRANSCRIBE,
        epilog=_TRANSCRIBE_EXAMPLES + _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=_transcribe)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=Path, help="model file, or folder of a run"
    )
    parser.add_argument(
        "inputs",
        metavar="FILE|FOLDER|MANIFEST",
        type=Path,
        nargs="+",
        help="what to transcribe",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        default="-",
        help="write to a file, which appears when all is done; - is standard output (default)",
    )
    parser.add_argument(
        "--format",
        choices=("text", "jsonl"),
        help="default: jsonl if --output ends in .jsonl, else text",
    )
    _add_search(parser)
    parser.set_defaults(device="auto", batch_seconds=60.0)


def _add_evaluate(commands: "argparse._SubParsersAction[_Parser]") -> None:
    parser = commands.add_parser(
        "evaluate",
        help="count the errors of a model, or of texts",
        usage="asr-attn evaluate CHECKPOINT MANIFEST [options]\n"
        "       asr-attn evaluate --reference FILE --hypothesis FILE [options]",
        description=_EVALUATE,
        epilog=_EVALUATE_EXAMPLES + _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=_evaluate)
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        type=Path,
        nargs="?",
        help="model file, or folder of a run",
    )
    parser.add_argument(
        "manifest", metavar="MANIFEST", type=Path, nargs="?", help="recordings and their texts"
    )
    parser.add_argument(
        "--reference",
        metavar="FILE",
        type=Path,
        help="what was said: one sentence a line, or .jsonl with id and text",
    )
    parser.add_argument(
        "--hypothesis",
        metavar="FILE",
        type=Path,
        help="what was recognised, in the same form; .jsonl is matched by id",
    )
    parser.add_argument(
        "--normalize",
        action="store_true",
        help="of text files: ignore letter case and punctuation",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        help="default: json if --output ends in .json, else text",
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="write the figures to a file instead"
    )
    parser.add_argument(
        "--hypotheses",
        metavar="FILE",
        type=Path,
        help="write what the model recognised, as JSON Lines with the reference beside it",
    )
    _add_search(parser)


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--beam",
        metavar="N",
        type=_positive_int,
        help="open hypotheses of the search; 1 is greedy and fastest (default)",
    )
    parser.add_argument(
        "--device",
        metavar="D",
        help="cpu, cuda, cuda:1, mps; auto (default) is cuda where there is one, else cpu",
    )
    parser.add_argument(
        "--batch-seconds",
        metavar="S",
        type=_positive_seconds,
        help="audio that is recognised at once; more is faster and takes memory (default 60)",
    )


def _positive_int(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def _positive_seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def _transcribe(args: argparse.Namespace) -> int:
    from asr_attn.commands.transcribe import transcribe

    return transcribe(args)


def _evaluate(args: argparse.Namespace) -> int:
    from asr_attn.commands.evaluate import evaluate

    return evaluate(args)


if __name__ == "__main__":
    sys.exit(main())
