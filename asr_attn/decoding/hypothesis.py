"""What a search returns, and its settings."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SearchConfig:
    """Settings of the search."""

    beam: int = 1
    """Open hypotheses per utterance; 1 is greedy search."""
    length_exponent: float = 0.7
    """Hypotheses are ranked by log-probability / tokens ** length_exponent."""
    max_tokens_per_step: float = 1.0
    """Longest output, in tokens per memory step; a hypothesis that reaches it is marked."""

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise ValueError(f"search.beam must be at least 1, not {self.beam}")
        if self.length_exponent < 0:
            raise ValueError(f"search.length_exponent must not be negative: {self.length_exponent}")
        if self.max_tokens_per_step <= 0:
            raise ValueError(
                f"search.max_tokens_per_step must be above 0, not {self.max_tokens_per_step}"
            )

    def max_tokens(self, lengths: Tensor) -> Tensor:
        """Most tokens, end of sentence included, for memories of ``lengths`` (B,): (B,)."""
        return (lengths * self.max_tokens_per_step).ceil().long() + 1

    def rank(self, log_prob: float, tokens: int) -> float:
        """The score by which hypotheses of different length are compared."""
        return float(log_prob / tokens**self.length_exponent)


@dataclass(frozen=True)
class Hypothesis:
    """One way to read an utterance.

    Attributes:
        tokens: ids without start and end of sentence.
        log_prob: natural logarithm of its probability, end of sentence included.
        score: what it was ranked by (length-normalised ``log_prob``).
        truncated: True when the longest permitted output was reached before its end.
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float
    truncated: bool = False
