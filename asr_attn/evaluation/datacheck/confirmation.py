"""Whether two recordings that seem the same are: by their waves.

Words that one speaker says twice may have fingerprints as alike as two codings of one recording,
but their waves do not go together. What is left of the waves is their phases and fine structure:
the spectral envelope is divided out, for that of a vowel is always the same.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from asr_attn.evaluation.datacheck.fingerprint import FRAME_SECONDS, RATE
from asr_attn.evaluation.datacheck.matching import Candidate

CORRELATIONS = (0.87, 0.78, 0.68)
"""Least median correlation of one piece, of two and of more."""

_LEAST = 0.45
"""Every piece has this correlation: recordings that share some words are not the same."""
_PIECE = 0.6
_MARGIN = 0.08
_PIECES = 6
# The speed that fingerprints tell may be the neighbour of the nearest one
_SPEED_RANGE, _COARSE, _FINE = 0.028, 0.002, 0.0005
_UNLIKE = 0.4
_LAGS = 0.16
_STEP = 2
_LOWEST, _HIGHEST = 200.0, 1800.0
_ENVELOPE = 200.0
_LEAST_OVERLAP = 0.5

Samples = NDArray[np.float32]


def is_same(slow: Samples, fast: Samples, candidate: Candidate) -> bool:
    """Tell whether two recordings are the same, apart from coding, loudness, ends and speed.

    Args:
        slow: (samples,) at `fingerprint.RATE`: ``candidate.slow``.
        fast: (samples,) of ``candidate.fast``.
        candidate: how they go together.
    """
    begin = max(0.0, candidate.lag * FRAME_SECONDS)
    end = min(len(slow) / RATE / candidate.speed, candidate.lag * FRAME_SECONDS + len(fast) / RATE)
    found: list[float] = []
    for time in _pieces(slow, candidate.speed, begin, end):
        a = _cut(
            slow, (time - _MARGIN) * candidate.speed, (time + _PIECE + _MARGIN) * candidate.speed
        )
        shift = candidate.lag * FRAME_SECONDS
        b = _cut(fast, time - shift - _MARGIN, time - shift + _PIECE + _MARGIN)
        found.append(_correlation(a, b, candidate.speed))
        if found[-1] < _LEAST:
            return False
    least = CORRELATIONS[min(len(found), len(CORRELATIONS)) - 1] if found else np.inf
    return bool(found) and float(np.median(found)) >= least


def _pieces(slow: Samples, speed: float, begin: float, end: float) -> list[float]:
    """Seconds at which pieces begin, as ``slow`` is played faster.

    They are the loudest of some stretches, so that no part of the recordings goes unseen.
    """
    if end - begin < 1.5 * _PIECE:
        return [begin + max(0.0, (end - begin - _PIECE) / 2)] if end > begin else []
    starts = np.linspace(begin, end - _PIECE, max(2, round((end - begin) / _PIECE)))
    energies = [float(np.square(_cut(slow, t * speed, (t + _PIECE) * speed)).sum()) for t in starts]
    stretches = np.array_split(np.arange(len(starts)), min(len(starts), _PIECES))
    return [float(max((energies[i], starts[i]) for i in stretch)[1]) for stretch in stretches]


def _cut(samples: Samples, begin: float, end: float) -> Samples:
    first, last = max(0, round(begin * RATE)), max(0, round(end * RATE))
    return samples[first:last]


def _correlation(slow: Samples, fast: Samples, speed: float) -> float:
    """Highest correlation of whitened waves, over lags and speeds near a speed."""
    a, b = whitened(slow), whitened(fast)[::_STEP]
    if not (a.any() and b.any()):
        return 0.0
    coarse = speed * (1.0 + np.arange(-_SPEED_RANGE, _SPEED_RANGE, _COARSE))
    found = _correlations(a, b, coarse)
    if found.max() < _UNLIKE:
        return float(found.max())
    fine = coarse[found.argmax()] + np.arange(-_COARSE, _COARSE, _FINE)
    return float(max(found.max(), _correlations(a, b, fine).max()))


def _correlations(a: Samples, b: Samples, speeds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Highest correlation over lags, for each speed.

    Both waves hold nothing above 1800 Hz, so every second sample of 8000 per second is enough.
    """
    length = int(len(a) / speeds.min() / _STEP)
    times = np.arange(length) * _STEP
    places = np.arange(len(a))
    played = np.stack(
        [np.interp(times * s, places, a, right=0.0).astype(np.float32) for s in speeds]
    )
    most = round(_LAGS * RATE / _STEP)
    size = 1 << (max(length, len(b)) + most).bit_length()
    products = np.fft.irfft(np.fft.rfft(played, size) * np.conj(np.fft.rfft(b, size)), size)
    lags = np.arange(max(-most, 1 - len(b)), min(most, length - 1) + 1)
    first, last = np.maximum(lags, 0), np.minimum(length, len(b) + lags)
    summed = np.pad(np.cumsum(np.square(played), axis=1), ((0, 0), (1, 0)))
    summed_b = np.r_[0.0, np.cumsum(np.square(b))]
    energy = summed[:, last] - summed[:, first]
    energy_b = summed_b[last - lags] - summed_b[first - lags]
    enough = (energy >= _LEAST_OVERLAP * summed[:, -1:]) & (
        energy_b >= _LEAST_OVERLAP * summed_b[-1]
    )
    norm = np.sqrt(np.maximum(energy * energy_b, 1e-12))
    best: NDArray[np.float64] = np.where(enough, products[:, lags] / norm, 0.0).max(axis=1)
    return best


def whitened(samples: Samples) -> Samples:
    """The band from 200 to 1800 Hz with its spectral envelope divided out: (samples,)."""
    size = 1 << (len(samples) + 256).bit_length()
    spectrum = np.fft.rfft(samples, size)
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    power = np.abs(spectrum) ** 2
    width = max(1, round(_ENVELOPE * size / RATE)) | 1
    padded = np.pad(power, width // 2)
    envelope = sliding_window_view(padded, width).mean(axis=1)
    envelope = np.maximum(envelope, 1e-9 * float(power.mean()) + 1e-20)
    rise = np.clip((frequencies - _LOWEST) / 60.0, 0.0, 1.0)
    fall = np.clip((_HIGHEST - frequencies) / 200.0, 0.0, 1.0)
    flat = np.fft.irfft(spectrum / np.sqrt(envelope) * rise * fall, size)
    return flat[: len(samples)].astype(np.float32)
