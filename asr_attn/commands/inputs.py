"""The files that a command reads, which it must not write over."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from asr_attn.audio.shards import file_on_disk
from asr_attn.data.manifest import Utterance
from asr_attn.zoo import model_file

_OPTIONS = ("search", "hotwords", "train")
"""Those that name a file to read, in any command."""


def files_read(
    args: argparse.Namespace, models: Iterable[Path], utterances: Iterable[Utterance] = ()
) -> Iterator[Path]:
    """Yield the files of models and of options, and the audio of utterances.

    Args:
        args: of the command.
        models: recognisers, as they are named: by files, folders of runs, or names of the package.
        utterances: whose audio is read, from files or shards.
    """
    for path in models:
        if (file := model_file(path)) is not None:
            yield file
    named = (getattr(args, name, None) for name in _OPTIONS)
    yield from (path for path in named if path is not None)
    if (lm := getattr(args, "lm", None)) is not None:
        yield from lm.glob("*.safetensors") if lm.is_dir() else [lm]
    yield from audio_files(utterances)


def audio_files(utterances: Iterable[Utterance]) -> Iterator[Path]:
    """Yield the files that hold the sound of utterances, each once where they follow each other."""
    before = None
    for utterance in utterances:
        if utterance.audio != before:
            before = utterance.audio
            yield Path(file_on_disk(str(utterance.audio)))
