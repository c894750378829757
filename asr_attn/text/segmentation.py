"""Ways to cut a word into pieces: the likeliest one, drawn ones, and by merging.

Kudo 2018, "Subword regularization: improving neural network translation models with multiple
subword candidates"; Sennrich et al. 2016, "Neural machine translation of rare words with subword
units"; Provilkov et al. 2020, "BPE-dropout: simple and effective subword regularization".
"""

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Ways: TypeAlias = list[tuple[list[int], list[float]]]
"""For each place in a word: where pieces that end there begin, and the running sum of weights."""


@dataclass(frozen=True)
class UnigramModel:
    """Pieces and how likely each is; that of a cut is the product of its pieces'.

    Attributes:
        log_probs: of each piece.
        unknown: log-probability of a character that is no piece; without others it is a part of its
            own.
        longest: most characters of a piece.
    """

    log_probs: Mapping[str, float]
    unknown: float
    longest: int

    def likeliest(self, word: str) -> list[str]:
        """Cut a word the likeliest way (Viterbi); of two as likely, the longer last piece."""
        best, begins = [0.0], [0]
        for end in range(1, len(word) + 1):
            values = [(best[begin] + value, -begin) for begin, value in self._ending(word, end)]
            value, begin = max(values)
            best.append(value)
            begins.append(-begin)
        return _pieces(word, begins)

    def ways(self, word: str, smoothing: float) -> Ways:
        """All ways to cut a word, summed up from its start to each place in it.

        Args:
            word: what to cut.
            smoothing: the power that probabilities are raised to: with 1 each way is drawn as often
                as it is likely, towards 0 all become alike.
        """
        total: list[float] = [0.0]
        found: Ways = [([], [])]
        for end in range(1, len(word) + 1):
            ending = [(b, total[b] + smoothing * value) for b, value in self._ending(word, end)]
            top = max(value for _, value in ending)
            sums = list(itertools.accumulate(math.exp(value - top) for _, value in ending))
            total.append(top + math.log(sums[-1]))
            found.append(([begin for begin, _ in ending], sums))
        return found

    def _ending(self, word: str, end: int) -> Iterator[tuple[int, float]]:
        """Where pieces begin that end at ``end``, and their log-probabilities."""
        for begin in range(max(0, end - self.longest), end):
            value = self.log_probs.get(word[begin:end])
            if value is not None:
                yield begin, value
            elif begin == end - 1:
                yield begin, self.unknown


def drawn(word: str, ways: Ways, random: np.random.Generator) -> list[str]:
    """Cut a word in one of the ways of `UnigramModel.ways`, from its end to its start."""
    found, end = [], len(word)
    while end:
        begins, sums = ways[end]
        place = bisect.bisect_right(sums, random.random() * sums[-1])
        begin = begins[min(place, len(begins) - 1)]  # rounding may lead to the sum itself
        found.append(word[begin:end])
        end = begin
    return found[::-1]


def _pieces(word: str, begins: list[int]) -> list[str]:
    """The pieces of a word, by where that which ends at each place begins."""
    found, end = [], len(word)
    while end:
        found.append(word[begins[end] : end])
        end = begins[end]
    return found[::-1]


def merged(
    word: str,
    ranks: Mapping[str, int],
    drop: float = 0.0,
    random: np.random.Generator | None = None,
) -> list[str]:
    """Cut a word into characters, then merge neighbours: of the pieces there may be, the first.

    Args:
        word: what to cut.
        ranks: of the pieces, which are merged in this order; of equal ones, the left one first.
        drop: probability that a merge is not seen, drawn anew before each (BPE-dropout).
        random: draws; needed where ``drop`` is above 0.
    """
    parts = list(word)
    pairs = [ranks.get(left + right) for left, right in itertools.pairwise(parts)]
    while True:
        seen = [(rank, i) for i, rank in enumerate(pairs) if rank is not None]
        if drop and seen:
            assert random is not None
            numbers = random.random(len(seen)).tolist()
            seen = [pair for pair, number in zip(seen, numbers) if number >= drop]
        if not seen:
            return parts
        _, i = min(seen)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
        del pairs[i]
        for j in (i - 1, i):
            if 0 <= j < len(pairs):
                pairs[j] = ranks.get(parts[j] + parts[j + 1])
