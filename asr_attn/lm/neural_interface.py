"""What the neural language models share: tokens in, a distribution over the next one out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from asr_attn.text.tokenizer import BLANK


@dataclass(frozen=True)
class NeuralLmConfig:
    """Settings of a neural language model."""

    name: str


class NeuralLmState(Protocol):
    """What a model carries from step to step: tensors whose first axis is the batch."""

    def select(self, index: Tensor) -> "NeuralLmState":
        """Take the rows named by ``index`` (N,): repeats, reorders or drops hypotheses."""
        ...


class NeuralLm(nn.Module, ABC):
    """A language model over the ids of a tokenizer; it remembers nothing between calls.

    A sentence starts and ends with the token `EOS`. `BLANK`, which is no symbol, has no output: its
    probability is 0.

    Args:
        vocabulary_size: V.
        feature_size: D of what ``read`` gives.
    """

    def __init__(self, vocabulary_size: int, feature_size: int) -> None:
        super().__init__()
        self.output = nn.Linear(feature_size, vocabulary_size - 1)

    @abstractmethod
    def start(self, rows: int, device: torch.device) -> Any:
        """State before the first token, for N = ``rows`` sentences."""

    @abstractmethod
    def read(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read ``tokens`` (N, U) on from ``state``: features (N, U, D) and new state."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Read whole sentences in one go: the same mathematics as ``step``.

        Args:
            tokens: (B, U), the first one being `EOS`; what comes later changes nothing before it.

        Returns:
            (B, U, V) logits of the token after each, float32; -inf for `BLANK`.
        """
        features, _ = self.read(tokens, self.start(len(tokens), tokens.device))
        return self._logits(features)

    def step(self, tokens: Tensor, state: NeuralLmState) -> tuple[Tensor, NeuralLmState]:
        """Read one token of each sentence.

        Args:
            tokens: (N,), `EOS` at the start.
            state: from ``start`` or the step before.

        Returns:
            log-probabilities (N, V) of the next token, and new state.
        """
        features, new = self.read(tokens[:, None], state)
        return self._logits(features[:, 0]).log_softmax(dim=-1), new

    def _logits(self, features: Tensor) -> Tensor:
        logits = self.output(features)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        assert BLANK == 0  # its column is put in front
        return nn.functional.pad(logits, (1, 0), value=-torch.inf)
