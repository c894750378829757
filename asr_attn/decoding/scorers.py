"""Scorers: what a beam search adds up."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from asr_attn.decoding.bonuses import coverage_score
from asr_attn.models.decoders import Decoder, DecoderState


class Scorer(Protocol):
    """Gives each next token a score, such as a log-probability, and carries a state of its own.

    States are batch-first and reordered by ``select``, so that the search can move a hypothesis
    without knowing what its scorers remember.

    Attributes:
        name: what its part of a hypothesis' score is called.
        gain: what one token can add at most; 0 for log-probabilities, infinite if not known.
    """

    @property
    def name(self) -> str:
        """What its part of a score is called."""
        ...

    @property
    def gain(self) -> float:
        """What one token can add at most."""
        ...

    def start(self, memory: Tensor, lengths: Tensor) -> DecoderState:
        """State before the first token, for memory (B, S, D) of lengths (B,)."""
        ...

    def score(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read the last tokens (N,): log-probabilities (N, V) of the next, and new state."""
        ...


@dataclass(frozen=True)
class AttendedState:
    """A decoder's state, and what has been attended to.

    Attributes:
        decoder: state of the decoder.
        total: (N, H, S) attention weights summed over the tokens so far.
        covered: (N,) score of that.
        lengths: (N,) memory steps.
    """

    decoder: DecoderState
    total: Tensor
    covered: Tensor
    lengths: Tensor

    def select(self, index: Tensor) -> "AttendedState":
        """Take the rows named by ``index`` (N,)."""
        return AttendedState(
            self.decoder.select(index),
            self.total[index],
            self.covered[index],
            self.lengths[index],
        )


class AttentionScorer:
    """The attention decoder as a scorer.

    Args:
        decoder: any decoder.
        coverage: what each memory step adds that has been attended to, once per hypothesis
            (``bonuses.coverage_score``). It is given to the token that follows; since it is the
            same for all of them, it decides between hypotheses, not between next tokens.
        threshold: attention from which on a step counts as attended to.
    """

    name = "attention"

    def __init__(self, decoder: Decoder, coverage: float = 0.0, threshold: float = 0.5) -> None:
        self.decoder = decoder
        self.coverage = coverage
        self.threshold = threshold

    @property
    def gain(self) -> float:
        """Coverage may bring more than a token costs, by how much is not known."""
        return 0.0 if self.coverage == 0 else math.inf

    def start(self, memory: Tensor, lengths: Tensor) -> DecoderState:
        """State before the first token."""
        state = self.decoder.init_state(memory, lengths)
        if self.coverage == 0:
            return state
        zeros = torch.zeros(memory.size(0), device=memory.device)
        total = zeros[:, None, None].expand(-1, 1, memory.size(1))
        return AttendedState(state, total, zeros, lengths)

    def score(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One step of the decoder."""
        if not isinstance(state, AttendedState):
            log_probs, _, state = self.decoder.step(tokens, state)
            return log_probs, state
        log_probs, weights, inner = self.decoder.step(tokens, state.decoder)
        total = state.total + weights.float().mean(dim=1, keepdim=True)
        covered = coverage_score(total, state.lengths, self.threshold)
        added = self.coverage * (covered - state.covered)
        return log_probs + added[:, None], AttendedState(inner, total, covered, state.lengths)
