"""Leaving out the n-grams that a back-off model predicts nearly as well without.

A. Stolcke, "Entropy-based Pruning of Backoff Language Models", Proc. DARPA Broadcast News
Transcription and Understanding Workshop, 1998. Two things differ. How often a history comes is
taken from the text and not from the model's own shorter n-grams, which Kneser-Ney smoothing does
not make for that (C. Chelba et al., "Study on Interaction between Entropy Pruning and Kneser-Ney
Smoothing", Interspeech 2010). And an n-gram stays if a longer one that stays begins or ends with
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr_attn.lm.ngrams import Array, NgramOrder, Ngrams


@dataclass(frozen=True)
class _Links:
    """Rows of shorter n-grams, one length up, for n n-grams.

    Attributes:
        context: (n,) without the last symbol.
        suffix: (n,) without the first symbol.
    """

    context: Array
    suffix: Array


def prune_by_entropy(ngrams: Ngrams, counts: Sequence[Array], threshold: float) -> Ngrams:
    """Leave out n-grams without which perplexity would rise by little.

    Args:
        ngrams: a model that knows, with every n-gram, what it begins and ends with.
        counts: for all lengths but the longest, how often each n-gram comes in the text and is
            followed by a symbol or the end (n,).
        threshold: an n-gram goes if perplexity rises by a smaller share than this without it.

    Returns:
        The model that is left, with new weights of backing off.
    """
    orders = list(ngrams.orders)
    links = _links(ngrams)
    total = float(counts[0].sum()) if counts else 1.0
    needed: Array = np.zeros(len(orders[-1]), dtype=bool)
    kept: list[Array] = []
    for k in range(len(orders) - 1, 0, -1):
        grams, shorter = orders[k], orders[k - 1]
        given, otherwise = _probs(grams.log_probs), _probs(shorter.log_probs)[links[k].suffix]
        share = counts[k - 1] / total
        loss = _losses(given, otherwise, links[k].context, share)
        stay = needed | (np.expm1(loss) >= threshold)
        kept.append(stay)
        weights = _weights(given[stay], otherwise[stay], links[k].context[stay], len(shorter))
        orders[k - 1] = NgramOrder(shorter.words, shorter.log_probs, weights)
        needed = np.zeros(len(shorter), dtype=bool)
        needed[links[k].context[stay]] = True
        needed[links[k].suffix[stay]] = True
    masks = [np.ones(len(orders[0]), dtype=bool), *reversed(kept)]
    return Ngrams(ngrams.symbols, tuple(map(_subset, orders, masks)))


def _links(ngrams: Ngrams) -> list[_Links]:
    """Of the n-grams of each length; of single symbols, which have none, empty ones."""
    size = len(ngrams.symbols)
    nothing = np.zeros(0, dtype=np.int64)
    links = [_Links(nothing, nothing)]
    sorted_keys: list[tuple[Array, Array]] = []
    for grams in ngrams.orders[1:]:
        context = _rows(sorted_keys, grams.words[:, :-1], size)
        suffix = _rows(sorted_keys, grams.words[:, 1:], size)
        links.append(_Links(context, suffix))
        keys = context * size + grams.words[:, -1]
        order = np.argsort(keys)
        sorted_keys.append((keys[order], order))
    return links


def _rows(sorted_keys: list[tuple[Array, Array]], words: Array, size: int) -> Array:
    """The rows (n,) of n-grams given by their symbols (n, k), looked up symbol by symbol."""
    rows: Array = words[:, 0].astype(np.int64)
    for (keys, order), column in zip(sorted_keys, words[:, 1:].T):
        rows = order[keys.searchsorted(rows * size + column)]
    return rows


def _probs(log_probs: Array) -> Array:
    return np.power(10.0, log_probs.astype(np.float64))


def _losses(given: Array, otherwise: Array, context: Array, share: Array) -> Array:
    """How much cross-entropy, in nats, rises without each n-gram alone (Stolcke, equation 7).

    Args:
        given: (n,) probabilities of the n-grams.
        otherwise: (n,) those of their last symbols after the shorter context.
        context: (n,) rows of their contexts.
        share: (contexts,) of the text's positions at which each context has just been read.
    """
    left = 1 - np.bincount(context, given, len(share))
    left_otherwise = 1 - np.bincount(context, otherwise, len(share))
    before = np.log(_ratio(left, left_otherwise))[context]
    left, left_otherwise = left[context], left_otherwise[context]
    after = np.log(_ratio(left + given, left_otherwise + otherwise))
    change = given * (np.log(otherwise) + after - np.log(given)) + (after - before) * left
    losses: Array = -share[context] * change
    return losses


def _ratio(left: Array, left_otherwise: Array) -> Array:
    """Weights of backing off; tiny where rounding leaves nothing."""
    least = 1e-9
    ratio: Array = np.maximum(left, least) / np.maximum(left_otherwise, least)
    return ratio


def _weights(given: Array, otherwise: Array, context: Array, size: int) -> Array:
    """Logarithms to base 10 of the weights of backing off, of ``size`` contexts."""
    left = 1 - np.bincount(context, given, size)
    left_otherwise = 1 - np.bincount(context, otherwise, size)
    followed = np.bincount(context, minlength=size) > 0
    ratio = np.where(followed, _ratio(left, left_otherwise), 1.0)
    return np.log10(ratio).astype(np.float32)


def _subset(grams: NgramOrder, stay: Array) -> NgramOrder:
    if stay.all():
        return grams
    return NgramOrder(grams.words[stay], grams.log_probs[stay], grams.backoffs[stay])
