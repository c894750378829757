"""The words of a language model as a prefix tree that a recogniser's tokens walk along."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr_attn.lm.ngrams import Array


@dataclass(frozen=True)
class Lexicon:
    """A tree of letters; nodes are numbered level by level, the root being 0.

    Tokens lead from node to node by all their letters at once, so that a word is found however it
    is cut into tokens. Those that begin a word do from the root only.

    Attributes:
        keys: (arcs,) node * tokens + token of each arc, ascending.
        targets: (arcs,) nodes they lead to.
        words: (nodes,) index of the word that ends at a node, -1 where none does.
        best: (nodes,) the highest value of the words at a node and below it.
    """

    keys: Array
    targets: Array
    words: Array
    best: Array


@dataclass(frozen=True)
class _Tree:
    """Strings of letters as a tree: a node's parent, and the letter that leads from it (nodes,)."""

    parents: Array
    letters: Array
    levels: tuple[Array, ...]
    """The node of each string (n,) after its first letters; the one before where it has no more."""


def build_lexicon(
    words: Sequence[str], indices: Sequence[int], values: Array, spellings: Sequence[str]
) -> Lexicon:
    """Put words into a tree.

    Args:
        words: their letters, at least one each.
        indices: what the words are called.
        values: (n,) of the words; the tree knows the highest below each node.
        spellings: the letters of each token, "" for those that spell nothing.
    """
    tree = _tree(_numbered(words))
    nodes = len(tree.parents)
    best = np.full(nodes, -np.inf)
    for level in tree.levels:
        np.maximum.at(best, level, values)
    named = np.full(nodes, -1)
    named[tree.levels[-1]] = indices
    keys, targets = _arcs(tree, spellings)
    return Lexicon(keys, targets, named, best)


def _numbered(texts: Sequence[str]) -> tuple[Array, Array]:
    """Letters (n, longest) of texts as numbers, and how many each has (n,)."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    letters = np.zeros((len(texts), int(lengths.max())), dtype=np.int64)
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    letters[np.arange(letters.shape[1]) < lengths[:, None]] = np.frombuffer(joined, dtype="<u4")
    return letters, lengths


def _tree(texts: tuple[Array, Array]) -> _Tree:
    """Put texts, as letters and lengths, into a tree."""
    letters, lengths = texts
    at = np.zeros(len(letters), dtype=np.int64)
    parents, leading, levels = [np.array([-1])], [np.array([-1])], [at]
    count = 1
    for depth in range(letters.shape[1]):
        left = lengths > depth
        level, place = np.unique(at[left] << 32 | letters[left, depth], return_inverse=True)
        at = at.copy()
        at[left] = count + place
        parents.append(level >> 32)
        leading.append(level & 0xFFFFFFFF)
        levels.append(at)
        count += len(level)
    return _Tree(np.concatenate(parents), np.concatenate(leading), tuple(levels))


def _arcs(tree: _Tree, spellings: Sequence[str]) -> tuple[Array, Array]:
    """Keys and targets of all arcs.

    The tokens stand in a tree of their own, last letter first. All nodes are walked up at once as
    long as their letters are the end of some token's, and where a token begins there is an arc.
    """
    stripped = [text.removeprefix(" ") for text in spellings]
    tokens = np.array([i for i, text in enumerate(stripped) if text], dtype=np.int64)
    opening = np.array([text[:1] == " " for text in spellings])
    ends = _tree(_numbered([stripped[token][::-1] for token in tokens]))
    steps = ends.parents << 32 | ends.letters  # ascending, but for the root's
    leaves = ends.levels[-1]
    order = np.argsort(leaves, kind="stable")
    first = np.searchsorted(leaves[order], np.arange(len(steps) + 1))
    targets = np.arange(1, len(tree.parents))
    above, state = targets, np.zeros_like(targets)
    keys, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    while len(targets):
        step = state << 32 | tree.letters[above]
        state = np.searchsorted(steps[1:], step) + 1
        fits = steps[np.minimum(state, len(steps) - 1)] == step
        targets, above, state = targets[fits], tree.parents[above[fits]], state[fits]
        count = first[state + 1] - first[state]
        line = np.repeat(np.arange(len(state)), count)
        place = np.arange(len(line)) - np.repeat(np.cumsum(count) - count - first[state], count)
        token, source = tokens[order[place]], above[line]
        allowed = ~opening[token] | (source == 0)
        keys.append((source * len(spellings) + token)[allowed])
        found.append(targets[line][allowed])
        going = above > 0
        targets, above, state = targets[going], above[going], state[going]
    joined = np.concatenate(keys)
    by_key = np.argsort(joined, kind="stable")
    return joined[by_key], np.concatenate(found)[by_key]
