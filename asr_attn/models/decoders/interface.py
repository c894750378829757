"""What every decoder ("speller") offers: memory in, one distribution over tokens per step out."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class DecoderConfig:
    """Settings of a decoder."""

    name: str


class DecoderState(Protocol):
    """What a decoder carries from step to step: tensors whose first axis is the batch."""

    def select(self, index: Tensor) -> "DecoderState":
        """Take the rows named by ``index`` (N,): repeats, reorders or drops hypotheses."""
        ...


@dataclass(frozen=True)
class DecoderOutput:
    """What a decoder makes of whole token sequences.

    Attributes:
        logits: (B, U, V) of the next token after each, float32.
        weights: (B, U, H, S) attention weights of each step and head.
        choices: (B, U, H) log-probabilities of memory steps that were drawn at random and are
            learnt by their score function; zeros where attention draws nothing.
    """

    logits: Tensor
    weights: Tensor
    choices: Tensor


class Decoder(Protocol):
    """The interface of every decoder; modules keep nothing between calls."""

    def init_state(self, memory: Tensor, lengths: Tensor) -> DecoderState:
        """State before the first token, for ``memory`` (B, S, D) of ``lengths`` (B,)."""
        ...

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, Tensor, DecoderState]:
        """Read ``tokens`` (B,); give log-probabilities (B, V), weights (B, H, S) and new state."""
        ...

    def __call__(
        self, memory: Tensor, lengths: Tensor, inputs: Tensor, sampling: float = 0.0
    ) -> DecoderOutput:
        """Read given ``inputs`` (B, U), in one go: the same mathematics as ``step``.

        Args:
            memory: (B, S, D).
            lengths: (B,) memory steps.
            inputs: (B, U) tokens before each step, the first one being the start of the sentence.
            sampling: probability to read the model's own last draw in place of the given token
                (scheduled sampling, Bengio et al. 2015).
        """
        ...
