"""Scorers: what a beam search adds up."""

from typing import Protocol

from torch import Tensor

from asr_attn.models.decoders import Decoder, DecoderState


class Scorer(Protocol):
    """Gives log-probabilities of the next token and carries a state of its own.

    States are batch-first and reordered by ``select``, so that the search can move a hypothesis
    without knowing what its scorers remember.
    """

    def start(self, memory: Tensor, lengths: Tensor) -> DecoderState:
        """State before the first token, for memory (B, S, D) of lengths (B,)."""
        ...

    def score(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read the last tokens (N,): log-probabilities (N, V) of the next, and new state."""
        ...


class AttentionScorer:
    """The attention decoder as a scorer."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def start(self, memory: Tensor, lengths: Tensor) -> DecoderState:
        """State before the first token."""
        return self.decoder.init_state(memory, lengths)

    def score(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One step of the decoder."""
        log_probs, _, state = self.decoder.step(tokens, state)
        return log_probs, state
