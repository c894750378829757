"""The arguments of ``asr-attn models``, ``average`` and ``pack``, and what their help says."""

import argparse

from asr_attn.commands.argument_types import file_path
from asr_attn.commands.arguments import EPILOG_ALONE, Commands

_MODELS = """\
List the models that come with the package, or show the card of one: what it was trained on, under
which licence, how well it does, what it is not for. Their names can be given wherever a command
takes a model.
"""
_MODELS_EXAMPLES = """\
examples:
  asr-attn models
  asr-attn models digits
  asr-attn transcribe digits speech.wav

"""
_AVERAGE = """\
Write a model whose weights are the means of those of several models of one training; it is often
better than each of them. A training ends with the average of its best models by itself: this is for
one that was stopped, or for another choice of its models.

The average has no calibration of its confidence: asr-attn calibrate teaches it.
"""
_AVERAGE_EXAMPLES = """\
examples:
  asr-attn average runs/digits/DATE/best --output mean.safetensors
  asr-attn average best/epoch=0036.safetensors best/epoch=0040.safetensors --output mean.safetensors
  asr-attn evaluate mean.safetensors dev.jsonl

"""
_PACK = """\
Write a model file of half the size, to be handed on: with weights of 16 bits (float16), which are
32 bits again when it is read. Evaluate it before it is handed on: rounding seldom changes a word.
"""
_PACK_EXAMPLES = """\
examples:
  asr-attn pack runs/digits/DATE --output digits.safetensors
  asr-attn evaluate digits.safetensors test.jsonl

"""


def add_models(commands: Commands) -> None:
    """Add ``asr-attn models``, ``average`` and ``pack``."""
    parser = commands.add_parser(
        "models",
        help="list the models that come with the package",
        description=_MODELS,
        epilog=_MODELS_EXAMPLES + EPILOG_ALONE,
    )
    parser.set_defaults(run=_models)
    parser.add_argument("name", metavar="NAME", nargs="?", help="show the card of this model")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser = commands.add_parser(
        "average",
        help="write a model whose weights are the means of those of several",
        description=_AVERAGE,
        epilog=_AVERAGE_EXAMPLES + EPILOG_ALONE,
    )
    parser.set_defaults(run=_average)
    parser.add_argument(
        "checkpoints",
        metavar="CHECKPOINT",
        nargs="+",
        type=file_path,
        help="model file, folder of a run, or a folder of model files, such as best/ of a run",
    )
    _add_output(parser)
    parser = commands.add_parser(
        "pack",
        help="write a model file of half the size",
        description=_PACK,
        epilog=_PACK_EXAMPLES + EPILOG_ALONE,
    )
    parser.set_defaults(run=_pack)
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=file_path, help="model file, or folder of a run"
    )
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=file_path,
        required=True,
        help="where to write the model file",
    )


def _models(args: argparse.Namespace) -> int:
    from asr_attn.commands.models import models

    return models(args)


def _average(args: argparse.Namespace) -> int:
    from asr_attn.commands.models import average

    return average(args)


def _pack(args: argparse.Namespace) -> int:
    from asr_attn.commands.models import pack

    return pack(args)
