"""Prepares the yesno corpus (OpenSLR 1): eight Hebrew words a recording, each ken (yes) or lo (no).

Writes to the output folder
  train.jsonl, test.jsonl           the 60 recordings in the order of their names: the first 30 for
                                    training, the other 30 for testing
  tune_train.jsonl, tune_dev.jsonl  the 30 for training cut once more, the first 26 and the last 4:
                                    for choosing settings without a look at the test set

Examples:
  python recipes/yesno/prepare.py
  python recipes/yesno/prepare.py --source ~/corpora/waves_yesno
"""

import re
import sys
from pathlib import Path

from asr_attn.audio.reading import audio_duration
from asr_attn.data.corpus import Corpus, prepare_main, replaced_folder
from asr_attn.data.manifest import Utterance, write_manifest
from asr_attn.errors import InputError

CORPUS = Corpus(
    "waves_yesno",
    "https://www.openslr.org/resources/1/waves_yesno.tar.gz",
    Path("data/yesno"),
)
RECORDINGS, TRAINING, TUNING = 60, 30, 26
WORDS = {"0": "lo", "1": "ken"}
_NAME = re.compile(r"[01](_[01]){7}\.wav")
_OWNED = re.compile(r"(train|test|tune_train|tune_dev)\.jsonl")


def prepare(source: Path, output: Path) -> str:
    """Writes the manifests.

    Args:
        source: The folder of the recordings.
        output: Where the manifests go.

    Returns:
        What was written, for the user.

    Raises:
        InputError: Recordings are missing or cannot be read.
    """
    paths = sorted(path for path in source.iterdir() if _NAME.fullmatch(path.name))
    if len(paths) != RECORDINGS:
        raise InputError(
            f"{source} holds {len(paths)} recordings named like 0_1_1_0_1_0_0_1.wav, but yesno "
            f"has {RECORDINGS}; unpack {CORPUS.url} anew."
        )
    utterances = [_utterance(path) for path in paths]
    parts = {
        "train": utterances[:TRAINING],
        "test": utterances[TRAINING:],
        "tune_train": utterances[:TUNING],
        "tune_dev": utterances[TUNING:TRAINING],
    }
    with replaced_folder(output, _OWNED) as folder:
        for name, part in parts.items():
            write_manifest(folder / f"{name}.jsonl", part)
    counts = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
    minutes = sum(utterance.duration for utterance in utterances) / 60
    return f"{output}: {counts} utterances; {minutes:.1f} minutes in all."


def _utterance(path: Path) -> Utterance:
    return Utterance(
        id=path.stem,
        audio=path,
        text=" ".join(WORDS[digit] for digit in path.stem.split("_")),
        duration=audio_duration(path),
        language="he",
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return prepare_main(CORPUS, __doc__ or "", prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
