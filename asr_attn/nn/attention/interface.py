"""What every attention mechanism of a decoder offers, and the data that it works on.

An attention module remembers nothing between calls: ``prepare`` computes once what depends on the
memory alone, and what depends on earlier steps goes in and comes out as state. Both are data, so a
search can repeat and reorder them without knowing the mechanism.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from asr_attn.nn.attention.additive import EnergyLoop


@dataclass(frozen=True)
class AttentionKeys:
    """What attention needs of the memory, computed once per utterance.

    Hypotheses of one utterance share its keys: of N queries the first ``each`` are for the first
    row here, and so on. So a search that reorders the hypotheses of an utterance copies nothing.

    Attributes:
        keys: (B, H, S, A) what queries are compared with.
        values: (B, H, S, D / H) what contexts are made of.
        mask: (B, S) bool, True where a memory step is real.
        each: hypotheses N / B that share a row.
        read: contexts (B, H, 1, D / H) of weights (B, H, 1, S), in a training pass that computes
            the gradient of the values by itself; else None.
        loop: what computes energies of ``keys`` on a CPU where gradients are wanted and N is B, if
            the score has it; else None.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor
    each: int = 1
    read: Callable[[Tensor], Tensor] | None = None
    loop: EnergyLoop | None = None

    @property
    def allowed(self) -> Tensor:
        """The mask for each of the N hypotheses: (N, 1, S)."""
        return self.mask[:, None, None].expand(-1, self.each, -1, -1).flatten(0, 1)

    def select(self, index: Tensor) -> "AttentionKeys":
        """Take the hypotheses named by ``index`` (N,)."""
        rows, each = index // self.each, 1
        if len(rows):
            runs, counts = torch.unique_consecutive(rows, return_counts=True)
            if counts.min() == counts.max():
                rows, each = runs, int(counts[0])
        if len(rows) == len(self.mask) and bool((rows == torch.arange(len(rows)).to(rows)).all()):
            return replace(self, each=each, loop=self.loop if each == 1 else None)
        return AttentionKeys(self.keys[rows], self.values[rows], self.mask[rows], each)


@dataclass(frozen=True)
class AttentionState:
    """What attention carries from one step to the next.

    Attributes:
        previous: (B, H, S) weights of the step before; zeros before the first.
        total: (B, H, S) sum of the weights of all earlier steps.
        own: (B, H, K) what else the mechanism remembers, such as the means of a mixture.
        choice: (B, H) log-probability of the steps drawn at the step before, where steps are drawn
            at random and learnt by their score function; zeros elsewhere.
    """

    previous: Tensor
    total: Tensor
    own: Tensor
    choice: Tensor

    def select(self, index: Tensor) -> "AttentionState":
        """Take the rows named by ``index`` (N,) along the batch."""
        return AttentionState(
            self.previous[index], self.total[index], self.own[index], self.choice[index]
        )


class Attention(Protocol):
    """The interface of every attention mechanism."""

    def prepare(self, memory: Tensor, lengths: Tensor) -> AttentionKeys:
        """Compute what depends on ``memory`` (B, S, D) and ``lengths`` (B,) alone."""
        ...

    def initial_state(self, keys: AttentionKeys) -> AttentionState:
        """State before the first step."""
        ...

    def __call__(
        self, query: Tensor, keys: AttentionKeys, state: AttentionState
    ) -> tuple[Tensor, Tensor, AttentionState]:
        """Attend once: ``query`` (B, Q) gives context (B, D), weights (B, H, S) and new state."""
        ...


@dataclass(frozen=True)
class AttentionConfig:
    """Settings of an attention mechanism."""

    name: str


def empty_state(keys: AttentionKeys, own: int = 0) -> AttentionState:
    """State in which nothing has been attended to, with ``own`` zeros of the mechanism's own."""
    batch, heads, steps, _ = keys.values.shape
    dtype = at_least_float32(keys.values.dtype)
    zeros = keys.values.new_zeros(batch, heads, steps, dtype=dtype)
    return AttentionState(
        zeros, zeros, zeros.new_zeros(batch, heads, own), zeros.new_zeros(batch, heads)
    )


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Weights add up over many steps, so half precision is widened; float64 is kept."""
    return torch.promote_types(dtype, torch.float32)
