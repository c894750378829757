"""Learning how sure words are, and measuring how true that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata

from asr_attn.models.confidence import Calibration

PENALTY = 1.0
"""Of squared weights. Validation sets have few errors: without it, a feature that happens to tell
them all apart would get an infinite weight."""
BINS = 10
DRAWS = 2_000
LEVEL = 0.95
_CHUNK = 250
"""Draws at a time, so that memory does not grow with them."""
_CELLS = 5_000_000
"""Numbers drawn at a time, so that it does not grow with the utterances either."""


def fit_calibration(
    features: NDArray[np.floating[Any]],
    correct: NDArray[np.bool_],
    names: Sequence[str],
    penalty: float = PENALTY,
) -> Calibration:
    """Learn a logistic model by penalised maximum likelihood, its weights none below 0.

    Targets are those of Platt 1999, "Probabilistic outputs for support vector machines": not 1 and
    0, but (n + 1) / (n + 2) and 1 / (m + 2) for n right and m wrong words, so that even without an
    error nothing becomes certain. Without any words the confidence is one half.

    Args:
        features: (N, F) what speaks for each word.
        correct: (N,) whether it is right.
        names: F names.
        penalty: of the squared weights, which are of features in units of their deviation.

    Raises:
        ValueError: the numbers of words, features and names do not fit each other, or a feature is
            not finite.
    """
    size = len(names)
    values = np.asarray(features, dtype=np.float64)
    if values.shape != (len(correct), size):
        raise ValueError(
            f"{len(correct)} words and {size} names need features of the shape "
            f"{(len(correct), size)}, not {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("a feature of a word is not finite")
    means = values.mean(axis=0) if len(values) else np.zeros(size)
    spread = values.std(axis=0) if len(values) else np.zeros(size)
    scales = np.where(spread > 1e-9, spread, 1.0)
    units = (values - means) / scales
    right = int(np.sum(correct))
    wrong = len(values) - right
    targets = np.where(correct, (right + 1) / (right + 2), 1 / (wrong + 2))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = parameters[:-1], parameters[-1]
        odds = units @ weights + bias
        cost = np.logaddexp(0.0, odds).sum() - targets @ odds + 0.5 * penalty * weights @ weights
        error = np.exp(-np.logaddexp(0.0, -odds)) - targets
        return float(cost), np.append(units.T @ error + penalty * weights, error.sum())

    bounds = [(0.0, None)] * size + [(None, None)]
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000}
    found = minimize(loss, np.zeros(size + 1), jac=True, bounds=bounds, options=options).x.tolist()
    lists = (tuple(means.tolist()), tuple(scales.tolist()), tuple(found[:-1]))
    return Calibration(tuple(names), *lists, found[-1])


@dataclass(frozen=True)
class ReliabilityBin:
    """Words of about the same confidence.

    Attributes:
        confidence: their mean confidence.
        accuracy: share of them that is right.
        count: how many.
        low: their least confidence.
        high: their greatest.
    """

    confidence: float
    accuracy: float
    count: int
    low: float
    high: float


def reliability(
    confidence: NDArray[np.float64],
    correct: NDArray[np.bool_],
    bins: int = BINS,
    *,
    equal_width: bool = False,
) -> list[ReliabilityBin]:
    """The reliability curve, the least sure bin first; bins without words are left out.

    Args:
        confidence: (N,) from 0 to 1.
        correct: (N,) bool.
        bins: how many, at most.
        equal_width: cut the range from 0 to 1 evenly, a border belonging to the bin above it. Else
            bins have equally many words, as nearly as can be: words of one confidence stay
            together, or the curve would depend on their order.
    """
    number = _bin_numbers(confidence, bins, equal_width)
    found = []
    for k in np.unique(number):
        sure, right = confidence[number == k], correct[number == k]
        ends = float(sure.min()), float(sure.max())
        found.append(ReliabilityBin(float(sure.mean()), float(right.mean()), len(sure), *ends))
    return found


def _bin_numbers(
    confidence: NDArray[np.float64], bins: int, equal_width: bool = False
) -> NDArray[np.int64]:
    """The bin (N,) that each word belongs to, from 0; some may have none."""
    if equal_width:
        return np.searchsorted(np.arange(1, bins) / bins, confidence, side="right")
    places = np.arange(len(confidence))
    parts = np.array_split(places, max(min(bins, len(places)), 1))
    by_place = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    _, value, times = np.unique(confidence, return_inverse=True, return_counts=True)
    middle = times.cumsum() - 1 - times // 2  # the place of the middle one of equal words
    number: NDArray[np.int64] = by_place[middle][value]
    return number


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean distance of confidence and accuracy, by words (Guo et al. 2017)."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / total if total else 0.0


def calibration_error_interval(
    confidence: NDArray[np.float64],
    correct: NDArray[np.bool_],
    utterance: NDArray[np.int64],
    bins: int = BINS,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """Where the calibration error on more speech of the kind is, with a probability of 95 %.

    Utterances are drawn with replacement, for the words of one go wrong together. The interval is
    not the usual one of the errors of the drawn sets (percentiles). By chance alone the error of a
    set is above 0, and that of a drawn set once more, so that one for a true confidence would not
    hold 0. Errors e and e' whose bins are off by d and d' differ by at most sum |d - d'|, weighted
    by words (the triangle inequality). The interval reaches to both sides as far as the drawn sets
    are, by that measure, from the given one, in 95 % of the draws: it may be wider than need be.

    Args:
        confidence: (N,) from 0 to 1.
        correct: (N,) bool.
        utterance: (N,) number of the utterance that each word belongs to.
        bins: of equally many words, see ``reliability``.
        draws: sets that are drawn.
        seed: of the draws.

    Returns:
        Its ends, from 0 to 1; all of that if there are less than two utterances with words.
    """
    names, unit = np.unique(utterance, return_inverse=True)
    count = len(names)
    if count < 2:
        return 0.0, 1.0
    number = _bin_numbers(confidence, bins)
    off = np.zeros((count, int(number.max()) + 1))
    np.add.at(off, (unit, number), confidence - correct)
    words = np.bincount(unit)
    share = off.sum(axis=0) / words.sum()
    random = np.random.default_rng(seed)
    far = []
    at_once = max(1, min(_CHUNK, _CELLS // count))
    for begin in range(0, draws, at_once):
        size = min(at_once, draws - begin)
        times = random.multinomial(count, np.full(count, 1 / count), size)
        drawn = times @ off / (times @ words)[:, None]
        far.append(np.abs(drawn - share).sum(axis=1))
    error, reach = float(np.abs(share).sum()), float(np.quantile(np.concatenate(far), LEVEL))
    return max(error - reach, 0.0), min(error + reach, 1.0)


def discrimination(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float | None:
    """Probability that a right word is surer than a wrong one: the area under the ROC curve.

    None where all are right, or all wrong.
    """
    right, wrong = int(correct.sum()), int((~correct).sum())
    if not right or not wrong:
        return None
    ranks = float(rankdata(confidence)[correct].sum())
    return (ranks - right * (right + 1) / 2) / (right * wrong)


def normalized_cross_entropy(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_]
) -> float | None:
    """How much confidence tells (Siu and Gish 1999; NIST): 1 all, 0 no more than the mean does.

    None where all are right, or all wrong. Below 0 it misleads.
    """
    share = float(correct.mean()) if len(correct) else 0.0
    if not 0 < share < 1:
        return None
    entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    return (entropy - float(_losses(confidence, correct).mean())) / entropy


def brier_score(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float | None:
    """Mean square of the distance of confidence from 1 or 0 (Brier 1950): 0 is best.

    None without words.
    """
    return float(np.square(confidence - correct).mean()) if len(correct) else None


def log_loss(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float | None:
    """Mean of minus the logarithm of what was given to the truth, in nats: 0 is best.

    None without words. What was given nothing counts as 1e-12, so that no single word makes the
    mean infinite.
    """
    return float(_losses(confidence, correct).mean()) if len(correct) else None


def _losses(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    given = np.where(correct, confidence, 1 - confidence)
    losses: NDArray[np.float64] = -np.log(np.clip(given, 1e-12, 1.0))
    return losses


def word_correctness(reference: Sequence[str], hypothesis: Sequence[str]) -> list[bool]:
    """Whether each word of a hypothesis is right, by a minimal alignment with the reference.

    Minimal alignments may differ in how many words are right: "b a" for "a b" has two errors if
    both words are replaced, and if one is moved. It is the alignment by which ``count_errors``
    counts, so that the right words are those of the reference less the replaced and missing ones.
    """
    found = [False] * len(hypothesis)
    if not reference or not hypothesis:
        return found
    # jiwer cuts a line at blanks: numbers stand for words, which may be empty or hold some
    numbers = {word: str(i) for i, word in enumerate(dict.fromkeys([*reference, *hypothesis]))}
    output = jiwer.process_words(
        " ".join(numbers[word] for word in reference),
        " ".join(numbers[word] for word in hypothesis),
    )
    for chunk in output.alignments[0]:
        if chunk.type == "equal":
            found[chunk.hyp_start_idx : chunk.hyp_end_idx] = [True] * (
                chunk.hyp_end_idx - chunk.hyp_start_idx
            )
    return found
