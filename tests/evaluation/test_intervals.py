import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom, bootstrap, norm, t

from asr_attn.evaluation import intervals
from asr_attn.evaluation.intervals import (
    bca_interval,
    bootstrap_rates,
    by_unit,
    exact_interval,
    percentile_interval,
    rate_interval,
)


def rate_and_pull(errors, words):
    rate = errors.sum() / words.sum()
    return rate, errors - rate * words


@pytest.mark.parametrize("many", [10_000, 0])  # 0: kinds of units are drawn, not units
def test_resampled_rates_have_the_distribution_of_all_resamples(monkeypatch, many):
    monkeypatch.setattr(intervals, "MANY", many)
    errors, words = np.array([0, 3, 1]), np.array([4, 5, 0])
    exact = [
        errors[list(pick)].sum() / words[list(pick)].sum()
        for pick in itertools.product(range(3), repeat=3)
        if words[list(pick)].sum()
    ]
    found = bootstrap_rates(errors, words, draws=20000)
    assert set(np.round(found, 9)) == set(np.round(exact, 9))
    for value in set(np.round(exact, 9)):
        share = np.mean(np.isclose(exact, value))
        assert np.mean(np.isclose(found, value)) == pytest.approx(share, abs=0.02)


def test_many_units_have_the_interval_of_the_normal_theory():
    random = np.random.default_rng(6)
    words = random.integers(1, 9, 50_000)
    errors = random.binomial(words, 0.1)
    interval = rate_interval(errors, words, draws=3000)
    rate = errors.sum() / words.sum()
    deviation = np.std(errors - rate * words) / math.sqrt(len(words)) / words.mean()
    expected = rate + deviation * norm.ppf([0.025, 0.975])
    np.testing.assert_allclose([interval.low, interval.high], expected, atol=0.1 * deviation)


def test_units_that_are_alike_are_still_as_many_as_they_are(monkeypatch):
    monkeypatch.setattr(intervals, "MANY", 0)
    values = np.array([[1, 5], [1, 5], [0, 5], [2, 0], [1, 5]])
    sums = np.concatenate(
        list(intervals.resampled_sums(values, 5000, np.random.default_rng(0), 700))
    )
    assert len(sums) == 5000
    np.testing.assert_allclose(sums.mean(axis=0), values.sum(axis=0), atol=0.15)
    # of a sum of N draws with replacement
    np.testing.assert_allclose(sums.var(axis=0), 5 * values.var(axis=0), rtol=0.1)


def test_systems_are_resampled_together():
    random = np.random.default_rng(0)
    errors, words = random.integers(0, 4, (50, 2)), random.integers(1, 9, 50)
    both = bootstrap_rates(errors, words, draws=300, seed=3)
    assert both.shape == (300, 2)
    for i in range(2):
        np.testing.assert_allclose(both[:, i], bootstrap_rates(errors[:, i], words, 300, seed=3))


def test_intervals_hold_the_true_rate_as_often_as_they_say():
    random = np.random.default_rng(1)
    held = []
    for k in range(300):
        words = random.integers(2, 8, 200)
        # an utterance has a rate of its own, 10 % on average: errors come in clusters
        errors = random.binomial(words, random.beta(0.5, 4.5, 200))
        interval = percentile_interval(bootstrap_rates(errors, words, draws=500, seed=k))
        held.append(interval.low <= 0.1 <= interval.high)
    # 3 standard deviations of a share of 300 around 95 %
    assert abs(np.mean(held) - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 300)


