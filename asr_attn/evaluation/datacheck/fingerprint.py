"""Fingerprints of recordings: a word of 32 bits for every 16 ms.

As in Haitsma and Kalker 2002 ("A highly robust audio fingerprinting system"), a bit is the sign of
a difference between energies of bands, which coding and loudness leave as it is, and recordings are
compared by the share of bits that differ. Their differences, of two bands and two frames, need long
recordings; here each bit weighs 24 bands over 11 frames by a two-dimensional cosine, the low orders
of which tell words of a third of a second apart and depend little on each other.

What was played faster is compared with the slower one as if that were played faster, too: frames
move on by more, and bands are lower, by the same factor.
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

RATE = 8000
"""Samples per second that fingerprints are taken at."""
SPEEDS = (1.0, 1.025, 1.05, 1.075, 1.1)
"""Factors that recordings are looked for at; what lies between is found by the nearest."""
FRAME_SECONDS = 0.016
"""From word to word."""
BITS = 32

_WINDOW = 512
_HOP = round(RATE * FRAME_SECONDS)
_FFT = 1024
_BANDS = 24
_LOWEST, _HIGHEST = 150.0, 3000.0
_PATCH = 11
_FRAMES_AT_ONCE = 2048
# Frames quieter than the loudest by more than 35 dB are pauses; bands are floored at -50 dB
_PAUSE = 10.0**-3.5
_FLOOR = 1e-5

Words = NDArray[np.uint32]


def fingerprint(samples: NDArray[np.float32], speed: float = 1.0) -> Words:
    """The words of a recording.

    Args:
        samples: (samples,) at `RATE`.
        speed: as if it were played this many times as fast.

    Returns:
        (T,) words; 0 where there is a pause.
    """
    energies = band_energies(samples, speed)
    total = energies.sum(axis=1)
    sounding = total > max(float(total.max()) * _PAUSE, 1e-12)
    if not sounding.any():
        return np.zeros(len(energies), dtype=np.uint32)
    logs = np.log(energies + float(energies.max()) * _FLOOR)
    logs -= logs[sounding].mean(axis=0)
    half = _PATCH // 2
    padded = np.pad(logs, ((half, half), (0, 0)), mode="edge")
    patches = sliding_window_view(padded, _PATCH, axis=0).reshape(len(logs), -1)
    signs = np.packbits(patches @ _cosines() > 0, axis=1, bitorder="little")
    words = signs.view("<u4")[:, 0].astype(np.uint32)
    return np.where(sounding, np.maximum(words, 1), 0).astype(np.uint32)


def band_energies(samples: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    """Energies of bands on a logarithmic scale from 150 to 3000 Hz: (T, 24)."""
    size = round(_WINDOW * speed)
    padded = np.pad(samples, (size // 2, size // 2 + 1))
    starts = np.arange(0, len(padded) - size, _HOP * speed).astype(int)
    frames = sliding_window_view(padded, size)
    window = np.hanning(size).astype(np.float32)
    edges = np.geomspace(_LOWEST, _HIGHEST, _BANDS + 1) / speed * (_FFT / RATE) + 0.5
    below = edges.astype(int)
    share = (edges - below).astype(np.float32)
    found = []
    for first in range(0, len(starts), _FRAMES_AT_ONCE):
        spectrum = np.fft.rfft(frames[starts[first : first + _FRAMES_AT_ONCE]] * window, _FFT)
        power = spectrum.real**2 + spectrum.imag**2
        summed = np.cumsum(power[:, : below[-1] + 1], axis=1, dtype=np.float64)
        upto = summed[:, below - 1] + share * power[:, below]
        found.append(np.diff(upto, axis=1).astype(np.float32))
    return np.concatenate(found)


def bit_errors(a: Words, b: Words, lag: int) -> tuple[float, int]:
    """Compare two fingerprints where both sound.

    Args:
        a: (T,) words.
        b: (T,) words.
        lag: word of ``a`` that the first of ``b`` belongs to; may be negative.

    Returns:
        The share of bits that differ (1 if nothing is compared), and the number of words compared.
    """
    first_a, first_b = max(lag, 0), max(-lag, 0)
    size = min(len(a) - first_a, len(b) - first_b)
    if size <= 0:
        return 1.0, 0
    a, b = a[first_a : first_a + size], b[first_b : first_b + size]
    both = (a != 0) & (b != 0)
    count = int(both.sum())
    if not count:
        return 1.0, 0
    return float(np.bitwise_count((a ^ b)[both]).sum()) / (BITS * count), count


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float32]:
    """Weights of the bits: (bands * frames, bits)."""
    orders = sorted(
        ((p, q) for p in range(5) for q in range(12)), key=lambda k: (k[0] / 2 + k[1] / 4, k)
    )
    frame = (np.arange(_PATCH) + 0.5) / _PATCH
    band = (np.arange(_BANDS) + 0.5) / _BANDS
    waves = [
        np.outer(np.cos(np.pi * q * band), np.cos(np.pi * p * frame)).ravel()
        for p, q in orders[:BITS]
    ]
    return np.stack(waves, axis=1).astype(np.float32)
