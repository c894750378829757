"""Augmentation of waveforms: the speaker, the room, noise and the channel are varied."""

import numpy as np
import scipy.fft
import soxr
from numpy.typing import NDArray

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.noise import Babble, add_noise, make_noise
from asr_attn.audio.time_stretch import stretch

Signal = NDArray[np.float32]
EQUALIZER_KNOTS = 7
"""Frequencies at which the gain of a random equalizer is drawn."""
FIRST_REFLECTION = 0.002
"""Seconds after the direct sound."""


def perturb_waveform(
    samples: Signal,
    config: AugmentationConfig,
    random: np.random.Generator,
    sample_rate: int,
    babble: Babble | None = None,
) -> Signal:
    """Vary one waveform as ``config`` says: what is off draws no random numbers.

    Args:
        samples: (samples,).
        config: what is varied, and how much.
        random: decides everything.
        sample_rate: in Hz.
        babble: makes other voices, for babble noise.

    Returns:
        As many samples, or more or fewer where ``speed`` or ``tempo`` change it.
    """
    samples = _vary_speaker(samples, config, random, sample_rate)
    if _happens(config.reverb_probability, random):
        seconds = random.uniform(*config.reverb_seconds)
        direct_db = random.uniform(*config.reverb_direct_db)
        samples = convolve(samples, room_response(seconds, direct_db, sample_rate, random))
    if config.equalizer_db:
        samples = equalize(samples, config.equalizer_db, random)
    gain = 10.0 ** (random.uniform(-config.gain_db, config.gain_db) / 20.0)
    samples = samples * np.float32(gain)
    if _happens(config.noise_probability, random):
        snr = random.uniform(*config.noise_snr_db)
        kind = config.noise_kinds[int(random.integers(len(config.noise_kinds)))]
        folder = config.noise_folder
        noise = make_noise(kind, len(samples), sample_rate, random, folder, babble)
        samples = add_noise(samples, noise, snr)
    if _happens(config.band_probability, random):
        low, high = random.uniform(*config.band_low_hz), random.uniform(*config.band_high_hz)
        samples = limit_band(samples, low, high, sample_rate)
    return samples


def _happens(probability: float, random: np.random.Generator) -> bool:
    return probability > 0.0 and random.random() < probability


def _vary_speaker(
    samples: Signal, config: AugmentationConfig, random: np.random.Generator, sample_rate: int
) -> Signal:
    """Change speed, tempo and pitch, by one resampling and one stretching at most."""
    speed = float(random.choice(config.speed))
    tempo = float(random.choice(config.tempo)) if config.tempo != (1.0,) else 1.0
    pitch = 1.0
    if config.pitch_semitones:
        pitch = 2.0 ** (random.uniform(-config.pitch_semitones, config.pitch_semitones) / 12.0)
    if tempo == pitch == 1.0:
        return change_speed(samples, speed)
    length = max(round(len(samples) / (speed * tempo)), 1)
    return stretch(change_speed(samples, speed * pitch), length, sample_rate)


def change_speed(samples: Signal, factor: float) -> Signal:
    """Play one waveform (samples,) faster by a factor, and so much higher: (samples / factor,)."""
    if factor == 1.0:
        return samples
    faster: Signal = soxr.resample(samples, factor, 1.0, quality="MQ")
    return faster


def room_response(
    seconds: float, direct_db: float, sample_rate: int, random: np.random.Generator
) -> Signal:
    """Impulse response of a made-up room: the direct sound, then noise that decays exponentially.

    The model of Polack 1988; no walls are traced. The direct sound comes at once and at full level,
    so that speech stays where it was in time.

    Args:
        seconds: reverberation time (RT60), in which the tail falls by 60 dB.
        direct_db: energy of the direct sound over that of the tail, in decibels.
        sample_rate: in Hz.
        random: source of the tail.

    Returns:
        (samples,), as long as the reverberation time.
    """
    length = max(round(seconds * sample_rate), 2)
    decay = np.exp(np.arange(length, dtype=np.float32) * np.float32(-3.0 * np.log(10.0) / length))
    response: Signal = random.standard_normal(length, dtype=np.float32) * decay
    response[: min(round(FIRST_REFLECTION * sample_rate), length - 1)] = 0.0
    energy = max(float(np.sum(np.square(response))), 1e-12)
    response *= np.float32(np.sqrt(10.0 ** (-direct_db / 10.0) / energy))
    response[0] = 1.0
    return response


def convolve(samples: Signal, response: Signal) -> Signal:
    """Send one waveform (samples,) through a filter; what rings on after its end is cut off."""
    size = scipy.fft.next_fast_len(len(samples) + len(response) - 1, real=True)
    spectrum = scipy.fft.rfft(samples, size)
    spectrum *= scipy.fft.rfft(response, size)
    filtered: Signal = scipy.fft.irfft(spectrum, size)[: len(samples)]
    return filtered


def limit_band(samples: Signal, low: float, high: float, sample_rate: int) -> Signal:
    """Keep what lies between two frequencies of one waveform (samples,), as a telephone does.

    Butterworth magnitudes of order 4 below and 8 above, without their phase: there is no delay.

    Args:
        samples: (samples,).
        low: lower edge (half power) in Hz; 0 keeps everything below ``high``.
        high: upper edge (half power) in Hz.
        sample_rate: in Hz.
    """
    # room for the filter's tails, so that the end does not wrap round to the start
    size = scipy.fft.next_fast_len(len(samples) + sample_rate // 20, real=True)
    hertz = np.fft.rfftfreq(size, 1.0 / sample_rate).astype(np.float32)
    power = 1.0 + np.square(np.square(np.square(np.square(hertz / np.float32(high)))))
    if low > 0.0:
        below = np.square(np.square(np.float32(low) / np.maximum(hertz, np.float32(1.0))))
        power *= 1.0 + np.square(below)
    spectrum = scipy.fft.rfft(samples, size)
    spectrum /= np.sqrt(power)
    limited: Signal = scipy.fft.irfft(spectrum, size)[: len(samples)]
    return limited


def equalize(samples: Signal, decibels: float, random: np.random.Generator) -> Signal:
    """Filter one waveform (samples,) by a random smooth frequency response.

    The gain in decibels is drawn at a few frequencies, closer together at low ones, and is linear
    in between (Nam, Kim and Park 2022 do the like on features). The filter has no delay.
    """
    size = scipy.fft.next_fast_len(len(samples), real=True)
    spectrum = scipy.fft.rfft(samples, size)
    knots = np.linspace(0.0, 1.0, EQUALIZER_KNOTS)
    gains = random.uniform(-decibels, decibels, EQUALIZER_KNOTS)
    curve = np.interp(np.sqrt(np.linspace(0.0, 1.0, len(spectrum))), knots, gains)
    spectrum *= np.exp((curve * (np.log(10.0) / 20.0)).astype(np.float32))
    filtered: Signal = scipy.fft.irfft(spectrum, size)[: len(samples)]
    return filtered
