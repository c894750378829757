"""The arguments of the commands, and what their help says.

What a command needs is imported when it runs.
"""

import argparse
import difflib
from typing import Any, NoReturn, TypeAlias

from asr_attn.commands.argument_types import file_path, output_file
from asr_attn.commands.numbers import batch_seconds, number, positive_int
from asr_attn.errors import InputError

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

EPILOG = """\
exit codes:
  0  all done
  1  some recordings could not be read; the others are done
  2  nothing done: what was given cannot be used
"""

EPILOG_ALONE = """\
exit codes:
  0  done
  2  nothing done: what was given cannot be used
"""

_TRANSCRIBE = """\
Write down what is said in recordings.

Inputs are audio files (wav, flac, ogg, opus, mp3, ...), folders (all audio files in them and in the
folders below, also those that are links) and manifests (*.jsonl). Any sample rate and number of
channels will do.

A single FILE gives just its text. Otherwise each recording gives one line NAME<TAB>TEXT, in the
order given; NAME is the path of a file, or the id of a manifest's utterance, written as a string of
JSON ("a\\nb.wav") where it holds line breaks, tabs or the like. The format jsonl gives
one JSON object a line: id, audio, text, duration (seconds), score, log_prob, truncated, silent,
confidence, words (each with its start and end in seconds, its confidence, and how far attention
agrees with the times), doubts (loops, skips, early ends, words in silence), searched_again, parts
(what each scorer of a beam search gave) and, with --nbest, alternatives. Such a file is a manifest,
to train on (data.also_train, data.least_confidence).

Where attention or CTC show that words were repeated or left out, the recording is searched again
with safer settings. Doubts that are left are told on standard error.
"""
_TRANSCRIBE_EXAMPLES = """\
examples:
  asr-attn transcribe runs/digits speech.wav
  asr-attn transcribe model.safetensors recordings/ --output transcripts.jsonl
  asr-attn transcribe model.safetensors *.flac --beam 8 > transcripts.txt
  asr-attn transcribe model.safetensors test.jsonl --format jsonl | head -n 3
  asr-attn transcribe model.safetensors calls/ --beam 10 --ctc-weight 0.3 --lm words.arpa.gz
  asr-attn transcribe model.safetensors calls/ --hotword "Kowalczyk:6" --hotwords names.txt

"""

_ATTENTION = """\
See where a model looks in a recording while it reads it: whether attention is aligned, skips speech
or repeats it.

The recording is recognised, or the decoder is made to read a given text. The figures tell how well
attention is aligned, and a sentence tells what they mean. With --output, the attention is drawn
below the waveform and the spectrogram; an .html is one file to listen to, which needs no network.
Times of tokens (JSON, html) are where the middle 80 % of a token's attention weight lies.
"""
_ATTENTION_EXAMPLES = """\
examples:
  asr-attn attention runs/digits speech.wav
  asr-attn attention runs/digits speech.wav --output speech.html
  asr-attn attention model.safetensors speech.flac --text "two three" --output speech.png
  asr-attn attention model.safetensors speech.wav --beam 8 --format json

"""


