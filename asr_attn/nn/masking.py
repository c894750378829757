"""Masks and moves over padded batches; the only place where lengths become masks."""

import torch
from torch import Tensor


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """Mark what is real in a padded batch.

    Args:
        lengths: (B,) number of valid steps of each sequence.
        size: steps of the padded batch.

    Returns:
        (B, size) bool, True where a step is valid.
    """
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def zero_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """Set the padded steps of ``x`` (B, T, ...) to zero."""
    mask = padding_mask(lengths, x.size(1))
    return x.masked_fill(~mask.reshape(*mask.shape, *[1] * (x.dim() - 2)), 0.0)


def reverse_padded(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence within its own length and leave its padding where it is.

    Args:
        x: (B, T, D).
        lengths: (B,).

    Returns:
        (B, T, D); applying the function twice gives ``x`` back.
    """
    steps = torch.arange(x.size(1), device=x.device)[None, :]
    index = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return x.gather(1, index[:, :, None].expand(-1, -1, x.size(2)))
