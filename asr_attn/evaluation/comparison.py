"""Whether one recogniser is better than another, on the same utterances."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from asr_attn.evaluation.intervals import (
    DRAWS,
    FEWEST,
    LEVEL,
    Interval,
    by_unit,
    exact_interval,
    percentile_interval,
    resampled_sums,
)
from asr_attn.evaluation.segments import SegmentTest, same_sign_chance

POWER = 0.8
_CHUNK = 500


@dataclass(frozen=True)
class Comparison:
    """Two systems, A and B, on N utterances.

    Attributes:
        rate_a: word error rate of A, the mean of its seeds.
        rate_b: of B.
        difference: rate of B less that of A; below 0 B is better.
        interval: of the difference.
        b_better: share of the resampled sets in which B is better; sets with no difference count
            half.
        p: how likely so large a difference is if the systems are equally good, by the bootstrap.
        differing: units (utterances, or speakers) in which one makes more errors than the other.
        segment_test: of single models; None with several seeds.
        needed: utterances with which a difference like this would be found with a probability of
            80 %; None where there is no difference, or where the seeds differ so much that
            utterances alone would not do.
        seeds: of A and of B.
    """

    rate_a: float
    rate_b: float
    difference: float
    interval: Interval
    b_better: float
    p: float
    differing: int
    segment_test: SegmentTest | None
    needed: int | None
    seeds: tuple[int, int]

    @property
    def shown(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.interval.low > 0 or self.interval.high < 0


def compare(
    errors_a: NDArray[np.int64],
    errors_b: NDArray[np.int64],
    words: NDArray[np.int64],
    segment_test: SegmentTest | None = None,
    units: NDArray[np.int64] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare by a paired bootstrap (Bisani and Ney 2004): both are resampled together.

    With several seeds of a system, seeds are resampled as well, so that the interval tells what to
    expect of other seeds: a system that is better by its luck with one seed is not found better.
    Draws have the tails of Student's t with the degrees of freedom of Welch and Satterthwaite,
    since a few seeds (or speakers) tell little of how they vary. What chance does to single
    utterances is counted with the utterances and with the seeds, so that the interval is up to 1.4
    times too wide where seeds make no difference.

    Where fewer than ``FEWEST`` units differ, resampling knows too little. Then the interval also
    holds 0, and on both sides of it what ``exact_interval`` makes of no errors in all words. Where
    all units differ alike, it holds as much on both sides of the difference.

    Args:
        errors_a: (N, K) wrong words of A in each utterance, for each of K seeds.
        errors_b: (N, L) of B.
        words: (N,) of the references.
        segment_test: to be kept with the result.
        units: (N,) number of what is resampled as a whole, such as a speaker; each utterance alone
            when not given.
        draws: resampled sets.
        seed: of the draws.
    """
    rates_a, rates_b = (e.sum(axis=0) / words.sum() for e in (errors_a, errors_b))
    sums_a, sums_b, sizes = (by_unit(v, units) for v in (errors_a, errors_b, words))
    difference = float(rates_b.mean() - rates_a.mean())
    spread = _spread(sums_a, sums_b, sizes)
    values = bootstrap_differences(sums_a, sums_b, sizes, draws, seed)
    values = difference + spread.widening(len(values), seed) * (values - difference)
    differing = _differing(sums_a, sums_b)
    interval = percentile_interval(values)
    bound = exact_interval(0, int(words.sum())).high
    if math.isclose(interval.low, interval.high, rel_tol=1e-6):
        interval = Interval(interval.low - bound, interval.high + bound)
    if differing < FEWEST:
        interval = Interval(min(interval.low, -bound), max(interval.high, bound))
    below, above = float(np.mean(values <= 0)), float(np.mean(values >= 0))
    least = max(1 / (draws + 1), same_sign_chance(differing) / 2)
    return Comparison(
        rate_a=float(rates_a.mean()),
        rate_b=float(rates_b.mean()),
        difference=difference,
        interval=interval,
        b_better=(below + 1.0 - above) / 2,
        p=min(1.0, 2 * max(min(below, above), least)),
        differing=differing,
        segment_test=segment_test,
        needed=spread.needed(difference, len(words)),
        seeds=(errors_a.shape[1], errors_b.shape[1]),
    )


