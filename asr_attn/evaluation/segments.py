"""The matched-pairs sentence-segment word error test of two recognisers.

Gillick and Cox 1989, "Some statistical issues in the comparison of speech recognition algorithms";
NIST's ``mapsswe``. It assumes that what one segment holds tells nothing of the errors in another,
and that there are enough segments for their mean to be normally distributed.
"""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import ndtr

from asr_attn.evaluation.scoring import aligned

BUFFER = 2
"""Words on end that both recognise: what is before and after them is independent (NIST)."""

Places: TypeAlias = "array[int]"
"""Errors at places of an utterance."""


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


def segment_differences(reference: str, first: str, second: str) -> list[int]:
    """Errors of the first system less those of the second, in each segment of an utterance.

    A segment is a stretch with errors of either system; it ends where both have recognised
    ``BUFFER`` words on end, with nothing inserted between them, and at the end of the utterance.
    """
    ours, theirs = error_places([reference] * 2, [first, second])
    return differences(ours, theirs)


def differences(ours: Places, theirs: Places) -> list[int]:
    """As ``segment_differences``, of places of errors in one utterance."""
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


def error_places(references: Iterable[str], hypotheses: Iterable[str]) -> Iterator[Places]:
    """Yields the places of errors in each utterance.

    They are before the first word, at it, between it and the next, and so on: 2 n + 1 for n words.
    """
    for words, _, chunks in aligned(references, hypotheses):
        places = array("I", [0]) * (2 * len(words) + 1)
        for chunk in chunks:
            if chunk.type == "insert":
                places[2 * chunk.ref_start_idx] += chunk.hyp_end_idx - chunk.hyp_start_idx
            elif chunk.type != "equal":
                for i in range(chunk.ref_start_idx, chunk.ref_end_idx):
                    places[2 * i + 1] += 1
        yield places


def matched_pairs_test(differences: Sequence[int]) -> SegmentTest:
    """The matched-pairs test of the differences of all segments, by the normal distribution.

    ``p`` is at least what it would be if all differences pointed one way by chance: two to the
    power of one less their number. The normal distribution knows of no such bound, and would find
    two segments enough.
    """
    values = np.asarray(differences, dtype=np.float64)
    bound = same_sign_chance(int(np.count_nonzero(values)))
    if len(values) < 2:
        return SegmentTest(len(values), float(values.sum()), None, bound)
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    if deviation == 0:
        return SegmentTest(len(values), mean, None, bound)
    z = mean / (deviation / math.sqrt(len(values)))
    return SegmentTest(len(values), mean, z, max(bound, float(2 * ndtr(-abs(z)))))


def same_sign_chance(count: int) -> float:
    """How likely so many differences all have the same sign, if each sign is a coin's toss."""
    return min(1.0, 2.0 ** (1 - count))
