"""What moves attention along the memory: from energies and the last weights to new weights.

In the papers, made for speech synthesis, attention stays or moves by one step of the memory per
step of the decoder. In recognition a token lasts several steps of the memory, so here it may move
by up to ``reach`` of them; ``reach=1`` gives the papers' formulas.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from asr_attn.nn.attention.interface import AttentionState
from asr_attn.nn.attention.normalizers import NORMALIZERS

SMALLEST = 1e-20
"""Probabilities above zero count as at least this where they are divided by or their logarithm is
taken, so that gradients stay finite."""


class DynamicsConfig(Protocol):
    """The settings that dynamics look at."""

    @property
    def heads(self) -> int:
        """Heads H."""
        ...

    @property
    def reach(self) -> int:
        """Most memory steps that attention moves per token."""
        ...

    @property
    def normalizer(self) -> str:
        """Name of the normaliser of energies."""
        ...


class Dynamics(nn.Module):
    """What every kind of dynamics offers.

    Args:
        summary_size: width of query and context together.
        config: settings.
    """

    def __init__(self, summary_size: int, config: DynamicsConfig) -> None:
        super().__init__()
        self.config = config

    def initial_state(self, state: AttentionState) -> AttentionState:
        """All weight on the first step of the memory, from where attention moves on."""
        first = torch.zeros_like(state.previous)
        first[..., 0] = 1.0
        return replace(state, previous=first)

    def forward(self, energies: Tensor, allowed: Tensor, state: AttentionState) -> Tensor:
        """New weights (B, H, S) from energies (B, H, S) where they are ``allowed``."""
        raise NotImplementedError

    def remember(self, summary: Tensor, own: Tensor) -> Tensor:
        """What the next step needs of ``summary`` (B, Q + D), query and context: ``own``."""
        return own


class Forward(Dynamics):
    """Forward attention (Zhang, Ling and Dai 2018, equation 6 with all moves alike).

    ``w_s ~ y_s sum over m from 0 to reach of previous_(s - m)``, where ``y`` are the normalised
    energies.
    """

    def moved(self, state: AttentionState) -> Tensor:
        """Where attention may be before the energies are looked at: (B, H, S)."""
        return _spread(state.previous, self.config.reach) + state.previous

    def forward(self, energies: Tensor, allowed: Tensor, state: AttentionState) -> Tensor:
        """New weights (B, H, S); where nothing that is allowed can be reached, attention stays."""
        stay = state.previous.masked_fill(~allowed, 0.0)
        prior = self.moved(state).masked_fill(~allowed, 0.0)
        prior = torch.where(prior.sum(dim=-1, keepdim=True) > 0, prior, stay)
        if self.config.normalizer == "softmax":
            # in the logarithm, so that a step is found however unlikely the energies say it is
            log_prior = prior.clamp(min=SMALLEST).log().masked_fill(prior <= 0, -torch.inf)
            return (energies + log_prior).softmax(dim=-1)
        energies = energies.masked_fill(~allowed, -torch.inf)
        weights = NORMALIZERS[self.config.normalizer](energies) * prior
        reached = weights.sum(dim=-1, keepdim=True) > SMALLEST
        return _sum_to_one(torch.where(reached, weights, stay))


class ForwardAgent(Forward):
    """Forward attention with a transition agent (Zhang, Ling and Dai 2018, algorithm 2).

    A network that reads query and context decides how likely attention moves at the next step:
    ``w_s ~ y_s ((1 - u) previous_s + u / reach sum over m from 1 to reach of previous_(s - m))``.
    """

    def __init__(self, summary_size: int, config: DynamicsConfig) -> None:
        super().__init__(summary_size, config)
        self.agent = nn.Linear(summary_size, config.heads)

    def initial_state(self, state: AttentionState) -> AttentionState:
        """Staying and moving are alike at first."""
        state = super().initial_state(state)
        return replace(state, own=torch.full_like(state.choice, 0.5)[..., None])

    def moved(self, state: AttentionState) -> Tensor:
        """Where attention may be before the energies are looked at: (B, H, S)."""
        spread = _spread(state.previous, self.config.reach) / self.config.reach
        return (1.0 - state.own) * state.previous + state.own * spread

    def remember(self, summary: Tensor, own: Tensor) -> Tensor:
        """How likely attention moves at the next step: (B, H, 1)."""
        move: Tensor = self.agent(summary)[..., None]
        return move.to(own.dtype).sigmoid()


class Stepwise(Dynamics):
    """Stepwise monotonic attention (He, Deng and He 2019, equation 8).

    At each memory step attention stays with probability ``p_s = sigmoid(energy_s)``, else it moves
    on to the next: ``w_s = p_s previous_s + (1 - p_(s-1)) previous_(s-1)``. Having moved it decides
    again, until it stays or has moved by ``reach`` steps; at the end of the memory it stays. A
    learnt offset of the energies lets it start out walking rather than standing.
    """

    def __init__(self, summary_size: int, config: DynamicsConfig) -> None:
        super().__init__(summary_size, config)
        self.offset = nn.Parameter(torch.full((config.heads,), -1.0))

    def forward(self, energies: Tensor, allowed: Tensor, state: AttentionState) -> Tensor:
        """New weights (B, H, S)."""
        stay = (energies + self.offset[:, None]).sigmoid()
        can_move = torch.zeros_like(allowed)
        can_move[..., :-1] = allowed[..., 1:]
        stay = torch.where(can_move, stay, 1.0)
        weights, walking = torch.zeros_like(state.previous), state.previous
        for _ in range(min(self.config.reach, energies.size(-1))):
            weights = weights + stay * walking
            walking = nn.functional.pad((1.0 - stay) * walking, (1, -1))
        return weights + walking


def _spread(weights: Tensor, reach: int) -> Tensor:
    """Sum over moves by 1 to ``reach`` steps of ``weights`` (B, H, S)."""
    reach = min(reach, weights.size(-1))
    # not a difference of running sums: what is small would drown in their rounding
    before = nn.functional.pad(weights, (reach, -1))
    return nn.functional.avg_pool1d(before, reach, stride=1) * reach


def _sum_to_one(weights: Tensor) -> Tensor:
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=SMALLEST)


DYNAMICS: dict[str, Callable[[int, DynamicsConfig], Dynamics]] = {
    "forward": Forward,
    "forward_agent": ForwardAgent,
    "stepwise": Stepwise,
}
"""Name of a kind of dynamics: its class."""
