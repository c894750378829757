"""A back-off model as an automaton: what has been read is a node, each symbol leads to the next.

The nodes are the n-grams that can be contexts, and the empty one. A node's explicit successors are
the n-grams that are one symbol longer; for all other symbols the model backs off to the node of the
longest shorter context, as in the failure links of A. V. Aho and M. J. Corasick (1975) and in
the back-off transitions of C. Allauzen, M. Mohri and B. Roark (2003).
"""

from dataclasses import dataclass

import numpy as np

from asr_attn.lm.ngrams import START, Array, Ngrams

_LN_10 = float(np.log(10))


@dataclass(frozen=True)
class Automaton:
    """Nodes are numbered by the length of their context, so the empty one is 0.

    The e explicit successors are sorted by node and symbol. As contexts are n-grams themselves,
    successor i leads to node i + 1 as long as there are nodes.

    Attributes:
        keys: (e,) node * symbols + symbol.
        log_probs: (e,) natural logarithms.
        following: (e,) node after the symbol.
        suffix: (nodes,) node to back off to; 0 for node 0.
        backoff: (nodes,) natural logarithm of the weight of backing off.
        lengths: (order,) how many nodes there are with a context of each length, from 0.
        start: node after the start of a sentence.
        symbols: number of symbols.
    """

    keys: Array
    log_probs: Array
    following: Array
    suffix: Array
    backoff: Array
    lengths: tuple[int, ...]
    start: int
    symbols: int


def build_automaton(ngrams: Ngrams) -> Automaton:
    """Find the nodes and successors of a model whose contexts are all n-grams of it."""
    size, order = len(ngrams.symbols), len(ngrams.orders)
    prefix = _prefix_nodes(ngrams)
    keys, log_probs, backoffs, lengths = [], [], [np.zeros(1)], [1]
    for k, grams in enumerate(ngrams.orders, start=1):
        key = prefix[k - 1] * size + grams.words[:, -1]
        turn = np.argsort(key)
        keys.append(key[turn])
        log_probs.append(grams.log_probs[turn])
        if k < order:
            backoffs.append(grams.backoffs[turn])
            lengths.append(len(turn))
    joined = np.concatenate(keys)
    following, suffix = _links(joined, [len(part) for part in keys], size, sum(lengths))
    start = ngrams.symbols.index(START)
    return Automaton(
        keys=joined,
        log_probs=(np.concatenate(log_probs).astype(np.float64) * _LN_10).astype(np.float32),
        following=following,
        suffix=suffix,
        backoff=(np.concatenate(backoffs).astype(np.float64) * _LN_10).astype(np.float32),
        lengths=tuple(lengths),
        start=int(following[start]),
        symbols=size,
    )


def _prefix_nodes(ngrams: Ngrams) -> list[Array]:
    """For the n-grams of each length, the node of all symbols but the last: (n,) each."""
    size = len(ngrams.symbols)
    nodes = [np.zeros(len(grams), dtype=np.int64) for grams in ngrams.orders]
    first = 1  # number of the first node of a length
    for k, grams in enumerate(ngrams.orders[:-1]):
        known = np.sort(nodes[k] * size + grams.words[:, -1])
        for j in range(k + 1, len(ngrams.orders)):
            key = nodes[j] * size + ngrams.orders[j].words[:, k]
            place = known.searchsorted(key)
            if not (known[np.minimum(place, len(known) - 1)] == key).all():
                raise ValueError("an n-gram's context is not an n-gram of the model")
            nodes[j] = first + place
        first += len(known)
    return nodes


def _links(keys: Array, counts: list[int], size: int, nodes: int) -> tuple[Array, Array]:
    """Find the node after each successor, and the node that each node backs off to."""
    following = np.arange(1, len(keys) + 1)
    following[nodes - 1 :] = 0
    suffix = np.zeros(nodes, dtype=np.int64)
    done = counts[0]
    for count in counts[1:]:
        here = slice(done, done + count)
        nodes_before, symbols = suffix[keys[here] // size], keys[here] % size
        shorter = _longest(keys, following, suffix, nodes_before, symbols, size)
        inside = max(0, min(nodes - 1 - done, count))
        suffix[done + 1 : done + 1 + inside] = shorter[:inside]
        following[done + inside : done + count] = shorter[inside:]
        done += count
    return following, suffix


def _longest(
    keys: Array, following: Array, suffix: Array, nodes: Array, symbols: Array, size: int
) -> Array:
    """The node after ``nodes`` (n,) have read ``symbols`` (n,): the longest context there is."""
    found = np.zeros(len(nodes), dtype=np.int64)
    left = np.arange(len(nodes))
    while len(left):  # ends: node 0 has all symbols
        key = nodes * size + symbols
        place = np.minimum(keys.searchsorted(key), len(keys) - 1)
        here = keys[place] == key
        found[left[here]] = following[place[here]]
        left, nodes, symbols = left[~here], suffix[nodes[~here]], symbols[~here]
    return found
