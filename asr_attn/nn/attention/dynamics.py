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
        """New weights (B, H, S)."""
        energies = energies.masked_fill(~allowed, -torch.inf)
        if self.config.normalizer == "softmax":
            # in the logarithm, so that a step is found however unlikely the energies say it is
            prior = self.moved(state)
            log_prior = prior.clamp(min=torch.finfo(prior.dtype).tiny).log()
            return (energies + log_prior).softmax(dim=-1)
        weights = NORMALIZERS[self.config.normalizer](energies) * self.moved(state)
        total = weights.sum(dim=-1, keepdim=True)
        # nothing within reach has any weight: stay
        stay = state.previous.masked_fill(~allowed, 0.0)
        return torch.where(total > 0, weights / total.clamp(min=1e-30), stay)


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
        return self.agent(summary)[..., None].sigmoid().to(own.dtype)  # type: ignore[no-any-return]


class Stepwise(Dynamics):
    """Stepwise monotonic attention (He, Deng and He 2019, equation 8).

    At each memory step attention stays with probability ``p_s = sigmoid(energy_s)``, else it moves
    on to the next: ``w_s = p_s previous_s + (1 - p_(s-1)) previous_(s-1)``. That decision is made
    ``reach`` times per token. What would move past the end of the memory stays there.
    """

    def forward(self, energies: Tensor, allowed: Tensor, state: AttentionState) -> Tensor:
        """New weights (B, H, S)."""
        stay = energies.sigmoid()
        can_move = torch.zeros_like(allowed)
        can_move[..., :-1] = allowed[..., 1:]
        stay = torch.where(can_move, stay, 1.0)
        weights = state.previous
        for _ in range(self.config.reach):
            moving = weights * (1.0 - stay)
            weights = weights - moving + nn.functional.pad(moving[..., :-1], (1, 0))
        return weights


def _spread(weights: Tensor, reach: int) -> Tensor:
    """Sum over moves by 1 to ``reach`` steps of ``weights`` (B, H, S)."""
    steps = weights.size(-1)
    reach = min(reach, steps)
    sums = nn.functional.pad(weights.cumsum(dim=-1), (reach + 1, 0))
    # a difference of sums: rounding can leave what should be zero a little below
    return (sums[..., reach : reach + steps] - sums[..., :steps]).clamp(min=0.0)


DYNAMICS: dict[str, Callable[[int, DynamicsConfig], Dynamics]] = {
    "forward": Forward,
    "forward_agent": ForwardAgent,
    "stepwise": Stepwise,
}
"""Name of a kind of dynamics: its class."""
