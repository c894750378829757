"""What happens to speech on its way to a recording: rooms, noise and narrow channels.

Plain NumPy, for data that is made once and kept; augmentation during training is `asr_attn.audio`'s
matter. Every function takes one mono signal, shape (samples,), and returns one as long.
"""

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]


def root_mean_square(signal: Signal) -> float:
    """The signal's level; 0.0 for an empty one."""
    return float(np.sqrt(np.mean(np.square(signal, dtype=np.float64)))) if len(signal) else 0.0


def coloured_noise(rng: np.random.Generator, samples: int, exponent: float) -> Signal:
    """Gaussian noise whose power falls as frequency to the power of `exponent`, with an RMS of 1.

    Args:
        rng: Source of the numbers.
        samples: Length of the noise.
        exponent: 0 is white, 1 pink, 2 brown.
    """
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    bins = np.arange(len(spectrum), dtype=np.float64)
    bins[0] = np.inf  # no offset
    noise = np.fft.irfft(spectrum * bins ** (-exponent / 2), samples)
    level = max(float(np.sqrt(np.mean(noise**2))), 1e-12)
    return (noise / level).astype(np.float32)


def add_noise(signal: Signal, noise: Signal, snr_db: float, speech_rms: float) -> Signal:
    """Adds noise so much quieter than the speech.

    Args:
        signal: Speech and its pauses.
        noise: As long as the signal, of any level.
        snr_db: Level of the speech above the noise's, in dB.
        speech_rms: Level of the speech alone: pauses around it must not change the noise.
    """
    level = root_mean_square(noise)
    if level == 0.0 or speech_rms == 0.0:
        return signal
    return signal + noise * np.float32(speech_rms / level * 10 ** (-snr_db / 20))


def band_limit(signal: Signal, sample_rate: int, low: float, high: float) -> Signal:
    """Keeps what lies between two frequencies, as a telephone does.

    Args:
        signal: The signal.
        sample_rate: In Hz.
        low: Lower edge (half power) in Hz; 0 keeps everything below `high`.
        high: Upper edge (half power) in Hz.
    """
    # Room for the filter's tails, so that the end does not wrap round to the start.
    padding = sample_rate // 20
    padded = np.pad(signal, (padding, padding))
    frequencies = np.fft.rfftfreq(len(padded), 1 / sample_rate)
    # Butterworth magnitudes of order 8 above and 4 below, without their phase.
    gain = 1 / np.sqrt(1 + (frequencies / high) ** 16)
    if low > 0:
        gain *= 1 / np.sqrt(1 + (low / np.maximum(frequencies, 1e-3)) ** 8)
    filtered = np.fft.irfft(np.fft.rfft(padded) * gain, len(padded))
    return filtered[padding : padding + len(signal)].astype(np.float32)


def reverberate(
    rng: np.random.Generator, signal: Signal, sample_rate: int, decay: float, ratio_db: float
) -> Signal:
    """Adds the tail of a made-up room: noise that decays exponentially.

    Args:
        rng: Source of the noise.
        signal: Dry speech; the tail is cut at its end.
        sample_rate: In Hz.
        decay: Time in seconds in which the tail falls by 60 dB.
        ratio_db: Energy of the direct sound above the tail's, in dB.
    """
    length = max(int(decay * sample_rate), 1)
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[: sample_rate // 500] = 0.0  # the first reflection comes 2 ms after the direct sound
    energy = np.sum(tail**2)
    if energy == 0.0:
        return signal
    response = tail * np.sqrt(10 ** (-ratio_db / 10) / energy)
    response[0] = 1.0
    size = len(signal) + length
    wet = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(response, size), size)
    return wet[: len(signal)].astype(np.float32)
