"""How loud, how clean and how clipped samples are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENCE_DB = -60.0
"""dBFS of the loudest 25 ms, up to which there is nothing to hear."""
_FRAME_SECONDS = 0.025
_NOISE_PERCENTILE, _SPEECH_PERCENTILE = 10, 95
# Samples at the peak, within one and a half steps of 16 bits, that come one after another
_PLATEAU = 1.5 / 32768
_RUN = 3
_LOWEST_CLIP = 0.25
_FLOOR = 1e-10


@dataclass(frozen=True, slots=True)
class Levels:
    """What the samples of an utterance tell.

    Attributes:
        peak: largest absolute value; full scale is 1.
        loudest: dBFS of the loudest 25 ms (root mean square; a full-scale square wave is 0).
        level: dBFS of the whole.
        snr: dB, the loud frames over the quiet ones.
        clipped: share of samples in runs at the peak.
    """

    peak: float
    loudest: float
    level: float
    snr: float
    clipped: float

    @property
    def silent(self) -> bool:
        """Nothing to hear."""
        return self.loudest <= SILENCE_DB


def measure_levels(samples: NDArray[np.float32], sample_rate: int) -> Levels:
    """Measure samples at the rate they were recorded at.

    The signal-to-noise ratio is an estimate from percentiles of the energies of 25 ms frames: it
    needs pauses in the utterance, and is too low without.

    Args:
        samples: (samples,), not empty.
        sample_rate: per second.
    """
    size = max(1, min(samples.size, round(_FRAME_SECONDS * sample_rate)))
    frames = samples[: samples.size // size * size].reshape(-1, size)
    energies = np.einsum("tn,tn->t", frames, frames, dtype=np.float64) / size
    noise, speech = np.percentile(energies, (_NOISE_PERCENTILE, _SPEECH_PERCENTILE))
    return Levels(
        peak=float(np.abs(samples).max()),
        loudest=_decibels(energies.max()),
        level=_decibels(energies.mean()),
        snr=_decibels(speech) - _decibels(noise),
        clipped=clipped_share(samples),
    )


def clipped_share(samples: NDArray[np.float32]) -> float:
    """Share of the samples that are cut off: in runs of three or more at the peak.

    A wave that is not cut off does not stay at its peak. The peak need not be full scale, so that
    sound that was clipped and then made quieter is found, too.
    """
    loud = np.abs(samples)
    peak = float(loud.max())
    if peak < _LOWEST_CLIP:
        return 0.0
    edges = np.flatnonzero(np.diff(np.r_[False, loud >= peak - _PLATEAU, False]))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= _RUN].sum() / samples.size)


def _decibels(energy: float) -> float:
    return float(10.0 * np.log10(max(energy, _FLOOR)))
