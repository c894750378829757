"""Counting n-grams: chunks are sorted, and sorted chunks merged.

An n-gram is packed into as few integers of 64 bits as will hold it, its last symbol in the highest
bits. Sorted, n-grams with the same last symbols are then side by side, for every number of symbols.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from asr_attn.lm.ngrams import Array
from asr_attn.lm.storage import Workspace

_MERGED_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Packing:
    """How n-grams become integers.

    Attributes:
        order: symbols of an n-gram.
        bits: of each symbol.
    """

    order: int
    bits: int

    @property
    def per_integer(self) -> int:
        """Symbols that fit into one integer."""
        return 64 // self.bits

    @property
    def integers(self) -> int:
        """Integers of one n-gram."""
        return -(-self.order // self.per_integer)

    def pack(self, symbols: Array, ends: Array) -> Array:
        """Pack the n-grams that end at the positions ``ends`` (n,) of a text: (integers, n)."""
        keys = np.zeros((self.integers, len(ends)), dtype=np.uint64)
        for back in range(self.order):
            key = keys[back // self.per_integer]
            key <<= np.uint64(self.bits)
            key |= symbols[ends - back].astype(np.uint64)
        return keys

    def unpack(self, keys: Array) -> Array:
        """The symbols (order, n) of packed n-grams (integers, n), the last symbol first."""
        symbols = np.empty((self.order, keys.shape[1]), dtype=np.int64)
        mask = np.uint64((1 << self.bits) - 1)
        for i in range(self.integers):
            begin = i * self.per_integer
            end = min(begin + self.per_integer, self.order)
            for back in range(begin, end):
                shift = np.uint64(self.bits * (end - 1 - back))
                symbols[back] = (keys[i] >> shift) & mask
        return symbols


class SortedCounts:
    """Counts packed n-grams in bounded memory.

    A run is an array (integers + 1, n): sorted n-grams, each once, and their counts. Runs of much
    the same size are merged, so that few are left in the end.

    Args:
        workspace: where runs are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._runs: list[Array] = []

    def add(self, keys: Array) -> None:
        """Count the n-grams ``keys`` (integers, n), each as often as it comes."""
        if keys.shape[1]:
            run = _summed(_sorted(keys), np.ones(keys.shape[1], dtype=np.uint64))
            while self._runs and self._small_enough(run):
                last = self._runs.pop()
                self._workspace.release(last)
                run = _merged_in_memory([last, run])
            self._runs.append(self._workspace.stored(run))

    def _small_enough(self, run: Array) -> bool:
        """Whether a new run and the last are to become one."""
        last = self._runs[-1]
        in_memory = not isinstance(last, np.memmap)
        return in_memory and last.nbytes <= 2 * run.nbytes <= self._workspace.memory // 16

    def merged(self) -> Iterator[Array]:
        """Yield all n-grams in ascending order with their counts, in parts of a run's form."""
        positions = [0] * len(self._runs)
        step = max(1, _MERGED_AT_ONCE // max(1, len(self._runs)))
        while any(p < run.shape[1] for p, run in zip(positions, self._runs)):
            ahead = [
                run[0, p + step] for p, run in zip(positions, self._runs) if p + step < run.shape[1]
            ]
            bound = min(ahead) if ahead else None
            parts = []
            for i, run in enumerate(self._runs):
                # all that are not above the bound by their first integer: equal ones stay together
                end = run.shape[1] if bound is None else int(run[0].searchsorted(bound, "right"))
                parts.append(np.asarray(run[:, positions[i] : end]))
                positions[i] = end
            yield _merged_in_memory(parts)

    def size(self) -> int:
        """The most n-grams that there can be."""
        return sum(run.shape[1] for run in self._runs)

    def release(self) -> None:
        """Give back the memory of the runs."""
        for run in self._runs:
            self._workspace.release(run)
        self._runs = []


def _sorted(keys: Array) -> Array:
    if len(keys) == 1:
        return np.sort(keys, axis=1)
    return keys[:, np.lexsort(keys[::-1])]


def _merged_in_memory(runs: list[Array]) -> Array:
    """One run out of several."""
    joined = np.concatenate(runs, axis=1)
    keys = joined[:-1]
    # stable sorts are quick where sorted parts follow one another
    order = np.argsort(keys[0], kind="stable") if len(keys) == 1 else np.lexsort(keys[::-1])
    joined = joined[:, order]
    return _summed(joined[:-1], joined[-1])


def _summed(keys: Array, counts: Array) -> Array:
    """A run out of sorted n-grams that may come several times."""
    new = np.ones(keys.shape[1], dtype=bool)
    new[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    starts = np.flatnonzero(new)
    run = np.empty((len(keys) + 1, len(starts)), dtype=np.uint64)
    run[:-1] = keys[:, starts]
    run[-1] = np.add.reduceat(counts, starts) if len(starts) else 0
    return run
