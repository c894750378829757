"""Normalisers: from energies to weights that sum to one over the real steps of the memory.

Each takes energies (..., S) that are minus infinity where nothing may be attended to, with at
least one that is not.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Normalizer = Callable[[Tensor], Tensor]


def softmax(energies: Tensor) -> Tensor:
    """Exponentials divided by their sum."""
    return energies.softmax(dim=-1)


def sigmoid(energies: Tensor) -> Tensor:
    """Sigmoids divided by their sum (Chorowski et al. 2015, section 2.3, "smoothing").

    Computed as a softmax of log-sigmoids, which stays exact where all sigmoids underflow.
    """
    blocked = energies == -torch.inf
    smoothed = torch.nn.functional.logsigmoid(energies.masked_fill(blocked, 0.0))
    return smoothed.masked_fill(blocked, -torch.inf).softmax(dim=-1)


def sparsemax(energies: Tensor) -> Tensor:
    """The nearest point of the simplex (Martins and Astudillo 2016): many weights are zero."""
    weights: Tensor = _Sparsemax.apply(energies)
    return weights


def entmax15(energies: Tensor) -> Tensor:
    """Entmax with alpha 1.5, between softmax and sparsemax (Peters, Niculae and Martins 2019)."""
    weights: Tensor = _Entmax15.apply(energies)
    return weights


class _Sparsemax(torch.autograd.Function):
    """Martins and Astudillo 2016, algorithm 1 and equation 10."""

    @staticmethod
    def forward(ctx: Any, energies: Tensor) -> Tensor:
        # what is 1 or more below the greatest gets no weight, so this changes no result
        z = (energies - energies.amax(dim=-1, keepdim=True)).clamp_(min=-2.0)
        ordered, _ = z.sort(dim=-1, descending=True)
        count = torch.arange(1, z.size(-1) + 1, device=z.device, dtype=z.dtype)
        sums = ordered.cumsum(dim=-1)
        support = (1 + count * ordered > sums).sum(dim=-1, keepdim=True)
        threshold = (sums.gather(-1, support - 1) - 1) / support
        weights = (z - threshold).clamp_(min=0.0)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        (weights,) = ctx.saved_tensors
        support = weights > 0
        gradient = gradients[0] * support
        mean = gradient.sum(dim=-1, keepdim=True) / support.sum(dim=-1, keepdim=True)
        moved: Tensor = (gradient - mean) * support
        return moved


class _Entmax15(torch.autograd.Function):
    """Peters, Niculae and Martins 2019, algorithm 2 and proposition 2."""

    @staticmethod
    def forward(ctx: Any, energies: Tensor) -> Tensor:
        # as above: a half of the distance of 2 or more gets no weight
        z = ((energies - energies.amax(dim=-1, keepdim=True)) / 2).clamp_(min=-2.0)
        ordered, _ = z.sort(dim=-1, descending=True)
        count = torch.arange(1, z.size(-1) + 1, device=z.device, dtype=z.dtype)
        mean = ordered.cumsum(dim=-1) / count
        spread = ordered.square().cumsum(dim=-1) - count * mean.square()
        thresholds = mean - ((1 - spread) / count).clamp(min=0.0).sqrt()
        support = (thresholds <= ordered).sum(dim=-1, keepdim=True)
        threshold = thresholds.gather(-1, support - 1)
        # a step of Newton's mends the rounding of the running sums
        roots = (z - threshold).clamp(min=0.0)
        excess = roots.square().sum(dim=-1, keepdim=True) - 1
        threshold = threshold + excess / (2 * roots.sum(dim=-1, keepdim=True))
        roots = (z - threshold).clamp(min=0.0)
        ctx.save_for_backward(roots)
        return roots.square()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        (roots,) = ctx.saved_tensors
        gradient = gradients[0] * roots
        mean = gradient.sum(dim=-1, keepdim=True) / roots.sum(dim=-1, keepdim=True)
        moved: Tensor = gradient - mean * roots
        return moved


NORMALIZERS: dict[str, Normalizer] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}
"""Name of a normaliser: its function."""


FIRST_WINDOW = 400
"""Memory steps that the first window holds at least: 16 to 24 s at the usual 40 to 60 ms a step."""


def window_around(previous: Tensor, back: int, ahead: int) -> Tensor:
    """Where a window around the last position lets attention look (Chorowski et al. 2015).

    Before the first step the position is the start of the memory. It is not known yet where speech
    begins, so the window then reaches ``FIRST_WINDOW`` steps ahead, past any usual silence at the
    start. Without a bound, little weights on each step of a long recording sum to more than the
    weight on its first word, and the median jumps minutes ahead.

    Args:
        previous: (B, H, S) weights of the step before; all zero before the first step.
        back: steps before the median of the last weights that may be attended to.
        ahead: steps after it.

    Returns:
        (B, H, S) bool.
    """
    half = previous.sum(dim=-1, keepdim=True) / 2
    median = (previous.cumsum(dim=-1) < half).sum(dim=-1, keepdim=True)
    steps = torch.arange(previous.size(-1), device=previous.device)
    reach = torch.where(half == 0, max(ahead, FIRST_WINDOW), ahead)
    return (steps >= median - back) & (steps <= median + reach)
