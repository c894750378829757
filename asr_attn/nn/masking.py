"""Masks and moves over padded batches; the only place where lengths become masks."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Span:
    """How far a step of self-attention sees; -1 stands for no limit.

    Attributes:
        back: steps before itself.
        ahead: steps after itself; 0 is causal attention.
        chunk: steps per chunk, where each step sees the whole of its own chunk and nothing after;
            0 for no chunks.
        left_chunks: chunks seen before its own.
    """

    back: int = -1
    ahead: int = -1
    chunk: int = 0
    left_chunks: int = -1

    def allowed(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether step ``query`` sees step ``key``: bool, of the shape they broadcast to."""
        seen = torch.ones_like(query - key, dtype=torch.bool)
        if self.back >= 0:
            seen = seen & (query - key <= self.back)
        if self.ahead >= 0:
            seen = seen & (key - query <= self.ahead)
        if self.chunk:
            chunks_back = query // self.chunk - key // self.chunk
            seen = seen & (chunks_back >= 0)
            if self.left_chunks >= 0:
                seen = seen & (chunks_back <= self.left_chunks)
        return seen


UNLIMITED = Span()
"""Every step sees every step."""


def attention_mask(lengths: Tensor, size: int, span: Span = UNLIMITED) -> Tensor:
    """Mark which steps each step of self-attention may see.

    No row is empty, since a softmax over nothing is NaN: a padded step sees at least itself, and an
    empty sequence its first step.

    Args:
        lengths: (B,) number of valid steps of each sequence.
        size: T, steps of the padded batch.
        span: how far a step sees.

    Returns:
        bool, (B, T, T), True where step (axis 1) sees step (axis 2); (B, 1, T) where all steps see
        the same.
    """
    real = padding_mask(lengths.clamp(min=1), size)[:, None, :]
    if span == UNLIMITED:
        return real
    steps = torch.arange(size, device=lengths.device)
    query, key = steps[:, None], steps[None, :]
    return real & span.allowed(query, key) | (query == key)
