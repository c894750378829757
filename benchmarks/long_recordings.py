"""Word error rate, time and memory of long recordings, beside the same utterances one by one.

Joins the utterances of a manifest, in its order and with a short pause of room noise after each, to
recordings of so many minutes, and transcribes each recording at once. Seconds are those of the
processor; memory is the peak of the process, so lengths go from short to long.

Example:
  python benchmarks/long_recordings.py mini-librispeech dev-clean-2.jsonl --minutes 5 10 15 20
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr_attn.audio.reading import read_audio
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.evaluation.error_rates import ErrorCounts, count_errors
from asr_attn.recognizer import Recognizer, load
from asr_attn.text.normalizer import normalize

BACKGROUND = 1e-4
"""Deviation of the noise in the pauses; full scale is 1."""


def choose(utterances: Sequence[Utterance], seconds: float, pause: float) -> list[Utterance]:
    """The first utterances that last so long together."""
    chosen, total = [], 0.0
    for utterance in utterances:
        if total >= seconds:
            break
        chosen.append(utterance)
        total += utterance.duration + pause
    return chosen


def joined(
    waveforms: Sequence[NDArray[np.float32]], rate: int, pause: float
) -> NDArray[np.float32]:
    """One recording (samples,), with a pause of that many seconds after each waveform."""
    generator = np.random.default_rng(0)
    parts = []
    for waveform in waveforms:
        noise = BACKGROUND * generator.standard_normal(round(pause * rate))
        parts += [waveform, noise.astype(np.float32)]
    return np.concatenate(parts)


def one_by_one(
    recognizer: Recognizer, waveforms: Sequence[NDArray[np.float32]], texts: Sequence[str]
) -> ErrorCounts:
    """Errors of utterances that are transcribed alone."""
    found = [recognizer.transcribe_samples([waveform])[0].text for waveform in waveforms]
    return count_errors(list(texts), found)


def peak_memory() -> float:
    """Greatest resident memory of the process so far in MiB; not known (NaN) on Windows."""
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="CHECKPOINT", help="model file, or name of a model")
    parser.add_argument("manifest", metavar="MANIFEST", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[5.0, 10.0])
    parser.add_argument("--pause", type=float, default=0.3, help="seconds after each utterance")
    parser.add_argument(
        "--doubt-penalty", type=float, default=SearchConfig.doubt_penalty, help="0: search once"
    )
    options = parser.parse_args()
    search = SearchConfig(doubt_penalty=options.doubt_penalty)
    recognizer = load(options.model, search=search)
    rate = recognizer.sample_rate
    utterances = read_manifest(options.manifest)
    print(
        "| minutes | words | WER one by one | WER at once | del | ins | sub | processor s | MiB |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for minutes in sorted(options.minutes):
        chosen = choose(utterances, 60 * minutes, options.pause)
        texts = [normalize(u.text, recognizer.model.normalizer) for u in chosen]
        waveforms = [read_audio(utterance.audio, rate) for utterance in chosen]
        alone = one_by_one(recognizer, waveforms, texts)
        recording = joined(waveforms, rate, options.pause)
        begin = time.process_time()
        transcript = recognizer.transcribe_samples([recording])[0]
        seconds = time.process_time() - begin
        whole = count_errors([" ".join(texts)], [transcript.text])
        print(
            f"| {len(recording) / rate / 60:.1f} | {whole.total} | {alone.rate:.1%} "
            f"| {whole.rate:.1%} | {whole.deletions} | {whole.insertions} | {whole.substitutions} "
            f"| {seconds:.0f} | {peak_memory():.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