class _StoreOnce(argparse._StoreAction):
    """Store the value of an option, and refuse the option when it is given a second time."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if option_string is not None and isinstance(parser, Parser):
            if self in parser.given:
                raise argparse.ArgumentError(self, "is given twice; keep one")
            parser.given.append(self)
        super().__call__(parser, namespace, values, option_string)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, like all others; options are written in full.

    An option that is given twice is refused, so that no value is dropped, unless its action gathers
    all values (append, extend). The description and the epilog stay as they are written. Parsers of
    commands are made by it, too.

    Attributes:
        given: the options that were met so far.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings
        )
        self.given: list[argparse.Action] = []
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, with no option given yet, and none that is unknown."""
        self.given = []
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            near = difflib.get_close_matches(unknown[0], self._option_string_actions, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Raise an InputError."""
        raise InputError(f"{message}; see {self.prog} --help")


def add_transcribe(commands: Commands) -> None:
    """Add ``asr-attn transcribe``."""
    parser = commands.add_parser(
        "transcribe",
        help="write down what is said in recordings",
        description=_TRANSCRIBE,
        epilog=_TRANSCRIBE_EXAMPLES + EPILOG,
    )
    parser.set_defaults(run=_transcribe)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=file_path, help="model file, or folder of a run"
    )
    parser.add_argument(
        "inputs",
        metavar="FILE|FOLDER|MANIFEST",
        type=file_path,
        nargs="+",
        help="what to transcribe",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=output_file,
        default=None,
        help="write to a file, which appears when all is done; what is done before an interruption "
        "is in FILE.partial; - is standard output (default)",
    )
    parser.add_argument(
        "--format",
        choices=("text", "jsonl"),
        help="default: jsonl if --output ends in .jsonl, else text",
    )
    parser.add_argument(
        "--ignore",
        metavar="WORD",
        action="append",
        help="leave a word such as [noise] out of what is written; may be given several times",
    )
    parser.add_argument(
        "--nbest",
        metavar="N",
        type=positive_int,
        default=1,
        help="hypotheses to write of each recording, in the format jsonl (default 1); the beam is "
        "at least as wide",
    )
    parser.add_argument(
        "--tokens",
        action="store_true",
        help="write the times of tokens too, by CTC and by attention, in the format jsonl",
    )
    add_search(parser)
    parser.set_defaults(device="auto", batch_seconds=60.0)


def add_attention(commands: Commands) -> None:
    """Add ``asr-attn attention``."""
    parser = commands.add_parser(
        "attention",
        help="see where a model looks in a recording",
        description=_ATTENTION,
        epilog=_ATTENTION_EXAMPLES + EPILOG_ALONE,
    )
    parser.set_defaults(run=_attention)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=file_path, help="model file, or folder of a run"
    )
    parser.add_argument("audio", metavar="AUDIO", type=file_path, help="recording")
    parser.add_argument(
        "--text", metavar="REFERENCE", help="what is said; recognised when not given"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=file_path,
        help="draw a picture (.png, .svg) or a page to listen to (.html)",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="of the figures; default: text"
    )
    _add_beam(parser)
    add_device(parser)


def add_search(parser: argparse.ArgumentParser) -> None:
    """Add the settings of the search, the device and the size of batches."""
    _add_beam(parser)
    add_device(parser)
    parser.add_argument(
        "--batch-seconds",
        metavar="S",
        type=batch_seconds,
        help="audio that is recognised at once; more is faster and takes memory (default 60)",
    )


def _add_beam(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("search")
    group.add_argument(
        "--search",
        metavar="FILE",
        type=file_path,
        help="file of settings, as asr-attn tune writes it; what is given beside it counts more",
    )
    group.add_argument(
        "--beam",
        metavar="N",
        type=positive_int,
        help="open hypotheses; 1 is greedy and fastest (default; 10 with CTC, a language model or "
        "hotwords)",
    )
    group.add_argument(
        "--ctc-weight",
        metavar="W",
        type=number,
        help="share of CTC in the score, from 0 (default) to 1; 0.3 is usual",
    )
    group.add_argument(
        "--lm",
        metavar="FILE",
        type=file_path,
        help="language model to listen to (.arpa, .arpa.gz, .npz, .safetensors, or folder of its "
        "run)",
    )
    group.add_argument(
        "--lm-weight", metavar="W", type=number, help="of the language model (default 0.3)"
    )
    group.add_argument(
        "--internal-lm-weight",
        metavar="W",
        type=number,
        help="of what the decoder expects without hearing, which is taken away beside a language "
        "model that knows more of the language (default 0; 0.2 is a start)",
    )
    group.add_argument(
        "--length-bonus",
        metavar="W",
        type=number,
        help="added for each token; for language models that make transcripts short",
    )
    group.add_argument(
        "--length-exponent",
        metavar="X",
        type=number,
        help="scores are divided by tokens ** X (default 0.7, and 0 with a bonus or hotwords)",
    )
    group.add_argument(
        "--doubt-penalty",
        metavar="W",
        type=number,
        help="what each doubt costs when a recording is searched again (default 5); with 0, none "
        "is searched again",
    )
    group.add_argument(
        "--hotword",
        metavar="PHRASE[:BOOST]",
        action="append",
        help="phrase that is likely to be said; the boost (default 5) is added to the logarithm of "
        "its probability; may be given several times",
    )
    group.add_argument(
        "--hotwords", metavar="FILE", type=file_path, help="file of such phrases, one a line"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        metavar="D",
        help="cpu, cuda, cuda:1, mps; auto (default) is cuda where there is one, else cpu",
    )


def _transcribe(args: argparse.Namespace) -> int:
    from asr_attn.commands.transcribe import transcribe

    return transcribe(args)


def _attention(args: argparse.Namespace) -> int:
    from asr_attn.commands.attention import attention

    return attention(args)
