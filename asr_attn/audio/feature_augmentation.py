"""Augmentation of features: frequencies and times are moved, parts are masked."""

import torch
from torch import Tensor

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.nn.masking import zero_padding

MOST_TIME_MASKS = 20
"""Per utterance, where their number grows with its length (Park et al. 2020, section 2.2)."""

ROUNDING = 1e-4
"""Keeps products such as 0.04 * 25 from falling below the whole number that they are."""


def perturb_features(
    features: Tensor,
    lengths: Tensor,
    centres: Tensor,
    config: AugmentationConfig,
    views: int = 1,
) -> Tensor:
    """Vary features as ``config`` says; what is off costs nothing.

    Args:
        features: (B, T, D) normalised log-mel features, zero where padded.
        lengths: (B,) frames.
        centres: (D,) centre frequency of each band in Hz, rising.
        config: what is varied, and how much.
        views: how often each utterance is varied. What moves times is the same in all views of an
            utterance, so that their frames stand for the same moments.

    Returns:
        (B * views, T, D), zero where padded: all utterances, then all of them again.
    """
    if config.time_warp_frames:
        features = warp_time(features, lengths, config.time_warp_frames)
    if views > 1:
        features, lengths = features.repeat(views, 1, 1), lengths.repeat(views)
    if config.vocal_tract:
        features = perturb_vocal_tract(features, centres, config.vocal_tract)
    return spec_augment(features, lengths, config)


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


def warp_time(features: Tensor, lengths: Tensor, reach: float) -> Tensor:
    """Move a random moment of each utterance, and what is around it (Park et al. 2019).

    A moment at least ``reach`` frames from both ends moves by up to that many frames either way;
    first and last frame stay, and what lies between is stretched or squeezed evenly. In an
    utterance that is too short the reach is as large as there is room for.

    Args:
        features: (B, T, D), zero where padded.
        lengths: (B,) frames.
        reach: greatest distance in frames.

    Returns:
        (B, T, D), zero where padded.
    """
    last = (lengths - 1).to(torch.float32)
    room = (last / 2).clamp(max=reach)
    draws = torch.rand(2, len(lengths), device=features.device)
    moment = room + draws[0] * (last - 2 * room)
    target = moment + (2 * draws[1] - 1) * room
    return resample_time(features, lengths, moved_times(features.size(1), last, moment, target))


def moved_times(size: int, last: Tensor, moment: Tensor, target: Tensor) -> Tensor:
    """Where each frame comes from when ``moment`` moves to ``target``.

    Args:
        size: T.
        last: (B,) last frame of each utterance.
        moment: (B,) source, between 0 and ``last``.
        target: (B,) where it goes, between 0 and ``last``.

    Returns:
        (B, T): times in frames, between 0 and ``last``; linear on both sides of ``target``.
    """
    frames = torch.arange(size, device=last.device, dtype=last.dtype)[None, :]
    last, moment, target = last[:, None], moment[:, None], target[:, None]
    before = frames * (moment / target.clamp(min=1e-6))
    after = last - (last - frames) * ((last - moment) / (last - target).clamp(min=1e-6))
    return torch.where(frames <= target, before, after).clamp(min=0.0).minimum(last)


def resample_time(features: Tensor, lengths: Tensor, times: Tensor) -> Tensor:
    """Features (B, T, D) at ``times`` (B, T), in frames, by linear interpolation."""
    lower = times.floor()
    share = (times - lower)[:, :, None].to(features.dtype)
    index = lower.long()[:, :, None].expand(features.shape)
    last = (lengths - 1)[:, None, None]
    moved = torch.lerp(
        features.gather(1, index), features.gather(1, (index + 1).minimum(last)), share
    )
    return zero_padding(moved, lengths)


def spec_augment(features: Tensor, lengths: Tensor, config: AugmentationConfig) -> Tensor:
    """Blank out random bands and stretches of time (SpecAugment, Park et al. 2019).

    Args:
        features: (B, T, D) normalised, so that zero is the mean of the training set.
        lengths: (B,) frames.
        config: numbers and sizes of the masks.

    Returns:
        (B, T, D) with zeros under the masks.
    """
    batch, frames, bins = features.shape
    if config.frequency_masks:
        room = torch.full((batch,), float(bins), device=features.device)
        widest = room.clamp(max=config.frequency_mask_bins)
        bands = _random_spans(config.frequency_masks, widest, room, bins)
        features = features.masked_fill(bands[:, None, :], 0.0)
    if config.time_masks_per_frame:
        numbers, widest = adaptive_time_masks(lengths, config)
        most = min(int(frames * config.time_masks_per_frame + ROUNDING), MOST_TIME_MASKS)
        stretches = _random_spans(most, widest, lengths.float(), frames, numbers)
        features = features.masked_fill(stretches[:, :, None], 0.0)
    elif config.time_masks:
        room = lengths.float()
        widest = (room * config.time_mask_share).clamp(max=config.time_mask_frames)
        stretches = _random_spans(config.time_masks, widest, room, frames)
        features = features.masked_fill(stretches[:, :, None], 0.0)
    return features


def adaptive_time_masks(lengths: Tensor, config: AugmentationConfig) -> tuple[Tensor, Tensor]:
    """Number and greatest length of time masks by the length of the utterance (Park et al. 2020).

    Returns:
        (B,) numbers, at most ``MOST_TIME_MASKS``, and (B,) frames.
    """
    frames = lengths.float()
    numbers = (frames * config.time_masks_per_frame + ROUNDING).floor().clamp(max=MOST_TIME_MASKS)
    return numbers.long(), (frames * config.time_mask_share + ROUNDING).floor()


def _random_spans(
    count: int, widest: Tensor, room: Tensor, size: int, counts: Tensor | None = None
) -> Tensor:
    """Union of random spans.

    Args:
        count: spans per utterance, or the most of them.
        widest: (B,) greatest width of a span.
        room: (B,) all spans are inside it.
        size: of the result.
        counts: (B,) spans of each utterance, where they differ.

    Returns:
        (B, size) bool.
    """
    draws = torch.rand(2, len(room), count, device=room.device)
    width = (draws[0] * (widest.floor()[:, None] + 1.0)).floor()
    start = (draws[1] * (room[:, None] - width + 1.0)).floor()
    if counts is not None:
        width = width * (torch.arange(count, device=room.device) < counts[:, None])
    steps = torch.arange(size, device=room.device)[None, None, :]
    return ((steps >= start[..., None]) & (steps < (start + width)[..., None])).any(dim=1)
