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
    """
    values = np.asarray(features, dtype=np.float64).reshape(-1, len(names))
    size = len(names)
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
    """

    confidence: float
    accuracy: float
    count: int


def reliability(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS
) -> list[ReliabilityBin]:
    """The reliability curve: bins of equally many words, the least sure first.

    Args:
        confidence: (N,) from 0 to 1.
        correct: (N,) bool.
        bins: how many, at most N.
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order))) if len(order) else []
    return [
        ReliabilityBin(float(confidence[p].mean()), float(correct[p].mean()), len(p)) for p in parts
    ]


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Mean distance of confidence and accuracy, by words (Guo et al. 2017)."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / total if total else 0.0


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
    sure = np.clip(np.where(correct, confidence, 1 - confidence), 1e-12, 1.0)
    return float((entropy + np.log(sure).mean()) / entropy)


def word_correctness(reference: Sequence[str], hypothesis: Sequence[str]) -> list[bool]:
    """Whether each word of a hypothesis is right, by a minimal alignment with the reference."""
    found = [False] * len(hypothesis)
    if not reference or not hypothesis:
        return found
    output = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    for chunk in output.alignments[0]:
        if chunk.type == "equal":
            found[chunk.hyp_start_idx : chunk.hyp_end_idx] = [True] * (
                chunk.hyp_end_idx - chunk.hyp_start_idx
            )
    return found
