import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm, t

from asr_attn.evaluation import intervals
from asr_attn.evaluation.comparison import bootstrap_differences, compare
from asr_attn.evaluation.conclusion import conclusion


def test_the_bootstrap_is_a_loop_over_resampled_utterances():
    random = np.random.default_rng(0)
    a, b, words = (random.integers(0, 5, 40) for _ in range(3))
    picks = np.random.default_rng(7).integers(0, 40, (300, 40))  # as the bootstrap draws them
    expected = []
    for pick in picks.tolist():
        errors = sum(b[i] - a[i] for i in pick)
        expected.append(errors / sum(words[i] for i in pick))
    found = bootstrap_differences(a[:, None], b[:, None], words, draws=300, seed=7)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("many", [10_000, 0])  # 0: kinds of utterances are drawn
def test_the_bootstrap_resamples_both_systems_together(monkeypatch, many):
    monkeypatch.setattr(intervals, "MANY", many)
    a, b, words = np.array([[0], [2], [1]]), np.array([[1], [0], [1]]), np.array([3, 5, 4])
    exact = [
        (b[list(pick)].sum() - a[list(pick)].sum()) / words[list(pick)].sum()
        for pick in itertools.product(range(3), repeat=3)
    ]
    found = bootstrap_differences(a, b, words, draws=40000)
    for value in set(np.round(exact, 9)):
        share = np.mean(np.isclose(exact, value))
        assert np.mean(np.isclose(found, value)) == pytest.approx(share, abs=0.01)
    whole = compare(a, b, words, draws=1000)
    assert whole.difference == pytest.approx(-1 / 12)
    assert (whole.rate_a, whole.rate_b) == (pytest.approx(3 / 12), pytest.approx(2 / 12))


def test_interval_and_probabilities_are_those_of_the_normal_theory():
    random = np.random.default_rng(4)
    words = np.full(2000, 10)
    a, b = (random.binomial(10, rate, (2000, 1)) for rate in (0.10, 0.105))
    found = compare(a, b, words)
    deviation = np.std(b - a, ddof=1) / math.sqrt(2000) / 10
    mean = np.mean(b - a) / 10
    expected = mean + deviation * norm.ppf([0.025, 0.975])
    bounds = (found.interval.low, found.interval.high)
    np.testing.assert_allclose(bounds, expected, atol=0.1 * deviation)
    assert found.b_better == pytest.approx(norm.cdf(-mean / deviation), abs=0.015)
    assert found.p == pytest.approx(2 * norm.sf(abs(mean) / deviation), abs=0.03)


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
    found = compare(a, b, words)
    # Welch's interval of the means of three seeds each, by the measured rates
    parts = [e.mean(axis=0).var(ddof=1) / 25 / 3 for e in (a, b)]
    freedom = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    utterances = (b.mean(axis=1) - a.mean(axis=1)).var() / 25 / 400
    deviation = math.sqrt(sum(parts) + utterances)
    width = found.interval.high - found.interval.low
    assert width == pytest.approx(2 * t.ppf(0.975, freedom) * deviation, rel=0.12)
    assert not found.shown
    assert found.needed is None
    single = compare(a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True), 3 * words)
    assert single.interval.high - single.interval.low < 0.3 * width


@pytest.mark.parametrize("seeds", [2, 3])
def test_luck_with_seeds_is_not_taken_for_a_difference(seeds):
    random = np.random.default_rng(seeds)
    words = np.full(100, 8)
    claims = []
    for k in range(250):
        # both ways to train are the same, but models of different seeds are not
        rates = random.gamma(12.0, 0.06 / 12.0, (2, 1, seeds))
        a, b = random.binomial(8, np.broadcast_to(rates, (2, 100, seeds)))
        claims.append(compare(a, b, words, draws=400, seed=k).shown)
    assert np.mean(claims) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 250)


def test_one_way_to_train_is_found_better_with_enough_seeds():
    random = np.random.default_rng(8)
    rates = random.gamma(12.0, np.array([[0.06], [0.02]]) / 12.0, (2, 6))[:, None]
    a, b = random.binomial(8, np.broadcast_to(rates, (2, 100, 6)))
    found = compare(a, b, np.full(100, 8))
    assert found.interval.high < 0
    assert found.b_better > 0.99


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("others", [0, 300])
def test_a_few_utterances_prove_nothing(count, others):
    a = np.zeros((count + others, 1), int)
    a[:count] = 1
    found = compare(a, np.zeros_like(a), np.full(count + others, 4), draws=1000)
    assert found.interval.low <= found.difference < 0 < found.interval.high
    assert found.p >= 2 * 0.5**count  # of all signs, those that are all the same
    assert found.differing == count
    assert f"in only {count} of the utterances" in conclusion(found, count + others)


def test_no_interval_is_empty():
    words = np.full(50, 4)
    same = np.ones((50, 1), int)
    for other in (same, np.zeros_like(same)):
        found = compare(same, other, words, draws=1000)
        assert found.interval.low < found.difference < found.interval.high
    assert compare(same, same, words, draws=1000).p == 1.0


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


def test_needed_utterances_allow_for_seeds():
    random = np.random.default_rng(9)
    rates = np.array([[0.050, 0.052, 0.051, 0.049], [0.040, 0.038, 0.039, 0.041]])[:, None]
    a, b = random.binomial(6, np.broadcast_to(rates, (2, 3000, 4)))
    words = np.full(3000, 6)
    needed = compare(a, b, words, draws=10).needed
    assert needed is not None
    # the variance of the rates of seeds stays, that of the utterances goes with their number
    seeds = [e.mean(axis=0).var(ddof=1) / 36 / 4 for e in (a, b)]
    utterances = (b.mean(axis=1) - a.mean(axis=1)).var(ddof=1) / 36 / 3000
    freedom = (sum(seeds) + utterances) ** 2 / (sum(v**2 / 3 for v in seeds) + utterances**2 / 2999)
    deviation = math.sqrt(sum(seeds) + utterances * 3000 / needed)
    mean = abs(b.mean() - a.mean()) / 6
    power = norm.cdf(mean / deviation - t.ppf(0.975, freedom))
    assert power == pytest.approx(0.8, abs=0.01)
    # and more than the utterances would need if there were no other seeds
    single = compare(*(e.sum(axis=1, keepdims=True) for e in (a, b)), 4 * words, draws=10)
    assert needed > single.needed


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
    assert "seed" not in conclusion(several, 200)
    text = conclusion(compare(a, np.tile(b, 2), words, draws=500), 200, unit="speakers")
    assert "There is one seed of A" in text
    assert "of other speakers, would tell" in text
    same = conclusion(compare(a, a, words, draws=500), 200)
    assert "same number of errors in each of the utterances" in same
    apart = np.zeros((400, 2), int)
    apart[::2, 0] = 1
    more = conclusion(compare(apart[:, ::-1][:, :1], apart, np.full(400, 5), draws=500), 400)
    assert "train more of them" in more
