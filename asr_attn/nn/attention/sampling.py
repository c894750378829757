"""Hard attention: one step of the memory is drawn at random (Xu et al. 2015)."""

from collections.abc import Callable

import torch
from torch import Tensor

from asr_attn.nn.categorical import sample

SMALLEST = 1e-20
"""Weights below count as this where their logarithm is taken."""


def all_steps(weights: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Soft attention: the weights as they are, and no choice."""
    return weights, weights.new_zeros(weights.shape[:-1])


def gumbel(weights: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Draw a step, with the gradient of the weights (straight-through Gumbel, Jang et al. 2017).

    Args:
        weights: (B, H, S) probabilities.
        training: draw; otherwise the likeliest step is taken.

    Returns:
        (B, H, S) one at the drawn step and zero elsewhere, whose gradient is that of the softmax
        of log-weights and Gumbel noise; and zeros (B, H).
    """
    if not training:
        return _one_hot(weights.argmax(-1), weights), weights.new_zeros(weights.shape[:-1])
    noise = -torch.empty_like(weights).exponential_().clamp(min=SMALLEST).log()
    blocked = weights <= 0
    perturbed = weights.clamp(min=SMALLEST).log() + noise
    relaxed = perturbed.masked_fill(blocked, -torch.inf).softmax(dim=-1)
    drawn = _one_hot(relaxed.argmax(-1), weights)
    return drawn + (relaxed - relaxed.detach()), weights.new_zeros(weights.shape[:-1])


def score_function(weights: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Draw a step; it is learnt by the gradient of its log-probability (Williams 1992).

    Args:
        weights: (B, H, S) probabilities.
        training: draw; otherwise the likeliest step is taken.

    Returns:
        (B, H, S) one at the drawn step and zero elsewhere, without a gradient; and the
        log-probability (B, H) of the drawn step, whose gradient is to be weighted by a reward.
    """
    step = sample(weights) if training else weights.argmax(-1)
    probability = weights.gather(-1, step[..., None]).squeeze(-1)
    return _one_hot(step, weights), probability.clamp(min=SMALLEST).log()


def _one_hot(step: Tensor, like: Tensor) -> Tensor:
    return torch.zeros_like(like).scatter(-1, step[..., None], 1.0)


DRAWS: dict[str, Callable[[Tensor, bool], tuple[Tensor, Tensor]]] = {
    "none": all_steps,
    "gumbel": gumbel,
    "score_function": score_function,
}
"""Name of a way to learn hard attention: its function."""
