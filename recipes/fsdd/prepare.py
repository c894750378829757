"""Prepares the Free Spoken Digit Dataset: 6 speakers, each saying each digit 50 times, at 8 kHz.

Writes to the output folder
  single/{train,dev,test}.jsonl    single digits in the set's own split: of each speaker's 50
                                   recordings of a digit, 0-4 are for testing and 5-49 for training;
                                   5-7 of these are set aside as dev, so that train is 8-49
  strings/{train,dev,test}.jsonl   strings of one speaker's recordings with short gaps, made of the
                                   recordings of the same part of single/: 3 to 7 digits in test
                                   (300 strings) and dev (100), 1 to 7 in train (1500); the key
                                   "words" is [[word, start, end], ...] in seconds
  speakers/NAME/{train,dev,test}.jsonl
                                   single digits of a new speaker: test is all of NAME's recordings,
                                   dev the others' recordings 0-4, train the others' 5-49

Examples:
  python recipes/fsdd/prepare.py
  python recipes/fsdd/prepare.py --source ~/corpora/free-spoken-digit-dataset
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr_attn.audio.reading import read_audio
from asr_attn.data.corpus import Corpus, prepare_main, replaced_folder, write_wave
from asr_attn.data.digits import WORDS
from asr_attn.data.manifest import Utterance, write_manifest
from asr_attn.errors import InputError

CORPUS = Corpus(
    "free-spoken-digit-dataset",
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",
    Path("data/fsdd"),
)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
TAKES = 50
SAMPLE_RATE = 8000
# The part of the set's own split that a recording belongs to, by its number.
PARTS: dict[str, range] = {"train": range(8, 50), "dev": range(5, 8), "test": range(5)}
# Of the strings: how many, and the fewest and most digits.
STRINGS = {"train": (1500, 1, 7), "dev": (100, 3, 7), "test": (300, 3, 7)}
MAX_GAP = 0.3  # seconds
_FADE = 0.004  # seconds
_SEED = 1
_OWNED = re.compile(
    r"(single|strings|speakers/[a-z]+)/(train|dev|test)\.jsonl"
    r"|strings/audio/(train|dev|test)-\d{4}\.wav"
)


@dataclass(frozen=True)
class Recording:
    """One digit said once.

    Attributes:
        path: The file.
        digit: 0 to 9.
        speaker: Who says it.
        take: Its number among the speaker's recordings of the digit, 0 to 49.
        samples: The sound, shape (samples,).
    """

    path: Path
    digit: int
    speaker: str
    take: int
    samples: NDArray[np.float32]

    def utterance(self) -> Utterance:
        """The recording as a line of a manifest."""
        return Utterance(
            id=self.path.stem,
            audio=self.path,
            text=WORDS[self.digit],
            duration=len(self.samples) / SAMPLE_RATE,
            speaker=self.speaker,
            language="en",
        )


def prepare(source: Path, output: Path) -> str:
    """Writes the manifests and the strings.

    Args:
        source: The corpus's folder, or its folder `recordings`.
        output: Where all goes.

    Returns:
        What was written, for the user.

    Raises:
        InputError: Recordings are missing or cannot be read.
    """
    recordings = read_corpus(source)
    with replaced_folder(output, _OWNED) as folder:
        _write_singles(folder / "single", recordings, _part)
        for speaker in SPEAKERS:
            part_of = partial(_part_without, speaker)
            _write_singles(folder / "speakers" / speaker, recordings, part_of)
        (folder / "strings" / "audio").mkdir(parents=True)
        for part in PARTS:
            own = [recording for recording in recordings if _part(recording) == part]
            write_manifest(folder / "strings" / f"{part}.jsonl", make_strings(own, part, folder))
    minutes = sum(len(recording.samples) for recording in recordings) / SAMPLE_RATE / 60
    return (
        f"{output}: {len(recordings)} recordings ({minutes:.1f} minutes) listed in single/ and "
        f"speakers/, {sum(count for count, _, _ in STRINGS.values())} strings made in strings/."
    )


def read_corpus(source: Path) -> list[Recording]:
    """Reads all recordings, sorted by digit, speaker and number.

    Raises:
        InputError: Recordings are missing, unknown or cannot be read.
    """
    folder = source / "recordings" if (source / "recordings").is_dir() else source
    wanted = {
        f"{digit}_{speaker}_{take}.wav": (digit, speaker, take)
        for digit in range(len(WORDS))
        for speaker in SPEAKERS
        for take in range(TAKES)
    }
    found = {path.name for path in folder.glob("*.wav") if not path.name.startswith(".")}
    if missing := sorted(set(wanted) - found):
        raise InputError(
            f"{folder} lacks {len(missing)} of the corpus's {len(wanted)} recordings "
            f"({_examples(missing)}); unpack version 1.0.10 anew: {CORPUS.url}."
        )
    if unknown := sorted(found - set(wanted)):
        raise InputError(
            f"{folder} has {len(unknown)} recordings that are not in version 1.0.10 of the corpus "
            f"({_examples(unknown)}); use that version: {CORPUS.url}."
        )
    return [
        Recording(folder / name, *facts, read_audio(folder / name, SAMPLE_RATE))
        for name, facts in wanted.items()
    ]


def make_strings(recordings: list[Recording], part: str, folder: Path) -> Iterator[Utterance]:
    """Joins recordings to strings and writes them to `folder`/strings/audio.

    The speakers take turns, and each goes through all of his recordings, shuffled, before one comes
    again: all are used alike. The same corpus gives the same strings.
    """
    rng = np.random.default_rng([_SEED, list(PARTS).index(part)])
    decks: dict[str, list[Recording]] = {speaker: [] for speaker in SPEAKERS}
    count, fewest, most = STRINGS[part]
    for number in range(count):
        speaker = SPEAKERS[number % len(SPEAKERS)]
        deck = decks[speaker]
        length = int(rng.integers(fewest, most + 1))
        while len(deck) < length:
            own = [recording for recording in recordings if recording.speaker == speaker]
            deck += [own[index] for index in rng.permutation(len(own))]
        chosen, decks[speaker] = deck[:length], deck[length:]
        samples, bounds = join(rng, [recording.samples for recording in chosen])
        path = folder / "strings" / "audio" / f"{part}-{number:04d}.wav"
        write_wave(path, _to_int16(samples), SAMPLE_RATE)
        words = [WORDS[recording.digit] for recording in chosen]
        yield Utterance(
            id=path.stem,
            audio=path,
            text=" ".join(words),
            duration=len(samples) / SAMPLE_RATE,
            speaker=speaker,
            language="en",
            extra={
                "words": [
                    [word, start / SAMPLE_RATE, end / SAMPLE_RATE]
                    for word, (start, end) in zip(words, bounds, strict=True)
                ]
            },
        )


def join(
    rng: np.random.Generator, recordings: list[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """Puts recordings one after another, with gaps of up to `MAX_GAP` before, between and after.

    Gaps of zeros would be heard, and seen by a model: they are filled with noise of the spectrum
    of the recordings' own background, and the recordings are faded into it. A constant offset is
    removed, for it would step at each joint.

    Args:
        rng: Source of gaps and noise.
        recordings: Each of shape (samples,).

    Returns:
        The samples, and each recording's first sample and the one past its last.
    """
    centred = [recording - recording.mean(dtype=np.float64) for recording in recordings]
    gaps = (rng.uniform(0, MAX_GAP, len(centred) + 1) * SAMPLE_RATE).astype(int)
    joined = background(rng, centred, sum(gaps) + sum(map(len, centred)))
    bounds, start = [], 0
    for gap, recording in zip(gaps, centred):
        start += int(gap)
        end = start + len(recording)
        fade = np.ones(len(recording))
        edge = min(int(_FADE * SAMPLE_RATE), len(recording) // 2)
        fade[:edge] = np.linspace(0, 1, edge, endpoint=False)
        fade[len(fade) - edge :] = fade[:edge][::-1]
        joined[start:end] = joined[start:end] * (1 - fade) + recording * fade
        bounds.append((start, end))
        start = end
    return joined.astype(np.float32), bounds


def background(
    rng: np.random.Generator, recordings: list[NDArray[np.float64]], length: int
) -> NDArray[np.float64]:
    """Noise like that behind the recordings, shape (length,).

    The recordings are cut so close that hardly a frame is free of speech, but each frequency is in
    some: its power is taken from the quietest tenth of the frames.
    """
    size = SAMPLE_RATE // 50
    window = np.hanning(size)
    frames = np.concatenate(
        [
            np.lib.stride_tricks.sliding_window_view(
                np.pad(recording, (0, max(size - len(recording), 0))), size
            )[:: size // 2]
            for recording in recordings
        ]
    )
    power = np.abs(np.fft.rfft(frames * window)) ** 2 / np.sum(window**2)
    # The tenth percentile is a tenth of the mean where all frames are noise, and near it where few
    # are: three times it is between. A gap too quiet is closer to nature than one too loud.
    floor = 3 * np.quantile(power, 0.1, axis=0)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    places = np.linspace(0, 1, len(spectrum))
    gain = np.interp(places, np.linspace(0, 1, len(floor)), np.sqrt(floor))
    return np.fft.irfft(spectrum * gain, length)


def _examples(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)


def _part(recording: Recording) -> str:
    return next(part for part, takes in PARTS.items() if recording.take in takes)


def _part_without(speaker: str, recording: Recording) -> str:
    """The part of a recording where a speaker is left out of training."""
    if recording.speaker == speaker:
        return "test"
    return "dev" if recording.take in PARTS["test"] else "train"


def _write_singles(
    folder: Path, recordings: list[Recording], part_of: Callable[[Recording], str]
) -> None:
    for part in PARTS:
        own = (recording.utterance() for recording in recordings if part_of(recording) == part)
        write_manifest(folder / f"{part}.jsonl", own)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    return prepare_main(CORPUS, __doc__ or "", prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
