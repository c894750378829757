"""How far an error rate may be from what it would be on more speech of the kind."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri, stdtrit

DRAWS = 10_000
LEVEL = 0.95
FEWEST = 6
"""Units with errors below which resampling alone is not trusted.

If chance alone gave each unit its sign, fewer than six would all have the same one more often than
in 5 % of the cases.
"""
_CHUNK = 1_000
"""Draws at a time, so that memory does not grow with them."""
MANY = 10_000
"""Units above which it is not them that are drawn, but how often those that are alike come."""
_CELLS = 5_000_000
"""Numbers drawn at a time, at most; 8 bytes each."""


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
    sums = bootstrap_sums(np.column_stack([errors, words]), draws, seed)
    total = sums[:, -1:]
    return (sums[:, :-1] / np.maximum(total, 1))[total[:, 0] > 0].reshape(-1, *errors.shape[1:])


def bootstrap_sums(values: NDArray[np.int64], draws: int, seed: int) -> NDArray[np.int64]:
    """(R, C) sums of values (N, C) of each unit over R resampled sets of units."""
    random = np.random.default_rng(seed)
    return np.concatenate(list(resampled_sums(values, draws, random, _CHUNK)))


def resampled_sums(
    values: NDArray[np.int64], draws: int, random: np.random.Generator, at_once: int
) -> Iterator[NDArray[np.int64]]:
    """Yields sums over resampled sets of units, as many units in each as there are.

    Of more than ``MANY`` units, those of the same values are not told apart: how often each kind
    comes in a set has a multinomial distribution. Time and memory then grow with the kinds, of
    which a test set has few.

    Args:
        values: (N, C) of each unit.
        draws: R resampled sets.
        random: draws them.
        at_once: sets at a time, at most.

    Yields:
        (R', C) sums of the next R' sets.
    """
    count = len(values)
    shares = None
    if count > MANY:
        values, alike = np.unique(values, axis=0, return_counts=True)
        shares = alike / count
    at_once = max(1, min(at_once, _CELLS // len(values)))
    for begin in range(0, draws, at_once):
        size = min(at_once, draws - begin)
        if shares is None:
            picks = random.integers(0, count, (size, count))
            picks += count * np.arange(size)[:, None]
            times = np.bincount(picks.ravel(), minlength=size * count).reshape(size, count)
        else:
            times = random.multinomial(count, shares, size)
        yield times @ values


def percentile_interval(values: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """The middle ``level`` of bootstrapped values."""
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return Interval(float(low), float(high), level)


def bca_interval(
    values: NDArray[np.float64],
    rate: float,
    pull: NDArray[np.float64],
    level: float = LEVEL,
) -> Interval:
    """The bias-corrected and accelerated interval of a pooled error rate (Efron 1987).

    Where errors are rare their number is skewed, and the middle of the draws lies too low. With few
    units the interval is expanded as Student's t is wider than the normal distribution (Hesterberg
    2015). In simulation, the middle of the draws held a true rate of 10 % in 91 % of sets of 20
    utterances, this interval in 94 %; with 300 utterances and more the two hardly differ.

    Args:
        values: (R,) bootstrapped rates.
        rate: of all units.
        pull: (N,) how much each of two units or more pulls at the rate, times any constant (for a
            rate of errors per word ``errors - rate * words``); not all 0. Its skewness is the
            acceleration.
        level: of the interval.
    """
    acceleration = (pull**3).sum() / (6.0 * (pull**2).sum() ** 1.5)
    below = np.mean(values < rate) + 0.5 * np.mean(values == rate)
    least = 0.5 / len(values)
    bias = ndtri(np.clip(below, least, 1.0 - least))
    count = len(pull)
    reach = math.sqrt(count / (count - 1)) * stdtrit(count - 1, 0.5 + level / 2.0)
    moved = bias + np.array([-reach, reach])
    low, high = np.quantile(values, ndtr(bias + moved / (1.0 - acceleration * moved)))
    return Interval(float(low), float(high), level)


def exact_interval(errors: int, words: int, level: float = LEVEL) -> Interval:
    """The interval of Clopper and Pearson (1934) for words that are wrong independently.

    Args:
        errors: wrong words; more than there are words count as all of them.
        words: reference words.
        level: of the interval.
    """
    errors = min(errors, words)
    tail = (1.0 - level) / 2.0
    low = betaincinv(errors, words - errors + 1, tail) if errors else 0.0
    high = betaincinv(errors + 1, words - errors, 1.0 - tail) if errors < words else 1.0
    return Interval(float(low), float(high), level)


def rate_interval(
    errors: NDArray[np.int64],
    words: NDArray[np.int64],
    units: NDArray[np.int64] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Interval of a pooled error rate by the bootstrap over units.

    Args:
        errors: (N,) in each utterance.
        words: (N,) of the references; some above 0.
        units: (N,) number of what is resampled as a whole, such as a speaker; each utterance alone
            when not given.
        draws: resampled sets.
        seed: of the draws.
    """
    errors, words = by_unit(errors, units), by_unit(words, units)
    return interval_of_rates(bootstrap_rates(errors, words, draws, seed), errors, words)


def interval_of_rates(
    values: NDArray[np.float64], errors: NDArray[np.int64], words: NDArray[np.int64]
) -> Interval:
    """Interval of a pooled error rate from bootstrapped ones.

    Where fewer than ``FEWEST`` units have errors, or all have the same rate, resampling knows too
    little; then the interval also holds that of ``exact_interval``, which is never empty: without
    any errors its upper end is about 3.7 divided by the number of words. Words are not independent,
    so that such an interval may still be too narrow.

    Args:
        values: (R,) bootstrapped rates.
        errors: (N,) in each unit.
        words: (N,) of the references; some above 0.
    """
    wrong, total = int(errors.sum()), int(words.sum())
    exact = exact_interval(wrong, total)
    if not wrong:
        return exact
    if np.all(errors * total == wrong * words):
        found = Interval(wrong / total, wrong / total)
    else:
        rate = wrong / total
        found = bca_interval(values, rate, errors - rate * words)
        if np.count_nonzero(errors) >= FEWEST:
            return found
    return covering(found, exact)


def covering(first: Interval, second: Interval) -> Interval:
    """The smallest interval that holds both."""
    return Interval(min(first.low, second.low), max(first.high, second.high), first.level)


def by_unit(values: NDArray[np.int64], units: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Sums over the utterances (N, ...) of each unit."""
    if units is None:
        return values
    names, units = np.unique(units, return_inverse=True)
    sums = np.zeros((len(names), *values.shape[1:]), dtype=np.int64)
    np.add.at(sums, units, values)
    return sums
