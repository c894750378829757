"""Weights of the search, chosen on pools of hypotheses.

Searching anew for every setting would take hours. So the hypotheses of a few different searches are
put into one pool for each utterance, each with what every scorer gave to it
(``evaluation/tuning_searches.py``). Any weights rank a pool at once, and thousands are tried, as
minimum error rate training does (Och 2003), but at random, since there are only a few of them. As
there, what the best weights find is added to the pools, which judge those weights too kindly as
long as they lack it, and weights are tried again. Of all that were searched with, those that made
the fewest errors are the best, whatever pools say of them.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr_attn.decoding.hypothesis import SearchConfig

MOST_CTC = 0.9
MOST_LM = 1.5
MOST_INTERNAL_LM = 0.6
MOST_BONUS = 2.0
"""Greatest weights that are tried."""
LEAST_EXPONENT = 0.001
"""Of those above 0."""
EXPLORED = 2 / 3
"""Share of the trials that are drawn from anywhere; the others are near the best so far."""
DECADES = 3.0
"""Orders of magnitude that small weights are drawn from."""
NEAR = 0.2
"""Standard deviation of the widest local steps, as a share of the greatest weight."""
_CUT_OFF = 1e9
"""Puts a hypothesis that was cut off behind all that are complete."""


@dataclass(frozen=True)
class Weights:
    """What is tuned; see ``SearchConfig``."""

    ctc_weight: float = 0.0
    lm_weight: float = 0.0
    internal_lm_weight: float = 0.0
    length_bonus: float = 0.0
    length_exponent: float = 0.7

    def applied(self, config: SearchConfig) -> SearchConfig:
        """The settings with these weights."""
        return replace(
            config,
            ctc_weight=self.ctc_weight,
            lm_weight=self.lm_weight,
            internal_lm_weight=self.internal_lm_weight,
            length_bonus=self.length_bonus,
            length_exponent=self.length_exponent,
        )


@dataclass(frozen=True)
class Pool:
    """The hypotheses of B utterances, N at most for each.

    Attributes:
        attention: (B, N) log-probability by the decoder; -inf where there is no hypothesis.
        ctc: (B, N) by CTC.
        lm: (B, N) by the language model; zeros without one.
        internal_lm: (B, N) by the decoder that hears nothing; zeros without a language model.
        tokens: (B, N) tokens without the end of the sentence.
        ends: (B, N) 1 where the sentence was ended, 0 where it was cut off.
        errors: (B, N) wrong words.
        characters: (B, N) wrong characters.
    """

    attention: NDArray[np.float64]
    ctc: NDArray[np.float64]
    lm: NDArray[np.float64]
    internal_lm: NDArray[np.float64]
    tokens: NDArray[np.float64]
    ends: NDArray[np.float64]
    errors: NDArray[np.int64]
    characters: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.errors)

    def select(self, index: NDArray[np.int64]) -> "Pool":
        """The utterances named by ``index``."""
        return Pool(*(getattr(self, each.name)[index] for each in fields(self)))

    def picked(self, weights: Weights) -> NDArray[np.int64]:
        """Which hypothesis (B,) ranks first; complete ones come before those cut off."""
        total = (
            (1.0 - weights.ctc_weight) * self.attention
            + weights.ctc_weight * self.ctc
            + weights.lm_weight * self.lm
            - weights.internal_lm_weight * self.internal_lm
            + weights.length_bonus * self.tokens
        )
        ranked = total / np.maximum(self.tokens + self.ends, 1.0) ** weights.length_exponent
        first: NDArray[np.int64] = np.argmax(ranked - _CUT_OFF * (1.0 - self.ends), axis=1)
        return first

    def counts(self, picks: NDArray[np.int64]) -> tuple[int, int]:
        """Wrong words and wrong characters of the hypotheses (B,) that are picked."""
        rows = np.arange(len(self))
        return int(self.errors[rows, picks].sum()), int(self.characters[rows, picks].sum())


class _Trial(NamedTuple):
    """Weights that were tried, comparable: fewer errors, then the earlier ones.

    Wrong words count first and wrong characters second, or the other way round.
    """

    errors: tuple[int, ...]
    number: int
    weights: Weights


def best_weights(
    pool: Pool,
    with_lm: bool,
    trials: int,
    seed: int,
    start: Weights,
    count: int = 1,
    metric: str = "wer",
) -> list[Weights]:
    """Try weights at random, two thirds of them anywhere and the others near the best so far.

    Weights that pick the same hypotheses everywhere are no two ways to search: of such, the first
    is kept.

    Args:
        pool: hypotheses.
        with_lm: whether there is a language model.
        trials: weights to try.
        seed: of the draws.
        start: is tried first.
        count: how many to return.
        metric: "wer" or "cer".

    Returns:
        Up to ``count`` weights with the fewest wrong words, best first. Among equals, those with
        fewer wrong characters are better, then those that were tried before. With "cer" wrong
        characters come first, and then wrong words.
    """
    random = np.random.default_rng(seed)
    best: dict[bytes, _Trial] = {}
    for number in range(trials):
        near = min(best.values()).weights if number > EXPLORED * trials else None
        weights = _drawn(random, with_lm, near) if number else start
        picks = pool.picked(weights)
        key = picks.tobytes()
        if key not in best:
            best[key] = _Trial(ranked(pool.counts(picks), metric), number, weights)
            if len(best) > count:
                del best[max(best, key=best.__getitem__)]
    return [trial.weights for trial in sorted(best.values())]


def ranked(errors: tuple[int, ...], metric: str) -> tuple[int, ...]:
    """Wrong words and wrong characters, with what is counted first in front ("wer" or "cer")."""
    return errors[::-1] if metric == "cer" else errors


def _drawn(random: np.random.Generator, with_lm: bool, near: Weights | None) -> Weights:
    """Weights from anywhere, or near others.

    A bonus for length and a division by it do the same work, and a search takes one of them.
    """
    divided = random.random() < 0.5 if near is None else near.length_exponent > 0

    def number(most: float, before: float) -> float:
        if near is not None:
            step = NEAR * most * 10.0 ** -random.uniform(0.0, 2.0)
            value = before + step * random.standard_normal()
        elif random.random() < 0.5:
            value = random.uniform(0.0, most)
        else:
            value = most * 10.0 ** -random.uniform(0.0, DECADES)
        return round(float(np.clip(value, 0.0, most)), 3)

    known = near or Weights()
    return Weights(
        number(MOST_CTC, known.ctc_weight),
        number(MOST_LM, known.lm_weight) if with_lm else 0.0,
        number(MOST_INTERNAL_LM, known.internal_lm_weight) if with_lm else 0.0,
        0.0 if divided else number(MOST_BONUS, known.length_bonus),
        max(number(1.0, known.length_exponent), LEAST_EXPONENT) if divided else 0.0,
    )


def weights_for_halves(
    pool: Pool, with_lm: bool, trials: int, seed: int, start: Weights, metric: str = "wer"
) -> list[tuple[NDArray[np.int64], Weights]]:
    """Tune on each half of the utterances.

    Returns:
        Twice: utterances of one half, drawn at random, and the weights that suit the other half
        best. How many errors these make shows what tuning is worth on speech it has not seen.
    """
    order = np.random.default_rng(seed).permutation(len(pool))
    one, other = np.array_split(order, 2)
    return [
        (
            np.sort(measured),
            best_weights(pool.select(tuned), with_lm, trials, seed, start, metric=metric)[0],
        )
        for measured, tuned in ((one, other), (other, one))
    ]
