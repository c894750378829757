"""What utterances are grouped by: fields of the manifest, and measures of the recordings."""

from collections.abc import Sequence

import numpy as np

from asr_attn.audio.pauses import FRAMES_PER_SECOND
from asr_attn.audio.reading import read_audio
from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError
from asr_attn.evaluation.scoring import Labels, quantile_labels

MEASURED = {"duration": "s", "rate": "words/s", "snr": "dB"}
"""What is measured, and its unit."""


def labels_of(
    field: str, utterances: Sequence[Utterance], words: Sequence[int], sample_rate: int
) -> Labels:
    """The group of each utterance.

    Args:
        field: "duration", "rate" (of speaking), "snr" (signal-to-noise ratio), "speaker",
            "language", or a key of the manifest; numbers are cut into four ranges.
        utterances: N.
        words: N, how many are said in each.
        sample_rate: at which recordings are read.

    Raises:
        InputError: an utterance lacks the field.
    """
    if field == "duration":
        return quantile_labels(np.array([u.duration for u in utterances]), "s")
    if field == "rate":
        rates = [count / max(u.duration, 0.01) for u, count in zip(utterances, words, strict=True)]
        return quantile_labels(np.array(rates), MEASURED["rate"])
    if field == "snr":
        ratios = [signal_to_noise(u, sample_rate) for u in utterances]
        return quantile_labels(np.array(ratios), MEASURED["snr"])
    values = [_value(utterance, field) for utterance in utterances]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return quantile_labels(np.array(values, dtype=np.float64), "")
    return Labels([str(value) for value in values])


def require_field(field: str, utterances: Sequence[Utterance]) -> None:
    """Make sure that utterances can be grouped by a field, before they are recognised.

    Raises:
        InputError: an utterance lacks the field.
    """
    if field not in MEASURED:
        for utterance in utterances:
            _value(utterance, field)


def _value(utterance: Utterance, field: str) -> object:
    """A field of an utterance."""
    known = {"speaker": utterance.speaker, "language": utterance.language}
    value = known.get(field, utterance.extra.get(field))
    if value is None:
        keys = [name for name in known if known[name] is not None] + list(utterance.extra)
        raise InputError(
            f"--by {field}: utterance {utterance.id!r} has no such field; known: "
            f"{', '.join([*MEASURED, *keys])}"
        )
    return value


def signal_to_noise(utterance: Utterance, sample_rate: int) -> float:
    """Level of the loudest over that of the quietest 10 ms frames of a recording, in dB.

    The 95th and the 5th percentile; an estimate, which takes pauses for noise.
    """
    samples = read_audio(utterance.audio, sample_rate, utterance.offset, utterance.duration)
    hop = sample_rate // FRAMES_PER_SECOND
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    if not len(frames):
        return 0.0
    power = np.square(frames, dtype=np.float64).mean(axis=1) + 1e-10
    low, high = np.percentile(power, [5, 95])
    return float(10 * np.log10(high / low))
