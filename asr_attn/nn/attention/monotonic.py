"""Monotonic attention: expected alignments in training, hard left-to-right ones in decoding."""

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
from asr_attn.nn.attention.scores import AdditiveScore
from asr_attn.nn.attention.values import Values
from asr_attn.nn.masking import padding_mask


@dataclass(frozen=True)
class MonotonicAttentionConfig(AttentionConfig):
    """Settings of monotonic attention."""

    name: str = "monotonic"
    size: int = 128
    """Width A of the space where queries and keys are compared, over all heads."""
    heads: int = 1
    """Heads H, each with an alignment of its own."""
    chunk: int = 1
    """Memory steps, up to the one stopped at, that are attended to softly: 1 attends to that one
    alone (Raffel et al. 2017), more is MoChA (Chiu and Raffel 2018)."""
    bias: float = -1.0
    """Energy of stopping before anything is learnt: below 0 attention looks ahead at first."""
    noise: float = 1.0
    """Deviation of noise on the energies in training, which makes the decisions hard."""

    def __post_init__(self) -> None:
        if min(self.size, self.heads, self.chunk) < 1 or self.noise < 0:
            raise ValueError(
                "attention.size, heads and chunk must be at least 1, attention.noise at least 0"
            )
        if self.size % self.heads:
            raise ValueError(
                f"attention.size={self.size} must be a multiple of attention.heads={self.heads}"
            )


class StopScore(AdditiveScore):
    """Energies of stopping: additive, with a learnt length and offset (Raffel et al. 2017, eq. 16).

    Args:
        query_size: Q.
        memory_size: D.
        size: A.
        heads: H.
        bias: offset to start from.
    """

    def __init__(
        self, query_size: int, memory_size: int, size: int, heads: int, bias: float
    ) -> None:
        super().__init__(query_size, memory_size, size, heads)
        self.length = nn.Parameter(torch.full((heads,), (size / heads) ** -0.5))
        self.offset = nn.Parameter(torch.full((heads,), bias))

    def forward(
        self,
        query: Tensor,
        keys: AttentionKeys,
        state: AttentionState,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """Energies (B, H, S)."""
        length: Tensor = self.length / self.energy.norm(dim=-1)
        energies = super().forward(query, keys, state)
        return length[:, None] * energies + self.offset[:, None]


class MonotonicAttention(nn.Module):
    """Walk along the memory and stop at a step, from where the next token walks on.

    In training the weights are those expected over all such walks; otherwise the first step from
    the last one on is taken whose probability of stopping is a half or more. Where none is, the
    context is zero, and so are the weights.

    Args:
        query_size: Q.
        memory_size: D, a multiple of the heads.
        config: sizes.

    Raises:
        ValueError: the memory's width cannot be cut into the heads.
    """

    def __init__(self, query_size: int, memory_size: int, config: MonotonicAttentionConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (query_size, memory_size, config.size, config.heads)
        self.stop = StopScore(*sizes, config.bias)
        self.chunk_score = AdditiveScore(*sizes) if config.chunk > 1 else None
        self.values = Values(memory_size, config.heads)

    def prepare(self, memory: Tensor, lengths: Tensor) -> AttentionKeys:
        """Project the memory (B, S, D) of ``lengths`` (B,) once, for both scores side by side."""
        keys = self.stop.keys(memory)
        if self.chunk_score is not None:
            keys = torch.cat([keys, self.chunk_score.keys(memory)], dim=-1)
        mask = padding_mask(lengths, memory.size(1))
        return AttentionKeys(keys, self.values(memory), mask)

    def initial_state(self, keys: AttentionKeys) -> AttentionState:
        """Standing at the first step of the memory: ``own`` (B, H, S) is where the walk is."""
        state = empty_state(keys)
        first = torch.zeros_like(state.previous)
        first[..., 0] = 1.0
        return replace(state, own=first)

    def forward(
        self, query: Tensor, keys: AttentionKeys, state: AttentionState
    ) -> tuple[Tensor, Tensor, AttentionState]:
        """Attend once.

        Args:
            query: (B, Q).
            keys: from ``prepare``.
            state: from ``initial_state`` or the step before.

        Returns:
            context (B, D), weights (B, H, S) that sum to at most one, new state.
        """
        width = self.config.size // self.config.heads
        energies = self.stop(query, replace(keys, keys=keys.keys[..., :width], loop=None), state)
        energies = energies.to(at_least_float32(energies.dtype))
        if self.training and self.config.noise:
            energies = energies + self.config.noise * torch.randn_like(energies)
        stop = energies.sigmoid().masked_fill(~keys.allowed, 0.0)
        step = expected_stops(stop, state.own) if self.training else first_stops(stop, state.own)
        weights = step
        if self.chunk_score is not None:
            own = replace(keys, keys=keys.keys[..., width:], loop=None)
            chunk = self.chunk_score(query, own, state)
            weights = spread_over_chunks(step, chunk.to(step.dtype), self.config.chunk)
        context = self.values.context(weights, keys)
        new = replace(state, previous=weights, total=state.total + weights, own=step)
        return context, weights, new


def expected_stops(stop: Tensor, before: Tensor) -> Tensor:
    """Where a walk is expected to stop (Raffel et al. 2017, equation 11).

    ``q_s = (1 - stop_(s-1)) q_(s-1) + before_s`` is the probability to look at step ``s``, and
    ``stop_s q_s`` that to stop there. The recurrence is unrolled by doubling, in about ``log2 S``
    operations on whole tensors; unlike the paper's closed form it divides by nothing, so it is
    exact for probabilities of 0 and 1.

    Args:
        stop: (B, H, S) probability of stopping at each step that is looked at.
        before: (B, H, S) where the walk was, probabilities that sum to at most one.

    Returns:
        (B, H, S), which sums to at most one: the rest walks past the end.
    """
    carry = nn.functional.pad(1.0 - stop[..., :-1], (1, 0))
    looked = before
    distance = 1
    while distance < stop.size(-1):
        looked = looked + carry * nn.functional.pad(looked[..., :-distance], (distance, 0))
        carry = carry * nn.functional.pad(carry[..., :-distance], (distance, 0))
        distance *= 2
    return stop * looked


def first_stops(stop: Tensor, before: Tensor) -> Tensor:
    """Where a walk stops when every decision is the likelier one.

    Args:
        stop: (B, H, S) probability of stopping at each step.
        before: (B, H, S) one where the walk was, or all zero when it had walked past the end.

    Returns:
        (B, H, S) one at the first step from there on whose probability is a half or more; all
        zero if there is none.
    """
    reached = before.cumsum(dim=-1) > 0.5
    stops = reached & (stop >= 0.5)
    return (stops & (stops.cumsum(dim=-1) == 1)).to(stop.dtype)


def spread_over_chunks(step: Tensor, energies: Tensor, chunk: int) -> Tensor:
    """Soft attention over the steps before each stop (Chiu and Raffel 2018, equations 18 to 20).

    Args:
        step: (B, H, S) probability of stopping at each step.
        energies: (B, H, S) of soft attention within chunks.
        chunk: steps of a chunk, the one stopped at included.

    Returns:
        (B, H, S) with the same sums as ``step``.
    """
    chunk = min(chunk, energies.size(-1))
    padded = nn.functional.pad(energies, (chunk - 1, 0), value=-torch.inf)
    within = padded.unfold(-1, chunk, 1).softmax(dim=-1) * step[..., None]
    spread = torch.zeros_like(step)
    for back in range(chunk):  # `back` steps before the stop
        part = within[..., chunk - 1 - back]
        spread = spread + nn.functional.pad(part[..., back:], (0, back))
    return spread
