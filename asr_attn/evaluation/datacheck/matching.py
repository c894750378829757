"""Which recordings may be the same, by their fingerprints: an index of parts of their words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr_attn.evaluation.datacheck.fingerprint import BITS, SPEEDS, Words, bit_errors

LARGEST_ERROR = 0.25
"""Share of bits that may differ between two codings of a recording."""
COVERAGE = 0.7
"""Share of the sounding words of the longer recording that the shorter one must have, too."""
_TABLES = 3
_SMALLEST_KEY, _LARGEST_KEY = 16, 28
_LAG_STEP = 2
_TRIED = 12
_KEPT = 2
_LARGEST_BUCKET = 200
_QUERY_WORDS = 20_000

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """Two recordings that may be the same.

    Attributes:
        slow: number of the one that is played faster to be like the other.
        fast: number of the other.
        speed: by how much, one of `SPEEDS`.
        lag: word of ``slow``, played faster, at which ``fast`` begins; may be negative.
        error: share of bits that differ.
    """

    slow: int
    fast: int
    speed: float
    lag: int
    error: float


def find_candidates(words: Mapping[float, Sequence[Words]]) -> list[Candidate]:
    """Pairs of recordings with alike fingerprints, the surest first.

    Each recording is looked for among the others at each speed. What has parts of words in common
    at about the same lag is compared word by word.

    Args:
        words: for each of `SPEEDS`, the fingerprints of the recordings.
    """
    found: dict[tuple[int, int], Candidate] = {}
    index = _Index(words[1.0])
    for speed in SPEEDS:
        for slow, fast, lags in index.alike(words[speed]):
            if slow == fast or (speed == 1.0 and slow > fast):
                continue
            candidate = _compare(words[speed], words[1.0], slow, fast, lags, speed)
            pair = min(slow, fast), max(slow, fast)
            if candidate and (pair not in found or candidate.error < found[pair].error):
                found[pair] = candidate
    return _best_of_each(sorted(found.values(), key=lambda c: c.error))


def _best_of_each(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that are among the best few of either recording."""
    kept: dict[int, int] = {}
    best = []
    for candidate in candidates:
        counts = kept.get(candidate.slow, 0), kept.get(candidate.fast, 0)
        if min(counts) < _KEPT:
            kept[candidate.slow], kept[candidate.fast] = counts[0] + 1, counts[1] + 1
            best.append(candidate)
    return best


def _compare(
    played: Sequence[Words],
    plain: Sequence[Words],
    slow: int,
    fast: int,
    lags: Sequence[int],
    speed: float,
) -> Candidate | None:
    a, b = played[slow], plain[fast]
    longer = max(np.count_nonzero(a), np.count_nonzero(b))
    best: Candidate | None = None
    for lag in lags:
        error, count = bit_errors(a, b, lag)
        if count >= COVERAGE * longer and error < (best.error if best else LARGEST_ERROR):
            best = Candidate(slow, fast, speed, lag, error)
    return best


class _Index:
    """Words of all recordings, by parts of their bits.

    The parts are wider the more words there are, so that the number of chance hits for a word does
    not grow with the data.

    Args:
        words: fingerprints of the recordings.
    """

    def __init__(self, words: Sequence[Words]) -> None:
        flat, self.owners, self.places = _flattened(words)
        self._recordings = len(words)
        self._longest = max(map(len, words), default=0) + 1
        width = int(np.clip(np.log2(max(len(flat), 1)) + 3, _SMALLEST_KEY, _LARGEST_KEY))
        random = np.random.default_rng(0)
        self._masks = [_mask(random.permutation(BITS)[:width]) for _ in range(_TABLES)]
        self._tables = []
        for mask in self._masks:
            keys = flat & mask
            order = np.argsort(keys, kind="stable")
            self._tables.append((keys[order], order))

    def alike(self, words: Sequence[Words]) -> Iterator[tuple[int, int, list[int]]]:
        """Pairs with parts in common: number in ``words``, number in the index, possible lags."""
        batch: list[int] = []
        size = 0
        for number, own in enumerate(words):
            batch.append(number)
            size += len(own)
            if size >= _QUERY_WORDS or number == len(words) - 1:
                yield from self._alike([words[i] for i in batch], batch)
                batch, size = [], 0

    def _alike(
        self, words: Sequence[Words], numbers: Sequence[int]
    ) -> Iterator[tuple[int, int, list[int]]]:
        flat, owners, places = _flattened(words)
        hits = [self._hits(flat, table) for table in range(_TABLES)]
        query = np.concatenate([hit[0] for hit in hits])
        entry = np.concatenate([hit[1] for hit in hits])
        slow, fast = np.asarray(numbers)[owners[query]], self.owners[entry]
        lag = (places[query] - self.places[entry]) // _LAG_STEP
        others = slow != fast
        # one integer for each recording, other recording and lag
        lag += self._longest
        key = (slow * self._recordings + fast) * (2 * self._longest) + lag
        votes, counts = np.unique(key[others], return_counts=True)
        pairs, lags = np.divmod(votes, 2 * self._longest)
        slow, fast = np.divmod(pairs, self._recordings)
        yield from _most_voted(slow, fast, lags - self._longest, counts)

    def _hits(self, flat: Words, table: int) -> tuple[Integers, Integers]:
        """Pairs of query words and index words that have a part in common."""
        keys, order = self._tables[table]
        wanted = flat & self._masks[table]
        first = np.searchsorted(keys, wanted, "left")
        counts = np.searchsorted(keys, wanted, "right") - first
        counts[counts > _LARGEST_BUCKET] = 0  # hum and noise are alike everywhere
        query = np.repeat(np.arange(len(flat)), counts)
        starts = np.repeat(first - np.cumsum(counts) + counts, counts)
        return query, order[starts + np.arange(len(query))]


def _most_voted(
    slow: Integers, fast: Integers, lag: Integers, counts: Integers
) -> Iterator[tuple[int, int, list[int]]]:
    """For each recording, the few others with the most votes for one lag, and their lags."""
    order = np.lexsort((-counts, slow))
    begins = np.r_[True, np.diff(slow[order]) != 0]
    ranks = np.arange(len(order)) - np.maximum.accumulate(
        np.where(begins, np.arange(len(order)), 0)
    )
    found: dict[tuple[int, int], list[int]] = {}
    for i in order[ranks < _TRIED]:
        base = int(lag[i]) * _LAG_STEP
        found.setdefault((int(slow[i]), int(fast[i])), []).extend(range(base, base + _LAG_STEP))
    for (a, b), lags in found.items():
        yield a, b, lags


def _flattened(words: Sequence[Words]) -> tuple[Words, Integers, Integers]:
    """Sounding words of all recordings, their recordings and their places in them."""
    sizes = [len(own) for own in words]
    flat = np.concatenate(words) if words else np.zeros(0, dtype=np.uint32)
    owners = np.repeat(np.arange(len(words)), sizes)
    places = np.concatenate([np.arange(size) for size in sizes]) if words else owners
    sounding = flat != 0
    return flat[sounding], owners[sounding], places[sounding]


def _mask(bits: Integers) -> np.uint32:
    return np.uint32(sum(1 << int(bit) for bit in bits))
