"""Soft attention of a decoder over encoder memory.

An attention module remembers nothing between calls: ``prepare`` computes once what depends on the
memory alone, and what depends on earlier steps goes in and comes out as state. Both are data, so a
search can repeat and reorder them without knowing the mechanism.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from asr_attn.nn.masking import padding_mask


@dataclass(frozen=True)
class AttentionKeys:
    """What attention needs of the memory, computed once per utterance.

    Attributes:
        memory: (B, S, D) what contexts are made of.
        projected: (B, S, A) keys.
        mask: (B, S) bool, True where a memory step is real.
    """

    memory: Tensor
    projected: Tensor
    mask: Tensor

    def select(self, index: Tensor) -> "AttentionKeys":
        """Take the rows named by ``index`` (N,) along the batch."""
        return AttentionKeys(self.memory[index], self.projected[index], self.mask[index])


class Attention(Protocol):
    """The interface of every attention mechanism."""

    def prepare(self, memory: Tensor, lengths: Tensor) -> AttentionKeys:
        """Compute what depends on ``memory`` (B, S, D) and ``lengths`` (B,) alone."""
        ...

    def initial_state(self, keys: AttentionKeys) -> Tensor:
        """State before the first step, (B, ...)."""
        ...

    def __call__(
        self, query: Tensor, keys: AttentionKeys, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attend once: ``query`` (B, Q) gives context (B, D), weights (B, S) and new state."""
        ...


@dataclass(frozen=True)
class AttentionConfig:
    """Settings of an attention mechanism."""

    name: str


@dataclass(frozen=True)
class LocationAttentionConfig(AttentionConfig):
    """Settings of location-aware attention."""

    name: str = "location"
    size: int = 128
    """Width A of the space where queries and keys are compared."""
    channels: int = 16
    """Filters over the weights of earlier steps."""
    kernel_size: int = 31
    """Memory steps that a filter sees; odd."""

    def __post_init__(self) -> None:
        if min(self.size, self.channels, self.kernel_size) < 1:
            raise ValueError("attention.size, channels and kernel_size must be at least 1")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"attention.kernel_size must be odd, not {self.kernel_size}")


class LocationAttention(nn.Module):
    """Location-aware attention (Chorowski et al. 2015, equation 8).

    ``energy_s = w . tanh(W query + V memory_s + U (F * past)_s)``, softmax over the valid steps.
    ``past`` has two channels: the weights of the step before and the sum over all earlier steps;
    the sum tells apart what was already read on long audio.

    Args:
        query_size: Q.
        memory_size: D.
        config: sizes.
    """

    def __init__(self, query_size: int, memory_size: int, config: LocationAttentionConfig) -> None:
        super().__init__()
        self.project_query = nn.Linear(query_size, config.size, bias=False)
        self.project_memory = nn.Linear(memory_size, config.size)
        self.filters = nn.Conv1d(
            2, config.channels, config.kernel_size, padding=config.kernel_size // 2, bias=False
        )
        self.project_location = nn.Linear(config.channels, config.size, bias=False)
        self.energy = nn.Linear(config.size, 1, bias=False)

    def prepare(self, memory: Tensor, lengths: Tensor) -> AttentionKeys:
        """Project the memory (B, S, D) of ``lengths`` (B,) once."""
        mask = padding_mask(lengths, memory.size(1))
        return AttentionKeys(memory, self.project_memory(memory), mask)

    def initial_state(self, keys: AttentionKeys) -> Tensor:
        """Nothing attended yet: zeros (B, 2, S)."""
        batch, steps = keys.mask.shape
        return keys.memory.new_zeros(batch, 2, steps, dtype=_at_least_float32(keys.memory.dtype))

    def forward(
        self, query: Tensor, keys: AttentionKeys, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attend once.

        Args:
            query: (B, Q).
            keys: from ``prepare``.
            state: (B, 2, S) weights of the step before, and their sum over all earlier steps.

        Returns:
            context (B, D), weights (B, S) that sum to one over valid steps, new state (B, 2, S).
        """
        location = self.project_location(self.filters(state).transpose(1, 2))
        hidden = torch.tanh(self.project_query(query)[:, None, :] + keys.projected + location)
        energies = self.energy(hidden).squeeze(-1)
        energies = energies.to(_at_least_float32(energies.dtype))
        weights = energies.masked_fill(~keys.mask, -torch.inf).softmax(dim=-1)
        context = torch.bmm(weights[:, None, :].to(keys.memory.dtype), keys.memory).squeeze(1)
        return context, weights, torch.stack([weights, state[:, 1] + weights], dim=1)


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Weights add up over many steps, so half precision is widened; float64 is kept."""
    return torch.promote_types(dtype, torch.float32)


AttentionBuilder = Callable[[int, int, "LocationAttentionConfig"], nn.Module]

ATTENTIONS: dict[str, tuple[AttentionBuilder, type[AttentionConfig]]] = {
    "location": (LocationAttention, LocationAttentionConfig),
}
"""Name of a mechanism: its class (called with query size, memory size, config) and its config."""
