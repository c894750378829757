"""What changes in the course of the training: learning rate, masks, guidance of attention."""

import math
from dataclasses import replace

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.settings import ScheduleConfig, TrainingConfig


def learning_rate_factor(config: ScheduleConfig, step: int, progress: float) -> float:
    """Share of the peak learning rate.

    Args:
        config: the schedule.
        step: optimizer steps done so far.
        progress: share of the training that is over, 0 to 1.

    Returns:
        A factor from 0 to 1.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    fall = min(max((progress - config.hold) / (1.0 - config.hold), 0.0), 1.0)
    match config.decay:
        case "linear":
            decay = 1.0 - (1.0 - config.final) * fall
        case "cosine":
            decay = config.final + (1.0 - config.final) * 0.5 * (1.0 + math.cos(math.pi * fall))
        case "inverse_sqrt":
            decay = math.sqrt(max(config.warmup_steps, 1) / max(step + 1, config.warmup_steps, 1))
        case _:
            decay = 1.0
    return warmup * decay


def attention_progress(progress: float, ctc_warmup: float) -> float:
    """Share of attention's own training that is over, 0 to 1.

    Args:
        progress: share of the whole training that is over.
        ctc_warmup: share of it that learns by CTC alone, below 1.
    """
    return min(max((progress - ctc_warmup) / (1.0 - ctc_warmup), 0.0), 1.0)


def guidance_at(progress: float, config: TrainingConfig) -> float:
    """Weight of the guided-attention loss, falling from its full value to 0.

    Args:
        progress: share of attention's own training that is over.
        config: what is learnt.
    """
    if progress >= config.guided_until:
        return 0.0
    return config.guided_attention * (1.0 - progress / config.guided_until)


def masks_at(progress: float, config: AugmentationConfig) -> AugmentationConfig:
    """The augmentation with masks of the size that they have by now.

    Args:
        progress: share of the whole training that is over.
        config: the augmentation with masks of their full size.
    """
    if progress >= config.masks_grow_until:
        return config
    share = progress / config.masks_grow_until
    return replace(
        config,
        frequency_mask_bins=round(config.frequency_mask_bins * share),
        time_mask_frames=round(config.time_mask_frames * share),
        time_mask_share=config.time_mask_share * share,
    )
