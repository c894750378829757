"""How far accounts of what a word rests on agree: ranks, shared mass, mass where CTC hears it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

PAIRS: Mapping[str, tuple[str, str]] = {
    "gradients": ("attention", "gradients"),
    "occlusion": ("attention", "occlusion"),
    "both": ("gradients", "occlusion"),
}
"""Which two methods a figure compares; the third tells how far the two yardsticks agree."""


@dataclass(frozen=True)
class Agreement:
    """How far the methods agree about a word, or about several on average.

    Attributes:
        correlation: rank correlation (Spearman) over memory steps, -1 to 1, for each of ``PAIRS``;
            None where a method tells no step from another.
        overlap: mass over memory steps that two methods share, 0 to 1: 1 less the total variation
            distance; None where a method has no mass.
        inside: share of each method's mass in the word's time by CTC; None without mass or CTC.
    """

    correlation: Mapping[str, float | None]
    overlap: Mapping[str, float | None]
    inside: Mapping[str, float | None]


def word_agreement(
    rows: Mapping[str, NDArray[np.float64]],
    reduction: int,
    span: tuple[float, float] | None,
    frame_seconds: float,
) -> Agreement:
    """Compare the methods' rows of one word.

    Attention knows no finer time than memory steps, so ranks and overlap are taken over these.

    Args:
        rows: name of a method to its masses (T,) of the frames.
        reduction: frames per memory step.
        span: seconds (start, end) of the word by CTC; None where CTC cannot tell.
        frame_seconds: seconds from one frame to the next.
    """
    edges = np.arange(0, len(next(iter(rows.values()))), reduction)
    steps = {name: np.add.reduceat(row, edges) for name, row in rows.items()}
    return Agreement(
        {key: rank_correlation(steps[a], steps[b]) for key, (a, b) in PAIRS.items()},
        {key: overlap(steps[a], steps[b]) for key, (a, b) in PAIRS.items()},
        {
            name: None if span is None else mass_inside(row, *span, frame_seconds)
            for name, row in rows.items()
        },
    )


def mean_agreement(words: Sequence[Agreement]) -> Agreement:
    """Average each figure over the words that have it; None where none has."""

    def means(figures: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
        keys = dict.fromkeys(key for word in figures for key in word)
        found = {key: [v for word in figures if (v := word[key]) is not None] for key in keys}
        return {key: float(np.mean(values)) if values else None for key, values in found.items()}

    return Agreement(
        means([word.correlation for word in words]),
        means([word.overlap for word in words]),
        means([word.inside for word in words]),
    )


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Spearman's rank correlation of two rows, equal values sharing their mean rank.

    Returns:
        -1 to 1; None where all values of a row are equal.
    """
    ranks = [rankdata(row) for row in (a, b)]  # equal values share their mean rank
    if any(np.ptp(row) == 0 for row in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Mass that two distributions share: 1 less their total variation distance.

    Args:
        a: masses, scaled to the sum 1 here.
        b: the same.

    Returns:
        0 (apart) to 1 (the same); None where one has no mass.
    """
    if a.sum() <= 0 or b.sum() <= 0:
        return None
    return float(np.minimum(a / a.sum(), b / b.sum()).sum())


def mass_inside(
    row: NDArray[np.float64], start: float, end: float, frame_seconds: float
) -> float | None:
    """Share of a row's mass between two times; a frame that is cut counts by the part inside.

    Args:
        row: masses (T,) of the frames, the first of which starts at 0.
        start: seconds.
        end: seconds.
        frame_seconds: seconds from one frame to the next.

    Returns:
        0 to 1; None where there is no mass.
    """
    if row.sum() <= 0:
        return None
    mass = np.concatenate([[0.0], row.cumsum()])
    frames = np.arange(len(row) + 1) * frame_seconds
    inside = np.interp(end, frames, mass) - np.interp(start, frames, mass)
    return float(inside / mass[-1])
