import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm

from asr_attn.evaluation.comparison import (
    compare,
    conclusion,
    matched_pairs_test,
    segment_differences,
)


def test_the_bootstrap_resamples_both_systems_together():
    a, b, words = np.array([[0], [2], [1]]), np.array([[1], [0], [1]]), np.array([3, 5, 4])
    exact = [
        (b[list(pick)].sum() - a[list(pick)].sum()) / words[list(pick)].sum()
        for pick in itertools.product(range(3), repeat=3)
    ]
    found = compare(a, b, words, draws=40000)
    assert found.difference == pytest.approx(-1 / 12)
    assert (found.rate_a, found.rate_b) == (pytest.approx(3 / 12), pytest.approx(2 / 12))
    low, high = np.percentile(np.repeat(exact, 2000), [2.5, 97.5])
    assert (found.interval.low, found.interval.high) == (pytest.approx(low), pytest.approx(high))
    below, above = np.mean(np.array(exact) <= 0), np.mean(np.array(exact) >= 0)
    assert found.p == pytest.approx(min(1.0, 2 * min(below, above)), abs=0.02)


def test_units_are_resampled_as_wholes():
    a, b, words = np.array([[0], [2], [1], [1]]), np.zeros((4, 1), int), np.array([3, 5, 4, 4])
    units = np.array([0, 1, 0, 1])
    merged = compare(
        np.array([[1], [3]]), np.zeros((2, 1), int), np.array([7, 9]), draws=2000, seed=4
    )
    found = compare(a, b, words, units=units, draws=2000, seed=4)
    assert found.interval == merged.interval


def test_seeds_widen_the_interval():
    random = np.random.default_rng(0)
    words = np.full(400, 5)
    rates_a, rates_b = np.array([0.02, 0.06, 0.10]), np.array([0.05, 0.01, 0.06])
    a, b = (random.binomial(5, np.tile(r, (400, 1))) for r in (rates_a, rates_b))
    found = compare(a, b, words, draws=4000)
    # the deviation of a mean of three seeds drawn from three, and that of the utterances
    deviation = math.sqrt(sum(r.var() / 3 for r in (rates_a, rates_b)) + 2 * 0.04 / 2000 / 3)
    width = found.interval.high - found.interval.low
    assert width == pytest.approx(2 * norm.ppf(0.975) * deviation, rel=0.15)
    single = compare(a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True), 3 * words)
    assert single.interval.high - single.interval.low < 0.5 * width


def test_the_bootstrap_keeps_its_level_and_has_its_power():
    random = np.random.default_rng(1)
    words = np.full(300, 6)
    found = {0.10: 0, 0.13: 0}
    runs = 150
    for k in range(runs):
        hard = random.beta(1.0, 9.0, 300)  # some utterances are hard for both
        a = random.binomial(6, hard)[:, None]
        for rate in found:
            b = random.binomial(6, np.minimum(hard * rate / 0.10, 1.0))[:, None]
            found[rate] += compare(a, b, words, draws=400, seed=k).p < 0.05
    assert found[0.10] / runs < 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    # normal theory: the variance of a difference is that of two binomials, given the utterance
    h = np.minimum(np.random.default_rng(2).beta(1.0, 9.0, 100000) * np.array([[1.0], [1.3]]), 1.0)
    spread = (6 * h * (1 - h)).sum(axis=0) + (6 * (h[1] - h[0])) ** 2
    shift = 6 * (h[1] - h[0]).mean() / math.sqrt((spread.mean() - (6 * 0.03) ** 2) / 300)
    power = float(norm.sf(norm.ppf(0.975) - shift))
    assert found[0.13] / runs == pytest.approx(power, abs=0.14)
    needed = compare(a, b, words, draws=10).needed
    assert needed is not None


def test_needed_utterances_give_the_power_that_is_said():
    random = np.random.default_rng(3)
    change = random.normal(0.2, 1.0, 5000)
    a, words = np.full((5000, 1), 10), np.full(5000, 20)
    b = a + np.round(change).astype(int)[:, None]
    needed = compare(a, b, words, draws=10).needed
    spread, mean = np.std(b - a, ddof=1), np.mean(b - a)
    power = norm.sf(norm.ppf(0.975) - abs(mean) * math.sqrt(needed) / spread)
    assert power == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("reference", "first", "second", "expected"),
    [
        ("a b c d", "a b c d", "a b c d", []),
        ("a b c d", "x b c d", "a b c d", [1]),
        ("a b c d", "x b c d", "a b c y", [1, -1]),  # two right words between: two segments
        ("a b c", "x b c", "a b y", [0]),  # one only: the same segment
        ("a b c d", "x b c d", "a b z c d", [1 - 1]),  # insertion between the two right words
        ("a b c d e", "a b x x c d e", "a b c d", [2, -1]),
        ("a b", "", "a b", [2]),
        ("", "x y", "z", [1]),
        ("a b c d e f", "x b c d y f", "a b z d e f", [1 - 1 + 1]),
    ],
)
def test_segments_end_where_both_are_right(reference, first, second, expected):
    assert segment_differences(reference, first, second) == expected


def test_the_segment_test_is_the_formula_of_the_paper():
    differences = [1, 0, -1, 2, 1, 1, 0, 1]
    n, mean = 8, 5 / 8
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    z = mean / math.sqrt(variance / n)
    found = matched_pairs_test(differences)
    assert (found.segments, found.mean, found.z) == (n, mean, pytest.approx(z))
    assert found.p == pytest.approx(math.erfc(z / math.sqrt(2)))
    assert matched_pairs_test([]).p == 1.0
    assert matched_pairs_test([1, 1, 1]).p == 0.0
    assert matched_pairs_test([0, 0]).p == 1.0


def test_the_segment_test_keeps_its_level():
    random = np.random.default_rng(5)
    differences = random.integers(-1, 2, (2000, 60))
    p = np.array([matched_pairs_test(row).p for row in differences.tolist()])
    assert abs(np.mean(p < 0.05) - 0.05) < 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_what_can_be_concluded_is_said_in_words():
    words = np.full(200, 5)
    a = np.zeros((200, 1), int)
    b = a.copy()
    b[:60] = 1
    assert conclusion(compare(a, b, words, draws=500), 200).startswith("A is better than B, by ")
    assert conclusion(compare(b, a, words, draws=500), 200).startswith("B is better than A, by ")
    b[:] = 0
    b[:3] = 1
    a[3:5] = 1
    text = conclusion(compare(a, b, words, draws=500), 200)
    assert text.startswith("Neither is shown to be better")
    assert "utterances more would tell" in text
    assert "other seeds" in text
    several = compare(np.tile(a, 2), np.tile(b, 2), words, draws=500)
    assert "other seeds" not in conclusion(several, 200)
