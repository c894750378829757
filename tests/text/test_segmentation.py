"""Cuts of words against all there are."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from asr_attn.text.segmentation import UnigramModel, drawn, merged

PIECES = {
    " ": -3.0,
    "a": -2.5,
    "b": -2.0,
    " a": -1.5,
    "ab": -1.9,
    "ba": -3.3,
    " ab": -2.9,
    "bab": -4.0,
    "aba": -3.1,
}
MODEL = UnigramModel(PIECES, unknown=-14.0, longest=3)


def cuts(word: str) -> list[tuple[str, ...]]:
    """All ways to cut a word at any places."""
    found = []
    for marks in itertools.product((False, True), repeat=len(word) - 1):
        places = [0, *(i + 1 for i, mark in enumerate(marks) if mark), len(word)]
        found.append(tuple(word[a:b] for a, b in itertools.pairwise(places)))
    return found


def weights(word: str, power: float = 1.0) -> dict[tuple[str, ...], float]:
    """Probability of each way to cut a word, to a power."""

    def value(piece: str) -> float:
        return PIECES.get(piece, -14.0 if len(piece) == 1 else -math.inf)

    values = {cut: math.exp(power * sum(map(value, cut))) for cut in cuts(word)}
    total = sum(values.values())
    return {cut: value / total for cut, value in values.items() if value}


@pytest.mark.parametrize("word", ["a", " ab", " abab", " bababa", " abc", "xx", " aabbaba"])
def test_the_likeliest_of_all_cuts(word):
    best = max(weights(word).values())
    assert weights(word)[tuple(MODEL.likeliest(word))] == pytest.approx(best)


@pytest.mark.parametrize("power", [1.0, 0.2])
@pytest.mark.parametrize("word", [" abab", " abxab"])
def test_cuts_are_drawn_as_often_as_they_are_likely(word, power):
    random, count = np.random.default_rng(0), 20_000
    ways = MODEL.ways(word, power)
    found = Counter(tuple(drawn(word, ways, random)) for _ in range(count))
    expected = weights(word, power)
    assert set(found) <= set(expected)
    assert len(expected) > 5
    # Pearson's statistic has as many degrees of freedom as there are cuts, less one
    often = {cut: p for cut, p in expected.items() if p * count > 5}
    statistic = sum((found[cut] - p * count) ** 2 / (p * count) for cut, p in often.items())
    assert statistic < len(often) + 5 * math.sqrt(2 * len(often))
    assert sum(found[cut] for cut in often) > 0.99 * count


def test_long_words_do_not_overflow():
    word = " " + "ab" * 2000
    ways = MODEL.ways(word, 1.0)
    assert "".join(drawn(word, ways, np.random.default_rng(0))) == word
    assert "".join(MODEL.likeliest(word)) == word


def by_definition(word: str, ranks: dict[str, int]) -> list[str]:
    """Merges of one kind after the other, each wherever it can be (Sennrich et al. 2016)."""
    parts = list(word)
    while True:
        pairs = {a + b for a, b in itertools.pairwise(parts)} & ranks.keys()
        if not pairs:
            return parts
        best = min(pairs, key=ranks.__getitem__)
        place = next(i for i, (a, b) in enumerate(itertools.pairwise(parts)) if a + b == best)
        parts[place : place + 2] = [best]


def test_merges_against_the_definition():
    random = np.random.default_rng(0)
    for _ in range(200):
        letters = "".join(random.choice(list("abc"), 12))
        pieces = {letters[i : i + n] for i, n in random.integers(1, 5, (8, 2))} | set("abc")
        ranks = {str(piece): rank for rank, piece in enumerate(random.permutation(sorted(pieces)))}
        word = "".join(random.choice(list("abcd"), random.integers(1, 15)))
        assert merged(word, ranks) == by_definition(word, ranks)


def dropout_probabilities(parts: tuple[str, ...], ranks, drop: float) -> Counter:
    """How likely each outcome is, by going through all that may be seen at each step."""
    places = [i for i, (a, b) in enumerate(itertools.pairwise(parts)) if a + b in ranks]
    found: Counter = Counter()
    for seen in itertools.product((False, True), repeat=len(places)):
        chance = math.prod(1 - drop if s else drop for s in seen)
        kept = [(ranks[parts[i] + parts[i + 1]], i) for i, s in zip(places, seen) if s]
        if not kept:
            found[parts] += chance
            continue
        _, i = min(kept)
        after = (*parts[:i], parts[i] + parts[i + 1], *parts[i + 2 :])
        for outcome, share in dropout_probabilities(after, ranks, drop).items():
            found[outcome] += chance * share
    return found


def test_dropped_merges_against_enumeration():
    ranks = {"ab": 0, "ba": 1, " ab": 2, "abab": 3, "bab": 4}
    word, drop, count = " abab", 0.3, 20_000
    random = np.random.default_rng(0)
    found = Counter(tuple(merged(word, ranks, drop, random)) for _ in range(count))
    expected = dropout_probabilities(tuple(word), ranks, drop)
    assert sum(expected.values()) == pytest.approx(1.0)
    assert set(found) <= set(expected)
    for outcome, share in expected.items():
        spread = math.sqrt(share * (1 - share) / count)
        assert abs(found[outcome] / count - share) < 5 * spread + 1e-4