def interval_of_scipy(columns, statistic):
    """Ends of scipy's BCa interval of columns (N,) each, expanded as Student does."""
    count = len(columns[0])
    reach = math.sqrt(count / (count - 1)) * t.ppf(0.975, count - 1)
    found = bootstrap(
        columns,
        statistic,
        paired=True,
        method="BCa",
        confidence_level=2 * norm.cdf(reach) - 1,
        n_resamples=9999,
        batch=1000,
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return found.low, found.high


def test_the_interval_is_the_one_of_scipy():
    random = np.random.default_rng(3)
    words = random.integers(3, 9, 150)
    errors = random.binomial(words, random.beta(0.2, 3.8, 150))
    low, high = interval_of_scipy(
        (errors, words), lambda e, w, axis: e.sum(axis=axis) / w.sum(axis=axis)
    )
    found = bca_interval(bootstrap_rates(errors, words), *rate_and_pull(errors, words))
    assert found.low == pytest.approx(low, abs=0.04 * (high - low))
    assert found.high == pytest.approx(high, abs=0.04 * (high - low))
    middle = percentile_interval(bootstrap_rates(errors, words))
    assert found.high > middle.high + 0.04 * (high - low)  # errors are skewed, and it shows


def test_exact_intervals_leave_the_tails_they_say():
    for errors, words in ((0, 200), (1, 30), (7, 50), (50, 50)):
        found = exact_interval(errors, words)
        if errors:
            assert binom.sf(errors - 1, words, found.low) == pytest.approx(0.025)
        else:
            assert found.low == 0
        if errors < words:
            assert binom.cdf(errors, words, found.high) == pytest.approx(0.025)
        else:
            assert found.high == 1
    assert exact_interval(9, 5) == exact_interval(5, 5)


@pytest.mark.parametrize(
    "errors", [[0, 0, 0, 0], [1, 0, 0, 0], [4], [1], [9], [1, 1, 1, 1, 1, 1, 1], [5, 5, 5, 5, 5, 5]]
)
def test_no_interval_is_empty(errors):
    errors = np.array(errors)
    words = np.full(len(errors), 5)
    found = rate_interval(errors, words)
    assert found.low < found.high
    assert found.low <= errors.sum() / words.sum() <= found.high
    if errors.sum() <= words.sum():
        exact = exact_interval(errors.sum(), words.sum())
        assert found.low <= exact.low
        assert found.high >= exact.high


@pytest.mark.parametrize(("count", "rate"), [(100, 0.01), (20, 0.05), (200, 0.4)])
def test_intervals_hold_the_true_rate_where_errors_are_rare_and_where_they_are_not(count, rate):
    random = np.random.default_rng(count)
    held = []
    for k in range(500):
        words = random.integers(1, 20, count)
        interval = rate_interval(random.binomial(words, rate), words, draws=400, seed=k)
        held.append(interval.low <= rate <= interval.high)
    assert abs(np.mean(held) - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 500)


def test_intervals_over_speakers_allow_for_what_their_utterances_share():
    random = np.random.default_rng(2)
    speakers = np.repeat(np.arange(30), 10)
    words = np.full(300, 6)
    held = {"speakers": 0, "utterances": 0}
    for k in range(300):
        errors = random.binomial(6, random.beta(2.0, 18.0, 30)[speakers])
        for name, units in (("speakers", speakers), ("utterances", None)):
            interval = rate_interval(errors, words, units, draws=300, seed=k)
            held[name] += interval.low <= 0.1 <= interval.high
    assert abs(held["speakers"] / 300 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 300)
    assert held["utterances"] / 300 < 0.85


def test_numbers_of_units_need_not_be_without_gaps():
    values = np.array([1, 2, 3, 4])
    assert by_unit(values, np.array([7, 2, 7, 5])).tolist() == [2, 4, 4]


def test_few_units_widen_the_interval_as_student_does():
    errors, words = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9]), np.full(9, 20)  # not skewed
    found = bca_interval(bootstrap_rates(errors, words), *rate_and_pull(errors, words))
    low, high = t.interval(0.95, 8, 5 / 20, errors.std(ddof=1) / 3 / 20)
    # nine units have lighter tails than the normal distribution, by some percent
    assert high - low > found.high - found.low > 0.9 * (high - low)
    middle = percentile_interval(bootstrap_rates(errors, words))
    assert found.high - found.low > 1.15 * (middle.high - middle.low)
