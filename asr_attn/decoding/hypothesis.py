"""What a search returns, and its settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

GREATEST = {
    "beam": 100_000,
    "lm_weight": 1000.0,
    "internal_lm_weight": 1000.0,
    "length_bonus": 1000.0,
    "coverage": 1000.0,
    "doubt_penalty": 1e6,
    "length_exponent": 10.0,
    "max_tokens_per_step": 100.0,
    "coverage_threshold": 1000.0,
}
"""Numbers above which a float32 score, or the memory, gives way."""
NOT_NEGATIVE = (
    "lm_weight",
    "internal_lm_weight",
    "coverage",
    "coverage_threshold",
    "doubt_penalty",
    "length_exponent",
)
"""Settings that are no numbers below 0."""


@dataclass(frozen=True)
class SearchConfig:
    """Settings of the search."""

    beam: int = 1
    """Open hypotheses per utterance; with attention alone, 1 is greedy search."""
    length_exponent: float = 0.7
    """Hypotheses are ranked by log-probability / tokens ** length_exponent."""
    max_tokens_per_step: float = 1.0
    """Longest output, in tokens per memory step; a hypothesis that reaches it is marked."""
    ctc_weight: float = 0.0
    """Share of CTC in the joint score of attention and CTC (Watanabe et al. 2017)."""
    lm: str | None = None
    """File of a language model."""
    lm_weight: float = 0.3
    """Weight of the language model's log-probability."""
    internal_lm_weight: float = 0.0
    """How much is taken away of the log-probability that the decoder gives a text without hearing
    it, since the language model knows better (Meng et al. 2021)."""
    length_bonus: float = 0.0
    """Added for each token."""
    coverage: float = 0.0
    """Added for each memory step that has been attended to (Chorowski and Jaitly 2017)."""
    coverage_threshold: float = 0.5
    """Attention, summed over tokens, from which on a memory step counts as attended to."""
    patience: int = 10
    """Steps on end in which all open hypotheses are behind, after which a search ends whose scores
    have no bound."""
    doubt_penalty: float = 5.0
    """What a loop, speech that is left out, or an end that comes too soon, each costs a hypothesis
    when an utterance is searched again because of them; with 0 nothing is searched again."""

    def __post_init__(self) -> None:
        self._check_ranges()
        if self.patience < 1:
            raise ValueError(f"search.patience must be at least 1, not {self.patience}")
        if not 0 <= self.ctc_weight <= 1:
            raise ValueError(f"search.ctc_weight is a share from 0 to 1, not {self.ctc_weight}")
        if self.length_exponent > 0 and (self.length_bonus or self.coverage):
            raise ValueError(
                "search.length_exponent divides scores by length, which turns search.length_bonus "
                "and search.coverage around where they raise scores above 0; set "
                "search.length_exponent=0 with them"
            )
        for name in ("coverage", "internal_lm_weight"):
            if self.ctc_weight == 1 and getattr(self, name):
                raise ValueError(f"search.{name} needs attention: set search.ctc_weight below 1")
        if self.internal_lm_weight and self.lm is None:
            raise ValueError(
                "search.internal_lm_weight makes way for a language model: set search.lm with it"
            )
        if self.beam < 1:
            raise ValueError(f"search.beam must be at least 1, not {self.beam}")
        if self.max_tokens_per_step <= 0:
            raise ValueError(
                f"search.max_tokens_per_step must be above 0, not {self.max_tokens_per_step}"
            )

    def _check_ranges(self) -> None:
        for name, most in GREATEST.items():
            if not abs(getattr(self, name)) <= most:  # nor is NaN
                raise ValueError(
                    f"search.{name} is {getattr(self, name):g}, beyond what a search can add up; "
                    f"give a number up to {most:g}"
                )
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"search.{name} must not be negative: {getattr(self, name)}")

    @property
    def plain(self) -> bool:
        """Whether attention is all that is asked."""
        return not (self.ctc_weight or self.lm or self.length_bonus or self.coverage)

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
        log_prob: weighted sum of the scorers, end of sentence included; with attention alone, the
            natural logarithm of its probability.
        score: what it was ranked by (length-normalised ``log_prob``).
        truncated: True when the longest permitted output was reached before its end.
        parts: what each scorer gave, by its name, without its weight.
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float
    truncated: bool = False
    parts: Mapping[str, float] = field(default_factory=dict)
