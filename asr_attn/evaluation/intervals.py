"""How far an error rate may be from what it would be on more speech of the kind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
LEVEL = 0.95
_CHUNK = 1_000
"""Draws at a time, so that memory does not grow with them."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: its lower end.
        high: its upper end.
        level: how often such intervals hold the true value.
    """

    low: float
    high: float
    level: float = LEVEL


def bootstrap_rates(
    errors: NDArray[np.int64], words: NDArray[np.int64], draws: int = DRAWS, seed: int = 0
) -> NDArray[np.float64]:
    """Error rates of resampled test sets (Bisani and Ney 2004).

    Units, which are utterances or all utterances of a speaker, are drawn with replacement, as many
    as there are.

    Args:
        errors: (N,) or (N, M) errors in each unit, of M systems.
        words: (N,) reference words.
        draws: R resampled sets.
        seed: of the draws; the same ones for the same N.

    Returns:
        (R,) or (R, M) rates, pooled; sets without words are left out.
    """
    count = len(words)
    random = np.random.default_rng(seed)
    found = []
    for begin in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - begin)
        picks = random.integers(0, count, (size, count))
        picks += count * np.arange(size)[:, None]
        times = np.bincount(picks.ravel(), minlength=size * count).reshape(size, count)
        total = times @ words
        rates = (times @ errors).T / np.maximum(total, 1)
        found.append(rates.T[total > 0])
    return np.concatenate(found)


def percentile_interval(values: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """The middle ``level`` of bootstrapped values."""
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return Interval(float(low), float(high), level)


def rate_interval(
    errors: NDArray[np.int64],
    words: NDArray[np.int64],
    units: NDArray[np.int64] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Interval of a pooled error rate by the bootstrap over units.

    Where there are no errors at all, resampling knows of none either; then the upper end is that of
    Clopper and Pearson for independent words, about 3.7 divided by their number.

    Args:
        errors: (N,) in each utterance.
        words: (N,) of the references; some above 0.
        units: (N,) number of what is resampled as a whole, such as a speaker; each utterance alone
            when not given.
        draws: resampled sets.
        seed: of the draws.
    """
    if not errors.any():
        return Interval(0.0, 1.0 - ((1.0 - LEVEL) / 2) ** (1.0 / max(int(words.sum()), 1)))
    return percentile_interval(
        bootstrap_rates(by_unit(errors, units), by_unit(words, units), draws, seed)
    )


def by_unit(values: NDArray[np.int64], units: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Sums over the utterances (N, ...) of each unit."""
    if units is None:
        return values
    sums = np.zeros((int(units.max()) + 1, *values.shape[1:]), dtype=np.int64)
    np.add.at(sums, units, values)
    return sums
