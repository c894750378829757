"""Training of n-gram models by interpolated modified Kneser-Ney smoothing.

S. F. Chen and J. Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling",
Harvard TR-10-98, 1998, with the conventions of KenLM's ``lmplz`` (K. Heafield et al., "Scalable
Modified Kneser-Ney Language Model Estimation", ACL 2013): unigrams are interpolated with a uniform
distribution over all symbols but <s>, n-grams that begin with <s> are counted as often as they
come, and those pruned away leave their probability to shorter contexts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asr_attn.errors import InputError
from asr_attn.lm.counting import Packing, SortedCounts
from asr_attn.lm.entropy_pruning import prune_by_entropy
from asr_attn.lm.ngrams import Array, NgramOrder, Ngrams
from asr_attn.lm.numbering import END_ID, START_ID, number_symbols
from asr_attn.lm.storage import Workspace
from asr_attn.lm.suffix_trie import (
    Level,
    blocks,
    build_levels,
    context_rows,
    extensions,
    words_of,
)

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where counts allow no estimate, as of ``lmplz --discount_fallback``."""


@dataclass(frozen=True)
class KneserNeyConfig:
    """Settings of the training."""

    order: int
    """Length of the longest n-grams."""
    prune: tuple[int, ...] = ()
    """N-grams of length 1, 2, ... that come this often or less are left out; the last number is
    that of all longer ones. Empty: nothing is left out."""
    entropy: float = 0.0
    """N-grams are left out if perplexity rises by a smaller share than this without them."""
    vocabulary: int = 0
    """Most symbols, the most frequent ones; the rest becomes <unk>. 0: all."""

    def __post_init__(self) -> None:
        if self.order < 1:
            raise InputError(
                f"order {self.order}: the shortest n-grams are of order 1; give 1 or more"
            )
        if len(self.prune) > self.order:
            raise InputError(f"prune {self.prune} has more numbers than the order {self.order}")
        if self.prune and (self.prune[0] != 0 or list(self.prune) != sorted(self.prune)):
            raise InputError(
                f"prune {' '.join(map(str, self.prune))}: the first number must be 0, as unigrams "
                "are never left out, and none may be smaller than the one before"
            )
        if not 0 <= self.entropy < 1:
            raise InputError(
                f"entropy {self.entropy:g} is no share of the perplexity; give a small number such "
                "as 1e-8"
            )
        if self.vocabulary < 0:
            raise InputError(f"vocabulary {self.vocabulary} must not be negative; 0 takes all")

    def threshold(self, k: int) -> int:
        """The threshold for n-grams of length ``k`` + 1."""
        return self.prune[min(k, len(self.prune) - 1)] if self.prune else 0


@dataclass(frozen=True)
class Training:
    """A trained model and how it came about.

    Attributes:
        ngrams: the model; its arrays may lie in the files of the workspace.
        discounts: of each length, for n-grams that come once, twice, and more often.
        fallback: the lengths for which they could not be estimated.
        sentences: of the text.
        tokens: of the text, ends of sentence not counted.
    """

    ngrams: Ngrams
    discounts: tuple[tuple[float, float, float], ...]
    fallback: tuple[int, ...]
    sentences: int
    tokens: int


def train(
    sentences: Iterable[Sequence[str]],
    config: KneserNeyConfig,
    workspace: Workspace,
    vocabulary: Iterable[str] = (),
    on_step: Callable[[], None] = lambda: None,
) -> Training:
    """Train a model.

    Args:
        sentences: the symbols of each; <unk> among them is counted as a symbol like any other.
        config: settings.
        workspace: where what is large is kept.
        vocabulary: symbols that the model is to know even if they do not come.
        on_step: is called ``steps(order)`` times after the text is read.

    Raises:
        InputError: there are no sentences, or a temporary file cannot be written.
    """
    text = number_symbols(sentences, config.order, workspace, vocabulary, config.vocabulary)
    if text.sentences == 0:
        raise InputError("there are no sentences to learn from; give text with words in it")
    size = len(text.symbols)
    packing = Packing(config.order, (size - 1).bit_length())
    table = _count(text.chunks, packing, workspace)
    on_step()
    levels = build_levels(table, packing, size, workspace)
    workspace.release(table)
    on_step()
    contexts = context_rows(levels, size, workspace)
    on_step()
    counts = [*(extensions(a, b, workspace) for a, b in pairwise(levels)), levels[-1].raw]
    estimates = [_discounts(count) for count in counts]
    discounts = [FALLBACK if found is None else found for found in estimates]
    orders: list[NgramOrder] = []
    frequencies: list[Array] = []
    shorter: Array = np.array([1 / (size - 1)])
    sums = _context_sums(levels[0], counts[0], contexts[0], 1, discounts[0], 0, workspace)
    for k, level in enumerate(levels):
        probs = workspace.array((len(level),), np.float64)
        for part in blocks(len(level)):
            count = counts[k][part]
            own = count - _discounted(count, discounts[k])
            rows = contexts[k][part]
            suffix = level.suffix[part]  # of a single symbol 0, which is the uniform distribution
            probs[part] = own / sums.total[rows] + sums.weights[rows] * shorter[suffix]
        longer = k + 1
        if longer < len(levels):
            sums = _context_sums(
                levels[longer],
                counts[longer],
                contexts[longer],
                len(level),
                discounts[longer],
                config.threshold(longer),
                workspace,
            )
        weights = sums.weights if longer < len(levels) else None
        kept = _kept(level, config.threshold(k), workspace)
        orders.append(_order(levels, k, probs, weights, kept, workspace))
        if config.entropy and longer < len(levels):
            frequencies.append(level.raw if kept is None else level.raw[kept])
            if k == 0:  # as what has been read: nothing is read after an end
                frequencies[0][[START_ID, END_ID]] = text.sentences, 0
        shorter = probs
        on_step()
    fallback = tuple(k for k, found in enumerate(estimates, start=1) if found is None)
    ngrams = Ngrams(text.symbols, tuple(orders))
    if config.entropy:
        ngrams = prune_by_entropy(ngrams, frequencies, config.entropy)
    on_step()
    return Training(
        ngrams,
        tuple(discounts),
        fallback,
        text.sentences,
        text.tokens,
    )


