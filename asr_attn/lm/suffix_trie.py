"""N-grams of all lengths out of the counted longest ones, as a trie of suffixes.

In a text with order - 1 starts before each sentence, every symbol ends one n-gram of the longest
length, and each shorter n-gram is a suffix of longer ones. N-grams with more than one start are
the same as those with one, and are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from asr_attn.lm.counting import Packing
from asr_attn.lm.ngrams import Array
from asr_attn.lm.numbering import START_ID
from asr_attn.lm.storage import Workspace

BLOCK = 1 << 18
"""Rows that are worked on at once."""


@dataclass(frozen=True)
class Level:
    """All n-grams of one length, n of them, in ascending order of (suffix, first).

    Attributes:
        suffix: (n,) row, one level up, of the n-gram without its first symbol.
        first: (n,) first symbol.
        raw: (n,) how often the n-gram comes in the text.
    """

    suffix: Array
    first: Array
    raw: Array

    def __len__(self) -> int:
        return len(self.first)


def blocks(size: int) -> Iterator[slice]:
    """Cut rows into parts that are worked on at once."""
    for begin in range(0, size, BLOCK):
        yield slice(begin, min(size, begin + BLOCK))


def build_levels(
    table: Array, packing: Packing, vocabulary: int, workspace: Workspace
) -> list[Level]:
    """Find the n-grams of each length.

    Args:
        table: (integers + 1, n) the longest n-grams, packed and sorted, and their counts.
        packing: how they are packed.
        vocabulary: number of symbols.
        workspace: where the result is kept.

    Returns:
        One level per length; the first has one row per symbol, whether it comes or not.
    """
    sizes = [0] * packing.order
    for part in _parts(table, packing):
        for k in range(1, packing.order):
            sizes[k] += int(np.count_nonzero(part.new[k]))
    levels = [_empty(size, workspace) for size in [vocabulary, *sizes[1:]]]
    levels[0].first[:] = np.arange(vocabulary)
    done = [0] * packing.order
    for part in _parts(table, packing):
        rows = part.symbols[0]
        levels[0].raw[:] += np.bincount(rows, part.counts, vocabulary).astype(np.int64)
        for k in range(1, packing.order):
            rows, done[k] = _fill(levels[k], part, k, rows, done[k])
    return levels


def context_rows(levels: list[Level], vocabulary: int, workspace: Workspace) -> list[Array]:
    """For the n-grams of each length, the row of the n-gram without its last symbol, one level up.

    Returns:
        One array (n,) per level; of the first, which has nothing above it, zeros.
    """
    contexts = [workspace.array((len(levels[0]),), np.int8), levels[1].first] if levels[1:] else []
    for k in range(2, len(levels)):
        above, level = levels[k - 1], levels[k]
        keys = workspace.array((len(above),), np.int64)
        for part in blocks(len(above)):
            keys[part] = above.suffix[part].astype(np.int64) * vocabulary + above.first[part]
        rows = workspace.array((len(level),), np.int64)
        for part in blocks(len(level)):
            wanted = contexts[k - 1][level.suffix[part]].astype(np.int64) * vocabulary
            rows[part] = keys.searchsorted(wanted + level.first[part])
        contexts.append(rows)
        workspace.release(keys)
    return contexts or [workspace.array((len(levels[0]),), np.int8)]


def extensions(level: Level, longer: Level, workspace: Workspace) -> Array:
    """How many different symbols come before each n-gram; of starts, how often they come: (n,)."""
    counts = workspace.array((len(level),), np.int64)
    for part in blocks(len(longer)):
        rows = longer.suffix[part]
        begin, end = int(rows[0]), int(rows[-1]) + 1
        counts[begin:end] += np.bincount(rows - begin)
    for part in blocks(len(level)):
        started = level.first[part] == START_ID
        counts[part] = np.where(started, level.raw[part], counts[part])
    return counts


def words_of(levels: list[Level], k: int, rows: Array) -> Array:
    """The symbols (n, k + 1), the oldest first, of rows of level ``k``."""
    words = np.empty((len(rows), k + 1), dtype=np.int32)
    for i in range(k + 1):
        words[:, i] = levels[k - i].first[rows]
        if i < k:
            rows = levels[k - i].suffix[rows]
    return words


@dataclass(frozen=True)
class _Part:
    """Some of the longest n-grams.

    Attributes:
        symbols: (order, n) the last symbol first.
        counts: (n,).
        new: (order, n) whether the suffix of each length differs from that of the row before and
            has no more than one start.
        valid: (order, n) whether it has no more than one start.
    """

    symbols: Array
    counts: Array
    new: Array
    valid: Array


def _parts(table: Array, packing: Packing) -> Iterator[_Part]:
    last: Array | None = None
    for part in blocks(table.shape[1]):
        symbols = packing.unpack(table[:-1, part])
        differs = np.ones(symbols.shape, dtype=bool)
        differs[:, 1:] = symbols[:, 1:] != symbols[:, :-1]
        if last is not None:
            differs[:, 0] = symbols[:, 0] != last
        last = symbols[:, -1]
        valid = np.ones(symbols.shape, dtype=bool)
        valid[1:] = (symbols[1:] != START_ID) | (symbols[:-1] != START_ID)
        new = np.logical_or.accumulate(differs, axis=0) & valid
        yield _Part(symbols, table[-1, part].astype(np.int64), new, valid)


def _empty(size: int, workspace: Workspace) -> Level:
    return Level(
        workspace.array((size,), np.int32 if size < 2**31 else np.int64),
        workspace.array((size,), np.int32),
        workspace.array((size,), np.int64),
    )


def _fill(level: Level, part: _Part, k: int, suffixes: Array, done: int) -> tuple[Array, int]:
    """Add a part's n-grams to a level.

    Args:
        level: of length k + 1.
        part: n of the longest n-grams.
        k: index of the level.
        suffixes: (n,) their rows of the level above.
        done: rows of the level that are there already.

    Returns:
        Their rows (n,) of this level, without meaning where they are not valid, and how many rows
        there are now.
    """
    new, valid = part.new[k], part.valid[k]
    places = np.cumsum(new)  # 0: still the last row of the part before
    added = int(places[-1])
    here = slice(done, done + added)
    level.suffix[here] = suffixes[new]
    level.first[here] = part.symbols[k][new]
    sums = np.bincount(places[valid], part.counts[valid], added + 1).astype(np.int64)
    level.raw[here] += sums[1:]
    if done:
        level.raw[done - 1] += sums[0]
    return places + (done - 1), done + added
