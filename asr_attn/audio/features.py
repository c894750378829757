"""Log-mel features, computed inside the model so that training and transcribing share one path."""

import math
from dataclasses import dataclass

import torch
import torchaudio
from torch import Tensor, nn

from asr_attn.nn.masking import padding_mask, zero_padding

LOG_FLOOR = 1e-8
"""Mel power that counts as silence: speech 80 dB below full scale is still above it."""
NORMALIZATIONS = ("global", "utterance", "speech")
LEAST_DEVIATION = 1.0
"""Floor under the deviation of a band (natural logarithm of power; speech has 2 to 5). A band that
hardly varies, such as those above 4 kHz in telephone speech, would otherwise be scaled up
thousandfold where a recording does have sound in it."""
LOUD_SECONDS = 0.05
"""The level of an utterance is the one that so many seconds of it reach: longer than a click, and
shorter than any word."""
SPEECH_RANGE = 15.0 / 10.0 * math.log(10.0)
"""Frames up to 15 dB below that level count as speech (natural logarithm of power)."""


@dataclass(frozen=True)
class FeaturesConfig:
    """Settings of the log-mel features."""

    sample_rate: int = 16000
    """Samples per second the model works at; audio is resampled to it."""
    n_mels: int = 80
    """Mel bands D."""
    window_ms: float = 25.0
    """Length of a Hann window in milliseconds."""
    hop_ms: float = 10.0
    """Milliseconds from one frame to the next."""
    min_hz: float = 20.0
    """Lower edge of the lowest band."""
    max_hz: float | None = None
    """Upper edge of the highest band; half the sample rate when not given."""
    normalization: str = "global"
    """``global``: by mean and deviation of the training set. ``utterance``: the mean of the
    utterance is subtracted as well, which removes the coloring of microphone and room. ``speech``:
    the same with the mean over the frames that carry speech, so that silence around the speech
    does not shift its features."""

    def __post_init__(self) -> None:
        if self.sample_rate < 1000:
            raise ValueError(f"features.sample_rate is at least 1000 Hz, not {self.sample_rate}")
        if self.normalization not in NORMALIZATIONS:
            raise ValueError(
                f"features.normalization={self.normalization!r} is not one of "
                f"{', '.join(NORMALIZATIONS)}"
            )
        if self.n_mels < 1 or self.hop_ms <= 0 or self.window_ms < self.hop_ms:
            raise ValueError(
                "features need n_mels >= 1 and window_ms >= hop_ms > 0, not "
                f"n_mels={self.n_mels}, window_ms={self.window_ms}, hop_ms={self.hop_ms}"
            )
        top = self.max_hz if self.max_hz is not None else self.sample_rate / 2
        if not 0 <= self.min_hz < top <= self.sample_rate / 2:
            raise ValueError(
                "features need 0 <= min_hz < max_hz <= sample_rate / 2, not "
                f"min_hz={self.min_hz}, max_hz={top}, sample_rate={self.sample_rate}"
            )

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return round(self.sample_rate * self.hop_ms / 1000)

    @property
    def window_length(self) -> int:
        """Samples in one window."""
        return round(self.sample_rate * self.window_ms / 1000)


class LogMel(nn.Module):
    """Natural logarithm of mel-band power, normalised by the training set's mean and deviation.

    Slaney's mel scale and area normalisation, as librosa computes by default. Frames are centred
    and the ends padded with zeros, which is what padding in a batch looks like, so an utterance
    gives the same features alone and in any batch.
    """

    window: Tensor
    bank: Tensor
    centres: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: FeaturesConfig) -> None:
        super().__init__()
        self.config = config
        self.hop_length = config.hop_length
        n_fft = 1 << (config.window_length - 1).bit_length()
        self.n_fft = n_fft
        bank = _mel_bank(config, n_fft // 2 + 1)
        self.register_buffer("window", torch.hann_window(config.window_length), persistent=False)
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("centres", _band_centres(config), persistent=False)
        self.register_buffer("mean", torch.zeros(config.n_mels))
        self.register_buffer("deviation", torch.ones(config.n_mels))

    def log_mel(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features before normalisation; arguments and shapes as in ``forward``."""
        with torch.autocast(waveforms.device.type, enabled=False):
            spectrum = torch.stft(
                waveforms.float(),
                self.n_fft,
                self.hop_length,
                self.config.window_length,
                self.window,
                pad_mode="constant",
                return_complex=True,
            )
            # a third of the cost of the square of the absolute value
            power = spectrum.real.square() + spectrum.imag.square()
            features = torch.matmul(power.transpose(1, 2), self.bank).clamp_(min=LOG_FLOOR).log_()
        return features, lengths // self.hop_length + 1

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute normalised features.

        Args:
            waveforms: (B, samples), zero where padded.
            lengths: (B,) samples of each.

        Returns:
            (B, T, n_mels), zero where padded, and (B,) frames of each: ``samples // hop + 1``.
        """
        raw, frames = self.log_mel(waveforms, lengths)
        features = zero_padding((raw - self.mean) / self.deviation, frames)
        if self.config.normalization != "global":
            counted = padding_mask(frames, features.size(1))
            if self.config.normalization == "speech":
                counted = speech_frames(raw, counted, self.config.hop_ms / 1000)
            mean = (features * counted[..., None]).sum(dim=1) / counted.sum(dim=1)[:, None]
            features = zero_padding(features - mean[:, None], frames)
        return features, frames

    def fit(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        """Set mean and deviation (per band) from batches of waveforms and their lengths."""
        rows = []
        for waveforms, lengths in batches:
            features, frames = self.log_mel(waveforms, lengths)
            rows.append(features[padding_mask(frames, features.size(1))])
        frames_all = torch.cat(rows)
        self.mean.copy_(frames_all.mean(dim=0))
        self.deviation.copy_(frames_all.std(dim=0, correction=0).clamp(min=LEAST_DEVIATION))


def speech_frames(log_mel: Tensor, real: Tensor, seconds_per_frame: float) -> Tensor:
    """Mark the loud frames of each utterance, by a level that added silence does not change.

    The level is the one that ``LOUD_SECONDS`` of an utterance reach. A number of seconds instead of
    a share, in short utterances too, keeps it as it is when silence is added.

    Args:
        log_mel: (B, T, D) natural logarithm of mel-band power.
        real: (B, T) True where there is no padding.
        seconds_per_frame: seconds from one frame to the next.

    Returns:
        (B, T) bool; at least one frame of each utterance.
    """
    levels = log_mel.logsumexp(dim=2).masked_fill(~real, -torch.inf)
    most = max(1, round(LOUD_SECONDS / seconds_per_frame))
    loudest = levels.topk(min(most, levels.size(1)), dim=1).values
    count = real.sum(dim=1).clamp(1, loudest.size(1))
    level = loudest.gather(1, count[:, None] - 1)
    return levels >= level - SPEECH_RANGE


def _mel_bank(config: FeaturesConfig, frequencies: int) -> Tensor:
    """Weights (frequencies, D) of each band at equally spaced frequencies up to half the rate."""
    bank: Tensor = torchaudio.functional.melscale_fbanks(
        frequencies,
        f_min=config.min_hz,
        f_max=config.max_hz if config.max_hz is not None else config.sample_rate / 2,
        n_mels=config.n_mels,
        sample_rate=config.sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return bank


def _band_centres(config: FeaturesConfig) -> Tensor:
    """Frequency (D,) in Hz at which each band weighs most, to about 1 Hz."""
    size = config.sample_rate // 2
    peaks = _mel_bank(config, size + 1).argmax(dim=0)
    return peaks * (config.sample_rate / 2 / size)
