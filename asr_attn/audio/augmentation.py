"""Augmentation of training speech: waveforms are varied, parts of features masked."""

from dataclasses import dataclass

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

EQUALIZER_KNOTS = 7
"""Frequencies at which the gain of a random equalizer is drawn."""


@dataclass(frozen=True)
class AugmentationConfig:
    """How training speech is varied; all of it is off for validation and transcribing."""

    speed: tuple[float, ...] = (0.9, 1.0, 1.1)
    """Factors to choose from: 1.1 is 10 % faster and higher (Ko et al. 2015)."""
    gain_db: float = 6.0
    """Volume changes by up to this many decibels either way."""
    equalizer_db: float = 0.0
    """Each utterance passes through a random equalizer of up to this many decibels either way, as
    if it had been recorded by another microphone."""
    noise_probability: float = 0.0
    """Share of the utterances that get white noise."""
    noise_snr_db: tuple[float, float] = (10.0, 40.0)
    """Range of the signal-to-noise ratio of that noise."""
    vocal_tract: float = 0.0
    """Frequencies are stretched by up to this share either way, as if the speaker's vocal tract
    were shorter or longer (VTLP, Jaitly and Hinton 2013): more speakers out of few."""
    frequency_masks: int = 2
    """Bands that are blanked out per utterance (SpecAugment, Park et al. 2019)."""
    frequency_mask_bins: int = 15
    """Greatest width of such a band in mel bins."""
    time_masks: int = 2
    """Stretches of time that are blanked out per utterance."""
    time_mask_frames: int = 20
    """Greatest length of such a stretch in frames."""
    time_mask_share: float = 0.2
    """Greatest length of such a stretch as a share of the utterance."""

    def __post_init__(self) -> None:
        if not self.speed or min(self.speed) < 0.5 or max(self.speed) > 2.0:
            raise ValueError(f"augmentation.speed needs factors from 0.5 to 2, not {self.speed}")
        counts = (
            self.frequency_masks,
            self.frequency_mask_bins,
            self.time_masks,
            self.time_mask_frames,
        )
        if min(*counts, self.gain_db, self.equalizer_db) < 0:
            raise ValueError(
                "augmentation: numbers and sizes of masks, gain_db and equalizer_db start at 0"
            )
        if len(self.noise_snr_db) != 2 or self.noise_snr_db[0] > self.noise_snr_db[1]:
            raise ValueError(
                f"augmentation.noise_snr_db is a range, lower end first, not {self.noise_snr_db}"
            )
        if not 0 <= self.vocal_tract < 0.5:
            raise ValueError(
                f"augmentation.vocal_tract is a share from 0 to below 0.5, not {self.vocal_tract}"
            )
        if not 0 <= self.noise_probability <= 1 or not 0 <= self.time_mask_share <= 1:
            raise ValueError(
                "augmentation.noise_probability and augmentation.time_mask_share are from 0 to 1"
            )


def perturb_waveform(
    samples: NDArray[np.float32], config: AugmentationConfig, random: np.random.Generator
) -> NDArray[np.float32]:
    """Change speed, sound, volume and noise of one waveform (samples,) as ``config`` says."""
    speed = float(random.choice(config.speed))
    if speed != 1.0:
        samples = soxr.resample(samples, speed, 1.0, quality="MQ")
    if config.equalizer_db:
        samples = equalize(samples, config.equalizer_db, random)
    gain = 10.0 ** (random.uniform(-config.gain_db, config.gain_db) / 20.0)
    samples = samples * np.float32(gain)
    if random.random() < config.noise_probability:
        snr = random.uniform(*config.noise_snr_db)
        level = np.sqrt(np.mean(np.square(samples)) + 1e-12) * 10.0 ** (-snr / 20.0)
        samples = samples + np.float32(level) * random.standard_normal(
            len(samples), dtype=np.float32
        )
    return samples


