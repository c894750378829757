import itertools
import math

import numpy as np
import pytest

from asr_attn.evaluation.intervals import bootstrap_rates, percentile_interval


def test_resampled_rates_have_the_distribution_of_all_resamples():
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