def bootstrap_differences(
    errors_a: NDArray[np.int64],
    errors_b: NDArray[np.int64],
    words: NDArray[np.int64],
    draws: int = DRAWS,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Differences of the rates, B less A, in resampled sets of units and seeds.

    Args:
        errors_a: (N, K) in each unit, for each of K seeds.
        errors_b: (N, L) of B.
        words: (N,) reference words.
        draws: R resampled sets.
        seed: of the draws.

    Returns:
        (R,) differences; sets without words are left out.
    """
    random = np.random.default_rng(seed)
    seeds = errors_a.shape[1]
    found = []
    for sums in resampled_sums(np.column_stack([errors_a, errors_b, words]), draws, random, _CHUNK):
        total = sums[:, -1]
        rates = [
            (part * _seed_shares(part.shape[1], len(part), random)).sum(axis=1)
            / np.maximum(total, 1)
            for part in (sums[:, :seeds], sums[:, seeds:-1])
        ]
        found.append((rates[1] - rates[0])[total > 0])
    return np.concatenate(found)


def _seed_shares(seeds: int, size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Share (R, K) of each seed in each of R draws of as many seeds as there are.

    The mean of K drawn of K varies less, by 1 - 1/K, than a mean of K seeds does; the shares are
    set apart to make up for it.
    """
    shares = random.multinomial(seeds, np.full(seeds, 1 / seeds), size) / seeds
    if seeds == 1:
        return shares
    return 1 / seeds + math.sqrt(seeds / (seeds - 1)) * (shares - 1 / seeds)


@dataclass(frozen=True)
class _Spread:
    """Where the variance of a difference comes from.

    Attributes:
        units: variance from N units.
        seeds: variance from the seeds of both systems.
        count: N.
        freedom: degrees of freedom of the sum of both.
    """

    units: float
    seeds: float
    count: int
    freedom: float

    def widening(self, draws: int, seed: int) -> NDArray[np.float64]:
        """Factors (R,) that make normal deviates of R draws into those of Student's t."""
        random = np.random.default_rng([seed, 1])
        scale = math.sqrt(self.count / max(self.count - 1, 1))
        return scale * np.sqrt(self.freedom / random.chisquare(self.freedom, draws))

    def needed(self, difference: float, count: int) -> int | None:
        """Utterances that such a difference needs; ``count`` are there."""
        # standard errors that a difference must have to be found with this probability
        reach = float(stdtrit(self.freedom, 0.5 + LEVEL / 2) + ndtri(POWER))
        room = (difference / reach) ** 2 - self.seeds
        return math.ceil(count * self.units / room) if room > 0 and self.units > 0 else None


def _spread(
    errors_a: NDArray[np.int64], errors_b: NDArray[np.int64], words: NDArray[np.int64]
) -> _Spread:
    """The spread of the difference of mean rates, by the normal theory."""
    count = len(words)
    degrees = max(count - 1, 1)
    change = errors_b.mean(axis=1) - errors_a.mean(axis=1)
    residual = change - change.sum() / words.sum() * words
    units = count / degrees * float((residual**2).sum()) / float(words.sum()) ** 2
    parts = [(units, degrees)]
    for errors in (errors_a, errors_b):
        seeds = errors.shape[1]
        if seeds > 1:
            rates = errors.sum(axis=0) / words.sum()
            parts.append((float(rates.var(ddof=1)) / seeds, seeds - 1))
    total = sum(part for part, _ in parts)
    below = sum(part**2 / degrees for part, degrees in parts)
    return _Spread(units, total - units, count, total**2 / below if below > 0 else degrees)


def _differing(errors_a: NDArray[np.int64], errors_b: NDArray[np.int64]) -> int:
    """Units in which the mean errors (N, K) and (N, L) are not the same."""
    ours = errors_a.sum(axis=1) * errors_b.shape[1]
    return int(np.count_nonzero(ours != errors_b.sum(axis=1) * errors_a.shape[1]))