def equalize(
    samples: NDArray[np.float32], decibels: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """Filter one waveform (samples,) by a random smooth frequency response.

    The gain in decibels is drawn at a few frequencies, closer together at low ones, and is linear
    in between (Nam, Kim and Park 2022 do the like on features). The filter has no delay.
    """
    spectrum = np.fft.rfft(samples)
    knots = np.linspace(0.0, 1.0, EQUALIZER_KNOTS)
    gains = random.uniform(-decibels, decibels, EQUALIZER_KNOTS)
    curve = np.interp(np.sqrt(np.linspace(0.0, 1.0, len(spectrum))), knots, gains)
    filtered: NDArray[np.float64] = np.fft.irfft(spectrum * 10.0 ** (curve / 20.0), len(samples))
    return filtered.astype(np.float32)


def perturb_vocal_tract(features: Tensor, centres: Tensor, share: float) -> Tensor:
    """Stretch or squeeze the frequency axis of each utterance by a random factor (VTLP).

    Args:
        features: (B, T, D) log-mel features.
        centres: (D,) centre frequency of each band in Hz, rising.
        share: the factor is uniform between 1 - ``share`` and 1 + ``share``.

    Returns:
        (B, T, D): what was at a frequency is now at that frequency times the factor.
    """
    factors = 1.0 + share * (2.0 * torch.rand(features.size(0), 1, device=features.device) - 1.0)
    sources = warped_frequencies(centres, 1.0 / factors)
    upper = torch.searchsorted(centres, sources).clamp(1, len(centres) - 1)
    below, above = centres[upper - 1], centres[upper]
    share_above = ((sources - below) / (above - below)).clamp(0.0, 1.0)[:, None, :]
    shape = features.shape
    lower_values = features.gather(2, (upper - 1)[:, None, :].expand(shape))
    upper_values = features.gather(2, upper[:, None, :].expand(shape))
    return torch.lerp(lower_values, upper_values, share_above.to(features.dtype))


def warped_frequencies(frequencies: Tensor, factors: Tensor) -> Tensor:
    """Frequencies (D,) in Hz times ``factors`` (B, 1): (B, D), with the highest left in place.

    Above 60 % of the highest (where the product or the frequency itself gets there), the curve is
    the straight line to the highest (Jaitly and Hinton 2013, equation 1; they turn at 4.8 kHz
    of 8).
    """
    top = frequencies[-1]
    knee = 0.6 * top * factors.clamp(max=1.0)
    slope = (top - knee) / (top - knee / factors)
    return torch.where(
        frequencies <= knee / factors, frequencies * factors, top - slope * (top - frequencies)
    )


def spec_augment(features: Tensor, lengths: Tensor, config: AugmentationConfig) -> Tensor:
    """Blank out random bands and stretches of time (SpecAugment without time warping).

    Args:
        features: (B, T, D) normalised, so that zero is the mean of the training set.
        lengths: (B,) frames.
        config: numbers and sizes of the masks.

    Returns:
        (B, T, D) with zeros under the masks.
    """
    batch, frames, bins = features.shape
    device = features.device

    def spans(count: int, widest: Tensor, room: Tensor, size: int) -> Tensor:
        """Union of ``count`` random spans per utterance: (B, size) bool."""
        draws = torch.rand(2, batch, count, device=device)
        width = (draws[0] * (widest.floor()[:, None] + 1.0)).floor()
        start = (draws[1] * (room[:, None] - width + 1.0)).floor()
        steps = torch.arange(size, device=device)[None, None, :]
        return ((steps >= start[..., None]) & (steps < (start + width)[..., None])).any(dim=1)

    if config.frequency_masks:
        room = torch.full((batch,), float(bins), device=device)
        widest = room.clamp(max=config.frequency_mask_bins)
        bands = spans(config.frequency_masks, widest, room, bins)
        features = features.masked_fill(bands[:, None, :], 0.0)
    if config.time_masks:
        room = lengths.float()
        widest = (room * config.time_mask_share).clamp(max=config.time_mask_frames)
        stretches = spans(config.time_masks, widest, room, frames)
        features = features.masked_fill(stretches[:, :, None], 0.0)
    return features
