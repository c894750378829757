"""Dropout whose random numbers cost little on a CPU."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Drop elements with probability ``p``, on a CPU from random bytes instead of random floats.

    One 64-bit draw gives eight decisions, which is several times cheaper than ``bernoulli_``.
    There ``p`` is rounded to a multiple of 1/256, and the scale of what is kept follows the rounded
    value, so the expectation is exact. On other devices torch's own dropout is used.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise ValueError(f"dropout must be at least 0 and below 1, not {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of ``x`` (any shape) in training; the identity otherwise."""
        threshold = min(round(self.p * 256), 255)
        if not self.training or threshold == 0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
        return x * keep.to(x.dtype).mul_(256 / (256 - threshold))

    def extra_repr(self) -> str:
        """Show the probability in ``print(model)``."""
        return f"p={self.p}"
