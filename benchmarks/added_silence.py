"""What silence, noise and hum around speech, or in its place, do to the words of a model.

Adds silence (zeros) or quiet noise before or behind each utterance of a manifest and counts errors,
added words and doubts. Then it transcribes sounds without speech: nothing should be written.

Example:
  python benchmarks/added_silence.py digits test.jsonl --utterances 78 --seconds 0 3 10
"""

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr_attn.audio.reading import read_audio
from asr_attn.data.manifest import read_manifest
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.recognizer import load
from asr_attn.text.normalizer import normalize

LEVELS = {"zeros": 0.0, "noise": 3e-4}
"""Deviation of what is added; full scale is 1."""

Samples = NDArray[np.float32]


def surrounded(
    samples: Samples, rate: int, seconds: float, level: float, before: bool, seed: int
) -> Samples:
    """Put noise of that level before or behind ``samples``."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate)) * level
    parts = (noise, samples) if before else (samples, noise)
    return np.concatenate(parts).astype(np.float32)


def sounds(rate: int, seconds: float) -> Iterator[tuple[str, Samples]]:
    """Sounds (samples,) without speech, and what they are."""
    times = np.arange(round(seconds * rate)) / rate
    generator = np.random.default_rng(0)
    for mains in (50, 60):
        waves = [np.sin(2 * np.pi * mains * k * times + k) / k for k in (1, 2, 3, 5, 7)]
        yield f"hum of {mains} Hz", (0.05 * np.sum(waves, axis=0)).astype(np.float32)
    for level in (0.001, 0.01, 0.1):
        noise = level * generator.standard_normal(len(times))
        yield f"white noise, {level}", noise.astype(np.float32)
    tune = np.zeros(len(times))
    for k, begin in enumerate(np.arange(0.0, seconds - 0.4, 0.4)):
        inside = (times >= begin) & (times < begin + 0.4)
        own = times[inside] - begin
        pitch = 220 * 2 ** ((0, 4, 7, 12, 7, 4)[k % 6] / 12)
        for harmonic in (1, 2, 3, 4):
            tune[inside] += np.sin(2 * np.pi * pitch * harmonic * own) * np.exp(-4 * own) / harmonic
    yield "tones of a tune", (0.1 * tune).astype(np.float32)
    clicks = 1e-4 * generator.standard_normal(len(times))
    for begin in np.arange(0.3, seconds, 0.27):
        place = round(begin * rate)
        length = min(round(0.015 * rate), len(times) - place)
        burst = generator.standard_normal(length) * np.exp(-np.arange(length) / (0.004 * rate))
        clicks[place : place + length] += 0.1 * burst
    yield "clicks of keys", clicks.astype(np.float32)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="CHECKPOINT", help="model file, or name of a model")
    parser.add_argument("manifest", metavar="MANIFEST", type=Path)
    parser.add_argument("--utterances", type=int, default=78, help="the first so many")
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.0, 3.0, 10.0])
    options = parser.parse_args()
    recognizer = load(options.model)
    rate = recognizer.sample_rate
    utterances = read_manifest(options.manifest)[: options.utterances]
    texts = [normalize(u.text, recognizer.model.normalizer) for u in utterances]
    waveforms = [read_audio(u.audio, rate, u.offset, u.duration) for u in utterances]
    print("| seconds | of | where | WER | del | ins | sub | searched again | doubts |")
    print("|---|---|---|---|---|---|---|---|---|")
    for seconds, (kind, level), before in product(options.seconds, LEVELS.items(), (False, True)):
        if seconds == 0 and (before or level):
            continue
        found = [
            recognizer.transcribe_samples([surrounded(w, rate, seconds, level, before, i)])[0]
            for i, w in enumerate(waveforms)
        ]
        errors = count_errors(texts, [transcript.text for transcript in found])
        again = sum(transcript.searched_again for transcript in found)
        doubts = sum(len(transcript.doubts) for transcript in found)
        print(
            f"| {seconds:g} | {kind} | {'before' if before else 'behind'} | {errors.rate:.1%} "
            f"| {errors.deletions} | {errors.insertions} | {errors.substitutions} | {again} "
            f"| {doubts} |",
            flush=True,
        )
    print("\n| sound | seconds | text | confidence | doubts |\n|---|---|---|---|---|")
    for seconds in (2.0, 10.0):
        for name, samples in sounds(rate, seconds):
            heard = recognizer.transcribe_samples([samples])[0]
            kinds = ", ".join(doubt.kind for doubt in heard.doubts)
            confidence = "" if heard.confidence is None else f"{heard.confidence:.2f}"
            print(f"| {name} | {seconds:g} | {heard.text} | {confidence} | {kinds} |", flush=True)


if __name__ == "__main__":
    main()
