"""Whether one recogniser is better than another, on the same utterances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from asr_attn.evaluation.intervals import DRAWS, LEVEL, Interval, by_unit, percentile_interval

BUFFER = 2
"""Words on end that both recognise: what is before and after them is independent (NIST)."""
POWER = 0.8
_CHUNK = 500


@dataclass(frozen=True)
class SegmentTest:
    """The matched-pairs sentence-segment word error test.

    Attributes:
        segments: how many there are.
        mean: errors of the first system less those of the second, per segment.
        z: mean over its standard error; None where the segments do not differ in it.
        p: how likely so large a ``z`` is, in either direction, if the systems are equally good.
    """

    segments: int
    mean: float
    z: float | None
    p: float


@dataclass(frozen=True)
class Comparison:
    """Two systems, A and B, on N utterances.

    Attributes:
        rate_a: word error rate of A, the mean of its seeds.
        rate_b: of B.
        difference: rate of B less that of A; below 0 B is better.
        interval: of the difference.
        p: how likely so large a difference is if the systems are equally good, by the bootstrap.
        segment_test: of the first seeds; None with several seeds.
        needed: utterances with which a difference like this would be found with a probability of
            80 %; None where there is no difference.
        seeds: of A and of B.
    """

    rate_a: float
    rate_b: float
    difference: float
    interval: Interval
    p: float
    segment_test: SegmentTest | None
    needed: int | None
    seeds: tuple[int, int]


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
    values = _differences(sums_a, sums_b, sizes, draws, np.random.default_rng(seed))
    difference = float(rates_b.mean() - rates_a.mean())
    below, above = float(np.mean(values <= 0)), float(np.mean(values >= 0))
    return Comparison(
        float(rates_a.mean()),
        float(rates_b.mean()),
        difference,
        percentile_interval(values),
        min(1.0, 2 * max(min(below, above), 1 / (draws + 1))),
        segment_test,
        _needed(errors_a, errors_b, words),
        (errors_a.shape[1], errors_b.shape[1]),
    )


def _differences(
    errors_a: NDArray[np.int64],
    errors_b: NDArray[np.int64],
    words: NDArray[np.int64],
    draws: int,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Differences (R,) of the rates in resampled sets of units and seeds."""
    count = len(words)
    found = []
    for begin in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - begin)
        picks = random.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(picks.ravel(), minlength=size * count).reshape(size, count)
        total = times @ words
        rates = [
            ((times @ errors) * _seed_shares(errors.shape[1], size, random)).sum(axis=1)
            / np.maximum(total, 1)
            for errors in (errors_a, errors_b)
        ]
        found.append((rates[1] - rates[0])[total > 0])
    return np.concatenate(found)


def _seed_shares(seeds: int, size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Share (R, K) of each seed in each of R draws of as many seeds as there are."""
    return random.multinomial(seeds, np.full(seeds, 1 / seeds), size) / seeds


def _needed(
    errors_a: NDArray[np.int64], errors_b: NDArray[np.int64], words: NDArray[np.int64]
) -> int | None:
    """Utterances that a difference like this needs, by the normal theory of a paired test."""
    change = errors_b.mean(axis=1) - errors_a.mean(axis=1)
    residual = change - change.sum() / words.sum() * words
    if len(words) < 2 or change.mean() == 0:
        return None
    reach = norm.ppf(0.5 + LEVEL / 2) + norm.ppf(POWER)
    return math.ceil(float((reach * residual.std(ddof=1) / change.mean()) ** 2))


def segment_differences(reference: str, first: str, second: str) -> list[int]:
    """Errors of the first system less those of the second, in each segment of an utterance.

    A segment is a stretch with errors of either system; it ends where both have recognised
    ``BUFFER`` words on end, with nothing inserted between them (Gillick and Cox 1989, "Some
    statistical issues in the comparison of speech recognition algorithms"; NIST's mapsswe).
    """
    ours, theirs = _error_places(reference, first), _error_places(reference, second)
    found: list[int] = []
    inside, right = False, 0
    for place, (a, b) in enumerate(zip(ours, theirs)):
        if a or b:
            if inside:
                found[-1] += a - b
            else:
                found.append(a - b)
            inside, right = True, 0
        elif place % 2:  # a word that both recognise
            right += 1
            inside = inside and right < BUFFER
    return found


def _error_places(reference: str, hypothesis: str) -> list[int]:
    """Errors at each place: before the first word, at it, between it and the next, and so on."""
    words, written = reference.split(), hypothesis.split()
    places = [0] * (2 * len(words) + 1)
    if not words or not written:
        places[0] = len(written)
        for i in range(len(words)):
            places[2 * i + 1] = 1
        return places
    for chunk in jiwer.process_words(reference, hypothesis).alignments[0]:
        if chunk.type == "insert":
            places[2 * chunk.ref_start_idx] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type != "equal":
            for i in range(chunk.ref_start_idx, chunk.ref_end_idx):
                places[2 * i + 1] += 1
    return places


def matched_pairs_test(differences: Sequence[int]) -> SegmentTest:
    """The matched-pairs test of the differences of all segments, by the normal distribution."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return SegmentTest(len(values), float(values.sum()), None, 1.0)
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    if deviation == 0:
        return SegmentTest(len(values), mean, None, 1.0 if mean == 0 else 0.0)
    z = mean / (deviation / math.sqrt(len(values)))
    return SegmentTest(len(values), mean, z, float(2 * norm.sf(abs(z))))


def conclusion(result: Comparison, count: int, names: tuple[str, str] = ("A", "B")) -> str:
    """What can be concluded, in plain words.

    Args:
        result: of the comparison.
        count: utterances that were compared.
        names: of the systems.
    """
    a, b = names
    low, high = 100 * result.interval.low, 100 * result.interval.high
    if low <= 0 <= high:
        text = (
            f"Neither is shown to be better: {b} may have {_points(low)} to {_points(high)} points "
            f"of WER than {a} (95 %)."
        )
        if result.needed is not None and result.needed > count:
            text += (
                f" If the difference is what it seems, about {result.needed - count} utterances "
                "more would tell (with a probability of 80 %)."
            )
    else:
        better, worse = (b, a) if high < 0 else (a, b)
        least, most = sorted((abs(low), abs(high)))
        text = (
            f"{better} is better than {worse}, by {least:.2f} to {most:.2f} points of WER (95 %)."
        )
    if result.seeds == (1, 1):
        text += (
            " This is of two trained models: training again, with other seeds, may turn it around;"
            " compare several seeds of each to tell."
        )
    return text


def _points(value: float) -> str:
    return f"{abs(value):.2f} {'fewer' if value < 0 else 'more'}"
