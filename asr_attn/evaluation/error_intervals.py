"""Intervals of all error rates of a test set, from the same resampled sets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr_attn.evaluation.intervals import (
    DRAWS,
    FEWEST,
    MANY,
    Interval,
    bca_interval,
    bootstrap_sums,
    by_unit,
    covering,
    exact_interval,
    interval_of_rates,
)
from asr_attn.evaluation.scoring import Scores


@dataclass(frozen=True)
class ErrorIntervals:
    """95 % intervals; None where there is nothing that could be wrong.

    Attributes:
        words: of the word error rate.
        characters: of the character error rate.
        match_errors: of the match error rate (MER).
        information_lost: of the word information lost (WIL).
        sentences: of the share of utterances with an error.
    """

    words: Interval | None
    characters: Interval | None
    match_errors: Interval | None
    information_lost: Interval | None
    sentences: Interval | None


def error_intervals(
    words: Scores,
    characters: Scores,
    units: NDArray[np.int64] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> ErrorIntervals:
    """Intervals by the bootstrap over units (Bisani and Ney 2004), see ``intervals``.

    Args:
        words: of N utterances.
        characters: of the same utterances.
        units: (N,) number of what is resampled as a whole, such as a speaker; each utterance alone
            when not given.
        draws: resampled sets.
        seed: of the draws.
    """
    ratios = (
        (words.errors, words.words),
        (characters.errors, characters.words),
        (words.errors, words.words + words.inserted),
        ((words.errors > 0).astype(np.int64), np.ones_like(words.words)),
    )
    columns = [np.column_stack(ratio) for ratio in ratios]
    columns.append(np.column_stack([words.hits, words.words, words.written]))
    columns = [by_unit(values, units) for values in columns]
    sums = _together(columns, draws, seed)
    wer, cer, mer, ser = (
        interval_of_rates((drawn[:, 0] / np.maximum(drawn[:, 1], 1))[drawn[:, 1] > 0], *values.T)
        if values[:, 1].any()
        else None
        for drawn, values in zip(sums, columns[:-1])
    )
    lost = _lost_interval(sums[-1], columns[-1]) if words.words.any() else None
    return ErrorIntervals(wer, cer, mer, lost, ser)


def _together(
    columns: Sequence[NDArray[np.int64]], draws: int, seed: int
) -> list[NDArray[np.int64]]:
    """Sums (R, C) of each of several (N, C); drawn at once unless there are too many units.

    Of many units those that are alike are drawn as one, and fewer are alike in all columns.
    """
    if len(columns[0]) > MANY:
        return [bootstrap_sums(values, draws, seed) for values in columns]
    ends = np.cumsum([values.shape[1] for values in columns])[:-1]
    return np.split(bootstrap_sums(np.column_stack(columns), draws, seed), ends, axis=1)


def _lost_interval(sums: NDArray[np.int64], values: NDArray[np.int64]) -> Interval:
    """Interval of the word information lost.

    Where few units have errors, or few have hits, it also holds what the exact interval of the
    words that are missed would give if each were taken for another.

    Args:
        sums: (R, 3) of resampled sets: right words, words of references, words of hypotheses.
        values: (N, 3) the same of each unit.
    """
    hits, said, written = values.T
    right, total, output = int(hits.sum()), int(said.sum()), max(int(written.sum()), 1)
    lost = 1.0 - right / total * (right / output)
    # the derivative of the loss by how often a unit comes in a set
    pull = (1.0 - lost) * (said / total + written / output) - 2.0 * right / total * hits / output
    found = Interval(lost, lost)
    if np.any(np.abs(pull) > 1e-12):
        drawn = sums[sums[:, 1] > 0]
        kept = drawn[:, 0] / drawn[:, 1] * (drawn[:, 0] / np.maximum(drawn[:, 2], 1))
        found = bca_interval(1.0 - kept, lost, pull)
        wrong = (said > hits) | (written > hits)
        if min(np.count_nonzero(wrong), np.count_nonzero(hits)) >= FEWEST:
            return found
    missed = exact_interval(total - right, total)
    return covering(found, Interval(*(1.0 - (1.0 - end) ** 2 for end in (missed.low, missed.high))))
