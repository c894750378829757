"""Attention as a mixture of Gaussians over positions, whose means only move forward."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from asr_attn.nn.attention.interface import (
    AttentionConfig,
    AttentionKeys,
    AttentionState,
    at_least_float32,
    empty_state,
)
from asr_attn.nn.attention.values import Values
from asr_attn.nn.masking import padding_mask

VARIANTS = ("exponential", "softplus")
LARGEST_LOG = 12.0
"""Exponents are at most this, so that a step or a width is at most some 160 000 memory steps."""
NARROWEST = 0.1
"""Least deviation of a component in memory steps; narrower ones fall between two steps."""


@dataclass(frozen=True)
class MixtureAttentionConfig(AttentionConfig):
    """Settings of attention by a mixture of Gaussians."""

    name: str = "gmm"
    variant: str = "exponential"
    """What makes steps and widths positive: exponential (Graves 2013) or softplus (Battenberg et
    al. 2020, version 2)."""
    components: int = 5
    """Gaussians K per head."""
    size: int = 128
    """Width of the network that reads the query."""
    heads: int = 1
    """Heads H, each with a mixture of its own."""
    step: float = 3.0
    """Memory steps that the means move per token before anything is learnt."""
    width: float = 4.0
    """Deviation of the components in memory steps before anything is learnt."""

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(
                f"attention.variant={self.variant!r} is not one of {', '.join(VARIANTS)}"
            )
        if min(self.components, self.size, self.heads) < 1:
            raise ValueError("attention.components, size and heads must be at least 1")
        if self.step <= 0 or self.width <= NARROWEST:
            raise ValueError(
                f"attention.step must be above 0 and attention.width above {NARROWEST}, not "
                f"step={self.step}, width={self.width}"
            )


class MixtureAttention(nn.Module):
    """Location-relative attention: what is in the memory plays no part in where to look.

    From the query, a network gives each component a weight, a width and a step; its mean is the
    one before plus the step. The exponential variant is Graves 2013, equations 48 to 51,
    ``w_s ~ sum over k of exp(a_k) exp(-exp(b_k) (mean_k - s)^2)``; the softplus variant Battenberg
    et al. 2020, version 2, a softmax of ``a`` over normalised Gaussians. Both are divided by their
    sum over the real steps: unlike in the papers the weights sum to one, so that the context does
    not fade at the end of the memory.

    Args:
        query_size: Q.
        memory_size: D, a multiple of the heads.
        config: sizes.

    Raises:
        ValueError: the memory's width cannot be cut into the heads.
    """

    def __init__(self, query_size: int, memory_size: int, config: MixtureAttentionConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Linear(query_size, config.size)
        self.output = nn.Linear(config.size, 3 * config.heads * config.components)
        self.values = Values(memory_size, config.heads)
        self._start_from(config)

    @torch.no_grad()
    def _start_from(self, config: MixtureAttentionConfig) -> None:
        """Set biases so that untrained means step and spread as the settings say."""
        if config.variant == "exponential":
            width, step = -math.log(2.0 * config.width**2), math.log(config.step)
        else:
            width = _softplus_inverse(config.width - NARROWEST)
            step = _softplus_inverse(config.step)
        self.output.weight.mul_(0.1)
        bias = self.output.bias.view(3, config.heads, config.components)
        for row, value in zip(bias, (0.0, width, step)):
            row.fill_(value)

    def prepare(self, memory: Tensor, lengths: Tensor) -> AttentionKeys:
        """Cut the memory (B, S, D) of ``lengths`` (B,) into heads; there are no keys."""
        values = self.values(memory)
        mask = padding_mask(lengths, memory.size(1))
        return AttentionKeys(values[..., :0], values, mask)

    def initial_state(self, keys: AttentionKeys) -> AttentionState:
        """Means at the start of the memory."""
        return empty_state(keys, own=self.config.components)

    def forward(
        self, query: Tensor, keys: AttentionKeys, state: AttentionState
    ) -> tuple[Tensor, Tensor, AttentionState]:
        """Attend once.

        Args:
            query: (B, Q).
            keys: from ``prepare``.
            state: from ``initial_state`` or the step before; ``own`` (B, H, K) are the means.

        Returns:
            context (B, D), weights (B, H, S) that sum to one over the real steps, new state.
        """
        drawn: Tensor = self.output(self.hidden(query).tanh())
        drawn = drawn.to(at_least_float32(drawn.dtype))
        shape = (len(query), 3, self.config.heads, self.config.components)
        weight, width, step = drawn.reshape(shape).unbind(1)
        if self.config.variant == "exponential":
            means = state.own + step.clamp(max=LARGEST_LOG).exp()
            precision = width.clamp(-2 * LARGEST_LOG, LARGEST_LOG).exp()
            log_scale = weight
        else:
            means = state.own + nn.functional.softplus(step)
            deviation = NARROWEST + nn.functional.softplus(width)
            precision = 0.5 / deviation.square()
            log_scale = weight.log_softmax(dim=-1) - deviation.log()
        positions = torch.arange(keys.mask.size(1), device=query.device, dtype=means.dtype)
        distance = means[..., None] - positions  # (B, H, K, S)
        log_density = log_scale[..., None] - precision[..., None] * distance.square()
        energies = log_density.logsumexp(dim=-2).masked_fill(~keys.allowed, -torch.inf)
        weights = energies.softmax(dim=-1)
        context = self.values.context(weights, keys)
        new = replace(state, previous=weights, total=state.total + weights, own=means)
        return context, weights, new


def _softplus_inverse(value: float) -> float:
    return value + math.log(-math.expm1(-value))  # log(expm1(value)), which would overflow
