"""How sure the words of a model are, learnt and measured on speech whose text is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asr_attn.decoding.words import FEATURES
from asr_attn.evaluation.calibration import (
    ReliabilityBin,
    brier_score,
    calibration_error_interval,
    discrimination,
    expected_calibration_error,
    fit_calibration,
    log_loss,
    normalized_cross_entropy,
    reliability,
    word_correctness,
)
from asr_attn.models.confidence import Calibration

if TYPE_CHECKING:
    from asr_attn.transcript import Transcript

FOLDS = 5
"""Parts of the speech, for a calibration that is measured on speech it was not learnt on."""


@dataclass(frozen=True)
class JudgedWords:
    """The words of some transcripts, and whether they are right.

    Attributes:
        features: (N, F) what speaks for each word, see ``decoding.words.FEATURES``.
        confidence: (N,) as transcribed.
        correct: (N,) bool.
        utterance: (N,) number of the transcript that each belongs to.
    """

    features: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]
    utterance: NDArray[np.int64]


def judge_words(transcripts: Sequence["Transcript"], references: Sequence[str]) -> JudgedWords:
    """Tell right from wrong words by an alignment with what was said.

    Args:
        transcripts: what was recognised.
        references: what was said, in the same order.
    """
    features, confidence, correct, utterance = [], [], [], []
    for i, (transcript, reference) in enumerate(zip(transcripts, references, strict=True)):
        words = transcript.words
        features += [word.features() for word in words]
        confidence += [word.confidence for word in words]
        correct += word_correctness(reference.split(), [word.text for word in words])
        utterance += [i] * len(words)
    return JudgedWords(
        np.array(features, dtype=np.float64).reshape(-1, len(FEATURES)),
        np.array(confidence, dtype=np.float64),
        np.array(correct, dtype=bool),
        np.array(utterance, dtype=np.int64),
    )


def learn_calibration(words: JudgedWords) -> Calibration:
    """Learn how sure words are from some that are known to be right or wrong."""
    return fit_calibration(words.features, words.correct, FEATURES)


def held_out_confidence(words: JudgedWords, seed: int = 0) -> NDArray[np.float64]:
    """Confidence (N,) of each word by a calibration that was learnt on other utterances.

    The utterances are cut into ``FOLDS`` parts at random; each part's words have the confidence
    that is learnt on the others.
    """
    count = int(words.utterance.max(initial=-1)) + 1
    fold = np.random.default_rng(seed).permutation(count) % FOLDS
    found = np.zeros(len(words.correct))
    for k in range(FOLDS):
        own = fold[words.utterance] == k
        if own.any():
            learnt = fit_calibration(words.features[~own], words.correct[~own], FEATURES)
            found[own] = learnt.confidence(words.features[own])
    return found


@dataclass(frozen=True)
class ConfidenceFigures:
    """How true the confidence of words is.

    Attributes:
        words: how many were judged.
        calibration_error: expected calibration error, from 0 (true) to 1.
        calibration_error_interval: 95 % interval of it, over utterances.
        brier: Brier score, 0 is best; None without words.
        log_loss: in nats, 0 is best; None without words.
        discrimination: probability that a right word is surer than a wrong one; None where all are
            right, or all wrong.
        normalized_cross_entropy: 1 where confidence tells all, 0 where it tells no more than the
            mean; None as before.
        bins: reliability curve, the least sure words first.
    """

    words: int
    calibration_error: float
    calibration_error_interval: tuple[float, float]
    brier: float | None
    log_loss: float | None
    discrimination: float | None
    normalized_cross_entropy: float | None
    bins: tuple[ReliabilityBin, ...]


def confidence_figures(
    confidence: NDArray[np.float64],
    correct: NDArray[np.bool_],
    utterance: NDArray[np.int64],
) -> ConfidenceFigures:
    """Measure how true confidence is.

    Args:
        confidence: (N,) of each word.
        correct: (N,) whether it is right.
        utterance: (N,) number of the utterance that it belongs to.
    """
    bins = reliability(confidence, correct)
    return ConfidenceFigures(
        len(correct),
        expected_calibration_error(bins),
        calibration_error_interval(confidence, correct, utterance),
        brier_score(confidence, correct),
        log_loss(confidence, correct),
        discrimination(confidence, correct),
        normalized_cross_entropy(confidence, correct),
        tuple(bins),
    )
