"""How well attention is aligned, in figures: no picture has to be looked at.

A row of attention weights says where one token looked. Its expected position is the mean of the
memory steps by these weights. When decoding works, the expected positions run along the speech from
its start to its end: the weights are sharp (entropy), on the diagonal (diagonality), never go back
(monotonicity, jumps) and leave nothing out (coverage).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 2.0
"""Memory steps that the expected position may move back without counting as going back."""
EDGE = 0.03
"""Share of the steps at either end that are the outermost ones; at least one each."""
COVERAGE_SECONDS = 0.25
"""Speech counts as attended to if tokens attend to what is so near to it, before or after."""
COVERAGE_LEVEL = 0.25
"""What counts as attended to, as a share of the weight that uniform attention gives a step."""
LEAST_WEIGHT = 1e-3
"""A token whose weights sum to less attends to nothing."""

ALIGNED_ENTROPY = 0.65
ALIGNED_DIAGONALITY = 0.5
ALIGNED_MONOTONICITY = 0.8


@dataclass(frozen=True)
class AttentionHealth:
    """Figures of the attention over one or several utterances, the mean of all heads.

    The end of the sentence is left out, since it may be read anywhere. A token whose weights are
    all zero (monotonic attention past the end) counts in ``unattended`` alone; where all are, the
    other figures are those of the worst attention there is.

    Attributes:
        entropy: of a token's weights, as a share of that of uniform ones: 0 is one step alone, 1
            is spread over the whole utterance. Mean over tokens.
        diagonality: agreement of the expected positions with ones evenly spaced over the utterance,
            by the concordance correlation coefficient (Lin 1989), or 0 where that is negative: 1 on
            the diagonal, 0 for attention that stays where it is or runs backwards. Unlike a plain
            correlation it falls when attention covers a part of the utterance only. 1 for a single
            token.
        monotonicity: share of the moves from token to token that do not go back by more than
            ``TOLERANCE`` steps; 1 if there are none.
        coverage: share of the steps with speech that are attended to: those where the weight,
            summed over tokens and averaged over the neighbourhood, is at least ``COVERAGE_LEVEL``
            of what uniform attention gives each step.
        jump_back: seconds of the longest move back, 0 if there is none.
        jump_ahead: seconds of the longest move ahead.
        edges: share of the weight on the outermost steps. Mean over tokens.
        unattended: share of the tokens that attend to nothing.
        tokens: how many tokens there are.
        heads: the figures of each head alone, where there are several.
    """

    entropy: float
    diagonality: float
    monotonicity: float
    coverage: float
    jump_back: float
    jump_ahead: float
    edges: float
    unattended: float
    tokens: int
    heads: tuple["AttentionHealth", ...] = ()

    @property
    def longest_jump(self) -> float:
        """Seconds of the longest move, back or ahead."""
        return max(self.jump_back, self.jump_ahead)

    @property
    def aligned(self) -> bool:
        """Whether attention has aligned: sharp, along the diagonal, and not going back.

        That is ``entropy < ALIGNED_ENTROPY``, ``diagonality > ALIGNED_DIAGONALITY`` and
        ``monotonicity > ALIGNED_MONOTONICITY``, for the mean of the heads or for any one of them:
        one head that reads along the speech is enough to recognise it.
        """
        return self.leading._meets_all()

    @property
    def leading(self) -> "AttentionHealth":
        """The figures to go by: of the mean of the heads, or of a head that alone has aligned."""
        return next((h for h in (self, *self.heads) if h._meets_all()), self)

    def _meets_all(self) -> bool:
        return (
            self.entropy < ALIGNED_ENTROPY
            and self.diagonality > ALIGNED_DIAGONALITY
            and self.monotonicity > ALIGNED_MONOTONICITY
        )

    def to_dict(self) -> dict[str, Any]:
        """All figures as builtins."""
        figures = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**figures, "heads": [head.to_dict() for head in self.heads]}

    @classmethod
    def from_dict(cls, figures: Mapping[str, Any]) -> "AttentionHealth":
        """The figures that ``to_dict`` gave."""
        return cls(**{**figures, "heads": tuple(map(cls.from_dict, figures["heads"]))})


def attention_health(
    weights: NDArray[np.floating[Any]],
    seconds_per_step: float,
    speech: NDArray[np.bool_] | None = None,
) -> AttentionHealth:
    """Measure the attention over one utterance.

    Args:
        weights: (U, H, S) attention weights without padding, which sum to at most one; the last
            token is the end of the sentence, and counts only where it is the only one.
        seconds_per_step: seconds of audio that one memory step stands for.
        speech: (S,) True where a step carries speech; all do when not given.
    """
    real = weights[: max(len(weights) - 1, 1)].astype(np.float64)
    if speech is None or not speech.any():
        speech = np.ones(weights.shape[-1], dtype=bool)
    heads: list[AttentionHealth] = []
    if real.shape[1] > 1:
        heads = [_measure(real[:, h], seconds_per_step, speech) for h in range(real.shape[1])]
    return _measure(real.mean(axis=1), seconds_per_step, speech, tuple(heads))


def pooled(healths: Sequence[AttentionHealth]) -> AttentionHealth:
    """Figures of several utterances: means over all tokens, and the longest of the jumps.

    Raises:
        ValueError: there is no utterance.
    """
    if not healths:
        raise ValueError("there is no attention to pool: give at least one utterance")
    counts = np.array([h.tokens for h in healths], dtype=np.float64)

    def mean(name: str) -> float:
        return float(np.average([getattr(h, name) for h in healths], weights=counts))

    return AttentionHealth(
        entropy=mean("entropy"),
        diagonality=mean("diagonality"),
        monotonicity=mean("monotonicity"),
        coverage=mean("coverage"),
        jump_back=max(h.jump_back for h in healths),
        jump_ahead=max(h.jump_ahead for h in healths),
        edges=mean("edges"),
        unattended=mean("unattended"),
        tokens=int(counts.sum()),
        heads=tuple(map(pooled, zip(*(h.heads for h in healths)))),
    )


def _measure(
    weights: NDArray[np.float64],
    seconds_per_step: float,
    speech: NDArray[np.bool_],
    heads: tuple[AttentionHealth, ...] = (),
) -> AttentionHealth:
    """Figures of weights (U, S) of one head, or of the mean of all."""
    tokens, steps = weights.shape
    attended = weights.sum(axis=1) >= LEAST_WEIGHT
    if not attended.any():
        return AttentionHealth(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, tokens, heads)
    shares = weights[attended] / weights[attended].sum(axis=1, keepdims=True)
    positions = shares @ (np.arange(steps) + 0.5)
    moves = np.diff(positions)
    return AttentionHealth(
        entropy=_entropy(shares),
        diagonality=_diagonality(positions, np.flatnonzero(attended), tokens, steps),
        monotonicity=float((moves >= -TOLERANCE).mean()) if len(moves) else 1.0,
        coverage=_coverage(weights.sum(axis=0), seconds_per_step, speech),
        jump_back=max(0.0, -float(moves.min(initial=0.0))) * seconds_per_step,
        jump_ahead=float(moves.max(initial=0.0)) * seconds_per_step,
        edges=_on_edges(shares),
        unattended=float(1.0 - attended.mean()),
        tokens=tokens,
        heads=heads,
    )


def _entropy(shares: NDArray[np.float64]) -> float:
    """Mean entropy of ``shares`` (U, S) over that of uniform ones; 0 where there is one step."""
    steps = shares.shape[1]
    if steps == 1:
        return 0.0
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return max(0.0, float(-(shares * logs).sum(axis=1).mean() / np.log(steps)))


def _diagonality(
    positions: NDArray[np.float64], order: NDArray[np.intp], tokens: int, steps: int
) -> float:
    """Agreement of expected ``positions`` of the tokens numbered ``order`` with the diagonal."""
    if len(positions) == 1:
        return 1.0
    there, diagonal = positions / steps, (order + 0.5) / tokens
    spread = there.var() + diagonal.var() + (there.mean() - diagonal.mean()) ** 2
    together = ((there - there.mean()) * (diagonal - diagonal.mean())).mean()
    return max(0.0, float(2.0 * together / spread))


def _coverage(
    totals: NDArray[np.float64], seconds_per_step: float, speech: NDArray[np.bool_]
) -> float:
    """Share of the steps with speech near which there is weight, of ``totals`` (S,) over tokens."""
    reach = max(1, round(COVERAGE_SECONDS / seconds_per_step))
    sums = np.concatenate([[0.0], totals.cumsum()])
    steps = np.arange(len(totals))
    low, high = np.maximum(steps - reach, 0), np.minimum(steps + reach + 1, len(totals))
    near = (sums[high] - sums[low]) / (high - low)
    enough = COVERAGE_LEVEL * totals.mean()
    return float((near >= enough)[speech].mean())


def _on_edges(shares: NDArray[np.float64]) -> float:
    """Mean share of the weight on the outermost steps, of ``shares`` (U, S)."""
    steps = shares.shape[1]
    width = max(1, round(EDGE * steps))
    outermost = np.zeros(steps, dtype=bool)
    outermost[:width] = outermost[-width:] = True
    return float(shares[:, outermost].sum(axis=1).mean())
