"""Soft attention, put together of a score, a normaliser and what moves it along the memory."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr_attn.nn.attention.dynamics import DYNAMICS, Dynamics
from asr_attn.nn.attention.interface import (
    AttentionConfig,
    AttentionKeys,
    AttentionState,
    at_least_float32,
    empty_state,
)
from asr_attn.nn.attention.normalizers import NORMALIZERS, window_around
from asr_attn.nn.attention.sampling import DRAWS
from asr_attn.nn.attention.scores import SCORES, LocationScore, Score
from asr_attn.nn.attention.values import Values
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.masking import padding_mask


@dataclass(frozen=True)
class SoftAttentionConfig(AttentionConfig):
    """Settings of soft attention; a name stands for a choice of them."""

    name: str = "location"
    score: str = "location"
    """How query and memory are compared: dot, scaled_dot, general, cosine, additive, location or
    coverage."""
    size: int = 128
    """Width A of the space where they are compared, over all heads (general has the query's)."""
    heads: int = 1
    """Heads H, each with weights of its own."""
    channels: int = 16
    """Filters over the weights of earlier steps, per head (location)."""
    kernel_size: int = 31
    """Memory steps that such a filter sees; odd."""
    normalizer: str = "softmax"
    """From energies to weights: softmax, sigmoid (smoothed), sparsemax or entmax15."""
    temperature: float = 1.0
    """Energies are divided by it: below 1 sharpens, above 1 smooths."""
    window_back: int = -1
    """Attend only to so many memory steps before the median of the last weights; -1: to all."""
    window_ahead: int = -1
    """Attend only to so many memory steps after it; -1: to all."""
    dynamics: str = "none"
    """What moves attention from step to step: none, forward, forward_agent or stepwise."""
    reach: int = 16
    """Most memory steps that forward and stepwise dynamics move per token."""
    draw: str = "none"
    """Attend to one step drawn at random (hard attention), learnt by: gumbel or score_function;
    none attends to all steps by their weights."""
    dropout: float = 0.0
    """Probability of dropout on the weights."""

    def __post_init__(self) -> None:
        for key, known in (
            ("score", SCORES),
            ("normalizer", NORMALIZERS),
            ("dynamics", ("none", *DYNAMICS)),
            ("draw", DRAWS),
        ):
            value = getattr(self, key)
            if value not in known:
                raise ValueError(f"attention.{key}={value!r} is not one of {', '.join(known)}")
        if min(self.size, self.heads, self.channels, self.kernel_size, self.reach) < 1:
            raise ValueError(
                "attention.size, heads, channels, kernel_size and reach must be at least 1"
            )
        if self.size % self.heads:
            raise ValueError(
                f"attention.size={self.size} must be a multiple of attention.heads={self.heads}"
            )
        if self.kernel_size % 2 == 0:
            raise ValueError(f"attention.kernel_size must be odd, not {self.kernel_size}")
        if self.temperature <= 0 or min(self.window_back, self.window_ahead) < -1:
            raise ValueError(
                "attention.temperature must be above 0, and attention.window_back and window_ahead "
                "at least 0 (or -1 for no window)"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"attention.dropout must be at least 0 and below 1: {self.dropout}")
        if self.dynamics == "stepwise" and self.normalizer != "softmax":
            raise ValueError(
                "attention.dynamics=stepwise turns energies into probabilities to stay, so "
                "attention.normalizer has no part in it; leave it at softmax"
            )
        if self.dynamics == "stepwise" and max(self.window_back, self.window_ahead) >= 0:
            raise ValueError(
                "attention.dynamics=stepwise only moves ahead by attention.reach, so "
                "attention.window_back and window_ahead have no part in it; leave them at -1"
            )


class SoftAttention(nn.Module):
    """Score, normalise, move, and sum up.

    Args:
        query_size: Q.
        memory_size: D, a multiple of the heads.
        config: what it is put together of.

    Raises:
        ValueError: sizes that cannot be cut into the heads.
    """

    def __init__(self, query_size: int, memory_size: int, config: SoftAttentionConfig) -> None:
        super().__init__()
        if config.score == "general" and query_size % config.heads:
            raise ValueError(
                f"attention.heads={config.heads} must divide the decoder's width {query_size} with "
                "attention.score=general"
            )
        self.config = config
        self.score = _make_score(query_size, memory_size, config)
        self.values = Values(memory_size, config.heads)
        self.dynamics: Dynamics | None = None
        if config.dynamics != "none":
            self.dynamics = DYNAMICS[config.dynamics](query_size + memory_size, config)
        self.dropout = Dropout(config.dropout)

    def prepare(self, memory: Tensor, lengths: Tensor) -> AttentionKeys:
        """Project the memory (B, S, D) of ``lengths`` (B,) once."""
        keys, mask = self.score.keys(memory), padding_mask(lengths, memory.size(1))
        return AttentionKeys(keys, self.values(memory), mask, loop=self.score.loop(keys))

    def initial_state(self, keys: AttentionKeys) -> AttentionState:
        """Nothing attended to yet."""
        state = empty_state(keys)
        return state if self.dynamics is None else self.dynamics.initial_state(state)

    def forward(
        self, query: Tensor, keys: AttentionKeys, state: AttentionState
    ) -> tuple[Tensor, Tensor, AttentionState]:
        """Attend once.

        Args:
            query: (B, Q).
            keys: from ``prepare``.
            state: from ``initial_state`` or the step before.

        Returns:
            context (B, D), weights (B, H, S) that sum to one over the real steps, new state.
        """
        allowed = self._allowed(keys.allowed, state)
        energies = self.score(query, keys, state, allowed if self._windowed else None)
        energies = energies.to(at_least_float32(energies.dtype)) / self.config.temperature
        if self.dynamics is None:
            weights = NORMALIZERS[self.config.normalizer](
                energies.masked_fill(~allowed, -torch.inf)
            )
        else:
            weights = self.dynamics(energies, allowed, state)
        used, choice = DRAWS[self.config.draw](weights, self.training)
        context = self.values.context(self.dropout(used), keys)
        own = state.own
        if self.dynamics is not None:
            own = self.dynamics.remember(torch.cat([query, context.to(query.dtype)], -1), own)
        return context, used, AttentionState(used, state.total + used, own, choice)

    @property
    def _windowed(self) -> bool:
        return max(self.config.window_back, self.config.window_ahead) >= 0

    def _allowed(self, allowed: Tensor, state: AttentionState) -> Tensor:
        """Where of (N, 1, S) attention may look: (N, H, S), or (N, 1, S) without a window."""
        if not self._windowed:
            return allowed
        back, ahead = self.config.window_back, self.config.window_ahead
        steps = allowed.size(2)
        window = window_around(
            state.previous, back if back >= 0 else steps, ahead if ahead >= 0 else steps
        )
        return allowed & window


def _make_score(query_size: int, memory_size: int, config: SoftAttentionConfig) -> Score:
    sizes = (query_size, memory_size, config.size, config.heads)
    if config.score == "location":
        return LocationScore(*sizes, config.channels, config.kernel_size)
    return SCORES[config.score](*sizes)
