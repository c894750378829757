"""The words of a language model as a prefix tree over a recogniser's tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr_attn.lm.ngrams import Array


@dataclass(frozen=True)
class Lexicon:
    """Nodes are numbered level by level: 0 is the root, and child i of all leads to node i + 1.

    Attributes:
        keys: (nodes - 1,) node * tokens + token of each child, ascending.
        words: (nodes,) index of the word that ends at a node, -1 where none does.
        best: (nodes,) the highest value of the words at a node and below it.
    """

    keys: Array
    words: Array
    best: Array


def build_lexicon(
    spellings: Sequence[Sequence[int]], indices: Sequence[int], values: Array, tokens: int
) -> Lexicon:
    """Put words into a tree.

    Args:
        spellings: tokens of each word, at least one.
        indices: what the words are called.
        values: (n,) of the words; the tree knows the highest below each node.
        tokens: number of tokens.
    """
    lengths = np.array([len(spelling) for spelling in spellings], dtype=np.int64)
    spelt = np.zeros((len(spellings), int(lengths.max())), dtype=np.int64)
    spelt[np.arange(spelt.shape[1]) < lengths[:, None]] = np.concatenate(spellings)
    names = np.asarray(indices, dtype=np.int64)
    at = np.zeros(len(spellings), dtype=np.int64)
    keys: list[Array] = []
    words, best = [np.array([-1])], [np.array([values.max()])]
    count = 1
    for depth in range(spelt.shape[1]):
        left = lengths > depth
        level, place = np.unique(at[left] * tokens + spelt[left, depth], return_inverse=True)
        at[left] = count + place
        keys.append(level)
        highest = np.full(len(level), -np.inf)
        np.maximum.at(highest, place, values[left])
        best.append(highest)
        ending = np.full(len(level), -1)
        ends = lengths == depth + 1
        ending[at[ends] - count] = names[ends]
        words.append(ending)
        count += len(level)
    return Lexicon(np.concatenate(keys), np.concatenate(words), np.concatenate(best))
