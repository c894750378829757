"""Prepares Mini LibriSpeech: five hours of read English to train on, two to test on, at 16 kHz.

Writes to the output folder
  train.jsonl   train-clean-5 without the speakers of dev.jsonl: 24 speakers, 4.96 h
  dev.jsonl     four speakers of train-clean-5, 0.35 h: of each sex the two with the least speech,
                so that most of it is left to train on
  test.jsonl    dev-clean-2, 26 other speakers, 2.04 h

The corpus is not downloaded: unpack train-clean-5.tar.gz and dev-clean-2.tar.gz from
https://www.openslr.org/31, which make a folder LibriSpeech, and name it.

Examples:
  python recipes/mini_librispeech/prepare.py --source ~/corpora/LibriSpeech
  ASR_ATTN_DATA=~/corpora python recipes/mini_librispeech/prepare.py
"""

import sys
from pathlib import Path

from asr_attn.commands.terminal import Progress
from asr_attn.data.librispeech import Part
from asr_attn.data.librispeech_main import Manifests, make_parser, run

DEV_SPEAKERS = frozenset({"32", "1737", "2136", "7312"})
"""Two women, two men."""
_PAGE = "https://www.openslr.org/31"
_CHAPTERS = Path(__file__).with_name("chapters.txt")


def parts() -> tuple[Part, Part]:
    """Training and test set as they were published."""
    lines = _CHAPTERS.read_text(encoding="utf-8").split()
    chapters = {
        name: frozenset(line.removeprefix(f"{name}/") for line in lines if line.startswith(name))
        for name in ("train-clean-5", "dev-clean-2")
    }
    return (
        Part("train-clean-5", 1519, _PAGE, chapters["train-clean-5"]),
        Part("dev-clean-2", 1089, _PAGE, chapters["dev-clean-2"]),
    )


def split(found: Manifests) -> Manifests:
    """Set some speakers of the training set aside for validation."""
    speech = found["train-clean-5"]
    return {
        "train": [utterance for utterance in speech if utterance.speaker not in DEV_SPEAKERS],
        "dev": [utterance for utterance in speech if utterance.speaker in DEV_SPEAKERS],
        "test": found["dev-clean-2"],
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = make_parser(__doc__ or "", Path("data/mini_librispeech"))
    return run(parser.parse_args(arguments), parts(), split, Progress)


if __name__ == "__main__":
    sys.exit(main())
