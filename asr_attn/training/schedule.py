"""The learning rate as a function of the step and of the share of the training that is over."""

import math

from asr_attn.settings import ScheduleConfig


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
