"""Noise to add to training speech: made, recorded, or of other voices."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from asr_attn.audio.folders import find_audio
from asr_attn.audio.reading import audio_duration, read_audio
from asr_attn.errors import AudioError

Signal = NDArray[np.float32]
Babble = Callable[[int, np.random.Generator], Signal]
"""Makes so many samples of several voices that speak at once."""

EXPONENTS = {"white": 0.0, "pink": 1.0, "brown": 2.0}
"""Colours of noise: its power falls as frequency to this power."""
LOWEST_HZ = 20.0
"""Coloured noise has nothing below, where nobody hears it; brown noise would have little else."""


def coloured_noise(
    exponent: float, samples: int, sample_rate: int, random: np.random.Generator
) -> Signal:
    """Gaussian noise (samples,) whose power falls as frequency to the power of ``exponent``."""
    if exponent == 0.0:
        return random.standard_normal(samples, dtype=np.float32)
    size = scipy.fft.next_fast_len(samples, real=True)
    hertz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    gains = np.maximum(hertz, LOWEST_HZ) ** (-exponent / 2) * (hertz >= LOWEST_HZ)
    spectrum = random.standard_normal((len(hertz), 2), dtype=np.float32)
    spectrum *= gains.astype(np.float32)[:, None]
    noise: Signal = scipy.fft.irfft(spectrum.view(np.complex64)[:, 0], size)[:samples]
    return noise


@lru_cache(maxsize=8)
def noise_files(folder: str) -> tuple[tuple[Path, float], ...]:
    """The recordings in a folder and below, sorted by name, and the seconds of each.

    Raises:
        AudioError: there are none, or one of them cannot be read.
    """
    found = find_audio(Path(folder))
    if not found:
        raise AudioError(f"{folder} holds no recordings of noise; name another folder.")
    return tuple((path, audio_duration(path)) for path in found)


def recorded_noise(
    folder: str, samples: int, sample_rate: int, random: np.random.Generator
) -> Signal:
    """A random stretch (samples,) of a random recording; a short one is repeated.

    Raises:
        AudioError: the folder has no recordings, or one of them cannot be read.
    """
    files = noise_files(folder)
    path, seconds = files[int(random.integers(len(files)))]
    needed = samples / sample_rate
    if seconds <= needed:
        return np.resize(read_audio(path, sample_rate), samples)
    part = read_audio(path, sample_rate, random.uniform(0.0, seconds - needed), needed)
    return np.resize(part, samples)  # rounding may have cost it a sample


def make_noise(
    kind: str,
    samples: int,
    sample_rate: int,
    random: np.random.Generator,
    folder: str | None,
    babble: Babble | None,
) -> Signal:
    """Noise of a kind, of any level.

    Args:
        kind: white, pink, brown, babble or recorded.
        samples: length of the result.
        sample_rate: in Hz.
        random: source of the numbers.
        folder: of the recordings.
        babble: makes babble.

    Returns:
        (samples,).
    """
    if kind == "recorded":
        assert folder is not None
        return recorded_noise(folder, samples, sample_rate, random)
    if kind == "babble":
        assert babble is not None
        return babble(samples, random)
    return coloured_noise(EXPONENTS[kind], samples, sample_rate, random)


def add_noise(samples: Signal, noise: Signal, snr_db: float) -> Signal:
    """Add noise, as long as ``samples``, so many decibels below it; silence is no noise."""
    level = root_mean_square(noise)
    if level == 0.0:
        return samples
    wanted = max(root_mean_square(samples), 1e-6) * 10.0 ** (-snr_db / 20.0)
    return samples + noise * np.float32(wanted / level)


def root_mean_square(samples: Signal) -> float:
    """The level of a waveform."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float32), dtype=np.float64)))