def steps(order: int) -> int:
    """How many steps the training reports."""
    return 4 + order


def _count(chunks: list[Array], packing: Packing, workspace: Workspace) -> Array:
    """Count the longest n-grams: (integers + 1, n), sorted. The chunks are used up."""
    counts = SortedCounts(workspace)
    rows = max(1, workspace.memory // (128 * (packing.integers + 1)))
    while chunks:
        chunk = chunks.pop()
        ends = np.flatnonzero(chunk != START_ID)
        for begin in range(0, len(ends), rows):
            counts.add(packing.pack(chunk, ends[begin : begin + rows]))
        workspace.release(chunk)
    table = workspace.array((packing.integers + 1, counts.size()), np.uint64)
    done = 0
    for run in counts.merged():
        table[:, done : done + run.shape[1]] = run
        done += run.shape[1]
    counts.release()
    return table[:, :done]


def _discounts(counts: Array) -> tuple[float, float, float] | None:
    """Estimate the discounts (Chen & Goodman, equation 26); None where the counts allow none."""
    seen = np.zeros(5, dtype=np.int64)
    for part in blocks(len(counts)):
        seen += np.bincount(np.minimum(counts[part], 5), minlength=6)[:5]
    _, n1, n2, n3, n4 = map(int, seen)
    if 0 in (n1, n2, n3):
        return None
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if min(found) > 0 else None


def _discounted(counts: Array, discounts: tuple[float, float, float]) -> Array:
    """What is taken off each count."""
    return np.array([0.0, *discounts])[np.minimum(counts, 3)]


@dataclass(frozen=True)
class _ContextSums:
    """What follows each context.

    Attributes:
        weights: (contexts,) share that shorter contexts get; 1 where nothing follows.
        total: (contexts,) sum of the counts; 0 where nothing follows.
    """

    weights: Array
    total: Array


def _context_sums(
    level: Level,
    counts: Array,
    contexts: Array,
    size: int,
    discounts: tuple[float, float, float],
    threshold: int,
    workspace: Workspace,
) -> _ContextSums:
    """Sum up what follows each context.

    Args:
        level: the n-grams.
        counts: (n,) their counts.
        contexts: (n,) rows of their contexts.
        size: number of contexts.
        discounts: of these counts.
        threshold: n-grams that come this often or less give up all of their count.
        workspace: where the result is kept.
    """
    total = workspace.array((size,), np.float64)
    weights = workspace.array((size,), np.float64)
    for part in blocks(len(level)):
        count = counts[part]
        given = np.where(level.raw[part] <= threshold, count, _discounted(count, discounts))
        np.add.at(total, contexts[part], count)
        np.add.at(weights, contexts[part], given)
    for part in blocks(size):
        followed = total[part] > 0
        weights[part] = np.where(followed, weights[part] / np.where(followed, total[part], 1), 1)
    return _ContextSums(weights, total)


def _kept(level: Level, threshold: int, workspace: Workspace) -> Array | None:
    """The rows of n-grams that come more often than a threshold; None: all."""
    if not threshold:
        return None
    parts = list(blocks(len(level)))
    size = sum(int((level.raw[part] > threshold).sum()) for part in parts)
    kept = workspace.array((size,), np.int64)
    done = 0
    for part in parts:
        rows = np.flatnonzero(level.raw[part] > threshold)
        kept[done : done + len(rows)] = rows + part.start
        done += len(rows)
    return kept


def _order(
    levels: list[Level],
    k: int,
    probs: Array,
    weights: Array | None,
    kept: Array | None,
    workspace: Workspace,
) -> NgramOrder:
    """The n-grams of length ``k`` + 1 as they are written: the rows ``kept``, or all."""
    size = len(levels[k]) if kept is None else len(kept)
    words = workspace.array((size, k + 1), np.int32)
    log_probs = workspace.array((size,), np.float32)
    backoffs = workspace.array((size,), np.float32)
    done = 0
    for part in blocks(size):
        rows = np.arange(part.start, part.stop) if kept is None else kept[part]
        here = slice(done, done + len(rows))
        words[here] = words_of(levels, k, rows)
        log_probs[here] = np.log10(probs[rows])
        if weights is not None:
            backoffs[here] = np.log10(weights[rows])
        done += len(rows)
    if k == 0:
        log_probs[START_ID] = 0.0  # nothing ever predicts it; lmplz writes this too
    return NgramOrder(words, log_probs, backoffs)
