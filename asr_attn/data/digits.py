"""Connected digits spoken by a synthesiser: a data set to start with, made in a minute.

Strings such as "three zero seven" in many voices, accents, rates and recording conditions, with
voices kept apart between the splits. It teaches a model to recognise digits well enough to show
that all works; error rates on it say nothing of real speech.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from asr_attn.data.corpus import replaced_folder, write_wave
from asr_attn.data.degradation import (
    Signal,
    add_noise,
    band_limit,
    coloured_noise,
    reverberate,
    root_mean_square,
)
from asr_attn.data.espeak import Speech, Synthesiser
from asr_attn.data.manifest import Utterance, write_manifest
from asr_attn.errors import ConfigError
from asr_attn.files import blaming

# To be raised whenever the same configuration gives other sound: sets in use are then made anew.
GENERATOR_VERSION = 2
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLITS = ("train", "dev", "test")

# Voice variants of eSpeak NG; ones that sound alike are in the same split, and ones that clip,
# buzz or repeat themselves less than exactly (the Klatt voices) in none.
VARIANTS = {
    "train": (
        *("Alex", "max", "Alicia", "Andy", "AnxiousAndy", "Annie", "Denis", "victor", "Mario"),
        *("Michael", "Gene", "Gene2", "Diogo", "Henrique", "Lee", "Nguyen", "aunty", "f1", "f2"),
        *("f3", "f4", "croak", "grandpa", "grandma", "m1", "m3", "m6", "m7", "Mike", "rob"),
        *("robert", "quincy", "gustave", "john", "iven3", "norbert", "boris", "zac", "linda"),
        *("steph", "steph3"),
    ),
    "dev": ("Hugo", "m2", "sandro", "travis", "belinda", "iven4"),
    "test": (
        *("Andrea", "anika", "f5", "ian", "m4", "m5", "m8", "marcelo", "michel", "miguel"),
        *("pablo", "shelby"),
    ),
}
# English accents and how often each is spoken.
ACCENTS = {
    "en-us": 0.35,
    "en": 0.2,
    "en-gb-x-rp": 0.1,
    "en-029": 0.1,
    "en-us-nyc": 0.1,
    "en-gb-x-gbclan": 0.08,
    "en-gb-x-gbcwmd": 0.07,
}
# What others in the room talk about.
_BABBLE = (
    "The weather was fine all morning, so we walked along the river and back.",
    "Could you hand me that paper, please? I left my glasses in the kitchen.",
    "They are building a new school behind the station, as far as I know.",
    "He never said where he was going, and nobody thought of asking him.",
    "My sister grows tomatoes, beans and all kinds of herbs on her balcony.",
    "We ought to leave soon, because the last bus goes before midnight.",
    "That film was much longer than I had expected, but the music was lovely.",
    "She has been reading the same book since January and likes it still.",
)
_MARKER = "digits.json"
_OWNED = re.compile(r"digits\.json|(train|dev|test)\.jsonl|audio/(train|dev|test)-\d{5,}\.wav")


@dataclass(frozen=True)
class DigitsConfig:
    """How much to make, and from what numbers.

    Attributes:
        train: Number of training utterances.
        dev: Number of validation utterances.
        test: Number of test utterances.
        max_digits: Most digits in a string. Training favours short strings, since a model that
            starts with short ones learns to align sooner; in dev and test all lengths are alike.
        seed: The same seed gives the same files.
        sample_rate: Of the files, in Hz.
    """

    train: int = 3000
    dev: int = 150
    test: int = 300
    max_digits: int = 7
    seed: int = 0
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        for name, least in (*((split, 1) for split in SPLITS), ("max_digits", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"digits: {name} is {getattr(self, name)}; it must be at least {least}."
                )
        if self.sample_rate < 8000:
            raise ConfigError(
                f"digits: sample_rate is {self.sample_rate}; speech needs at least 8000 Hz."
            )


def make_digits(
    folder: Path, config: DigitsConfig, progress: Callable[[int, int], None] | None = None
) -> dict[str, Path]:
    """Makes the data set, unless the folder already holds it.

    A set that is incomplete, or was made with other settings, is made anew. Several processes may
    ask for the same folder at once. No other order of making, and no other number of utterances,
    changes an utterance: it depends on the seed, the split and its index alone.

    Args:
        folder: Where the set lies: `train.jsonl`, `dev.jsonl`, `test.jsonl` and `audio/`.
        config: What to make.
        progress: Called with the numbers of utterances made and wanted.

    Returns:
        The manifests' paths by split.

    Raises:
        InputError: eSpeak NG is not installed, or the folder holds files of another origin or
            cannot be written.
    """
    manifests = {split: folder / f"{split}.jsonl" for split in SPLITS}
    if _is_complete(folder, config):
        return manifests
    with (
        Synthesiser() as synthesiser,
        blaming(folder),
        replaced_folder(folder, _OWNED, lambda: _is_complete(folder, config)) as scratch,
    ):
        (scratch / "audio").mkdir()
        done, total = 0, sum(getattr(config, split) for split in SPLITS)
        for split in SPLITS:
            utterances = []
            for utterance in _write_split(synthesiser, scratch, split, config):
                utterances.append(utterance)
                done += 1
                if progress is not None:
                    progress(done, total)
            write_manifest(scratch / f"{split}.jsonl", utterances)
        marker = json.dumps(_description(config), indent=2) + "\n"
        (scratch / _MARKER).write_text(marker, encoding="utf-8")
    return manifests


def make_utterance(
    synthesiser: Synthesiser, split: str, index: int, config: DigitsConfig
) -> tuple[NDArray[np.int16], str, str]:
    """Makes one utterance.

    Returns:
        Samples at the configured rate, shape (samples,); the words; the voice's name.
    """
    rng = np.random.default_rng([config.seed, SPLITS.index(split), index])
    words = _draw_words(rng, split, config.max_digits)
    speech, voice = _speak(synthesiser, rng, split, words, config.sample_rate)
    level = root_mean_square(speech)
    before, after = (int(rng.uniform(0.05, 0.5) * config.sample_rate) for _ in range(2))
    signal = np.pad(speech, (before, after))
    if rng.random() < 0.2:
        decay, ratio_db = rng.uniform(0.1, 0.5), rng.uniform(0.0, 15.0)
        signal = reverberate(rng, signal, config.sample_rate, decay, ratio_db)
    if rng.random() < 0.7:
        noise = _draw_noise(synthesiser, rng, split, len(signal), config.sample_rate)
        signal = add_noise(signal, noise, rng.uniform(10.0, 40.0), level)
    signal = _draw_channel(rng, signal, config.sample_rate)
    peak = 10 ** (rng.uniform(-24.0, -1.0) / 20)
    scaled = signal * (32767 * peak / max(float(np.max(np.abs(signal))), 1e-9))
    return np.round(scaled).astype(np.int16), " ".join(words), voice


def _is_complete(folder: Path, config: DigitsConfig) -> bool:
    try:
        description = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if description != _description(config):
        return False
    names = {path.name for path in (folder / "audio").glob("*.wav")}
    return all((folder / f"{split}.jsonl").is_file() for split in SPLITS) and names == {
        f"{_id(split, index)}.wav" for split in SPLITS for index in range(getattr(config, split))
    }


def _description(config: DigitsConfig) -> dict[str, object]:
    return {"generator": GENERATOR_VERSION, "config": asdict(config)}


def _id(split: str, index: int) -> str:
    return f"{split}-{index:05d}"


def _write_split(
    synthesiser: Synthesiser, folder: Path, split: str, config: DigitsConfig
) -> Iterator[Utterance]:
    for index in range(getattr(config, split)):
        samples, text, voice = make_utterance(synthesiser, split, index, config)
        path = folder / "audio" / f"{_id(split, index)}.wav"
        write_wave(path, samples, config.sample_rate)  # FLAC would halve the 230 MB
        yield Utterance(
            id=path.stem,
            audio=path,
            text=text,
            duration=len(samples) / config.sample_rate,
            speaker=voice,
            language="en",
        )


def _draw_words(rng: np.random.Generator, split: str, max_digits: int) -> list[str]:
    lengths = np.arange(1, max_digits + 1)
    weights = 1 / np.sqrt(lengths) if split == "train" else np.ones(max_digits)
    length = rng.choice(lengths, p=weights / weights.sum())
    return [WORDS[digit] for digit in rng.integers(0, len(WORDS), length)]


def _draw_voice(rng: np.random.Generator, split: str) -> str:
    accent = rng.choice(list(ACCENTS), p=list(ACCENTS.values()))
    return f"{accent}+{rng.choice(VARIANTS[split])}"


def _speak(
    synthesiser: Synthesiser,
    rng: np.random.Generator,
    split: str,
    words: list[str],
    sample_rate: int,
) -> tuple[Signal, str]:
    """Speaks the words in a drawn voice and manner: fluent, word by word or in groups."""
    manner = rng.choice(["fluent", "spaced", "grouped"], p=[0.5, 0.25, 0.25])
    commas = rng.random(len(words) - 1) < (0.4 if manner == "grouped" else 0.0)
    breaks = [*(", " if comma else " " for comma in commas), ""]
    speech = Speech(
        text="".join(word + gap for word, gap in zip(words, breaks, strict=True)),
        voice=_draw_voice(rng, split),
        rate=int(rng.integers(120, 221)),
        pitch=int(rng.integers(30, 71)),
        pitch_range=int(rng.integers(20, 81)),
        word_gap=int(rng.integers(1, 31)) if manner == "spaced" else 0,
    )
    # Played a little slower or faster, which moves the formants as another vocal tract would.
    rate = synthesiser.sample_rate * rng.uniform(0.93, 1.07)
    return _resample(_trim(synthesiser.speak(speech)), rate, sample_rate), speech.voice


def _resample(signal: Signal, rate: float, sample_rate: int) -> Signal:
    resampled: Signal = soxr.resample(signal, rate, sample_rate)
    return resampled


def _trim(signal: Signal) -> Signal:
    """Cuts the silence around what is spoken: 46 dB below the peak and less."""
    loud = np.flatnonzero(np.abs(signal) > 0.005 * np.max(np.abs(signal)))
    return signal[loud[0] : loud[-1] + 1]


def _draw_noise(
    synthesiser: Synthesiser,
    rng: np.random.Generator,
    split: str,
    samples: int,
    sample_rate: int,
) -> Signal:
    """Noise between white and brown, or other people's talk, shape (samples,)."""
    if rng.random() < 0.7:
        return coloured_noise(rng, samples, rng.uniform(0.0, 2.0))
    babble = np.zeros(samples, dtype=np.float32)
    for sentence in rng.choice(_BABBLE, size=rng.integers(3, 6), replace=False):
        speech = Speech(
            text=str(sentence),
            voice=_draw_voice(rng, split),
            rate=int(rng.integers(140, 201)),
            pitch=int(rng.integers(30, 71)),
        )
        talk = _trim(synthesiser.speak(speech))
        talk = _resample(talk, synthesiser.sample_rate, sample_rate)
        talk = np.resize(np.roll(talk, int(rng.integers(len(talk)))), samples)
        babble += talk / max(root_mean_square(talk), 1e-9)
    return babble


def _draw_channel(rng: np.random.Generator, signal: Signal, sample_rate: int) -> Signal:
    """A telephone for a fifth of the utterances, a plain 8 kHz recording for a sixth."""
    draw = rng.random()
    if draw < 0.2:
        return band_limit(signal, sample_rate, rng.uniform(200, 350), rng.uniform(3200, 3600))
    if draw < 0.36:
        return band_limit(signal, sample_rate, 0.0, rng.uniform(3600, 3900))
    return signal
