import itertools
import math

import numpy as np
import pytest

from asr_attn.evaluation.calibration import (
    discrimination,
    expected_calibration_error,
    fit_calibration,
    normalized_cross_entropy,
    reliability,
    word_correctness,
)


def penalised_loss(calibration, features, correct, penalty) -> float:
    """What is minimised, in plain Python."""
    right, wrong = sum(correct), len(correct) - sum(correct)
    total = 0.5 * penalty * sum(w * w for w in calibration.weights)
    for row, true in zip(features, correct):
        target = (right + 1) / (right + 2) if true else 1 / (wrong + 2)
        p = float(calibration.confidence(np.array([row]))[0])
        total -= target * math.log(p) + (1 - target) * math.log(1 - p)
    return total


def test_one_binary_feature_has_a_closed_form():
    # without a penalty the model is saturated: each group has the mean of its targets
    features = np.repeat([[0.0], [1.0]], [20, 30], axis=0)
    correct = np.array([True] * 8 + [False] * 12 + [True] * 27 + [False] * 3)
    found = fit_calibration(features, correct, ["x"], penalty=0.0)
    high, low = 36 / 37, 1 / 17
    expected = [(8 * high + 12 * low) / 20, (27 * high + 3 * low) / 30]
    assert found.confidence(np.array([[0.0], [1.0]])) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_near_the_fit_is_likelier(seed):
    random = np.random.default_rng(seed)
    features = random.standard_normal((60, 2)) * [1.0, 5.0] + [0.0, -3.0]
    odds = 1.0 + 2.0 * features[:, 0] - 0.3 * features[:, 1]  # the second one speaks against
    correct = random.random(60) < 1 / (1 + np.exp(-odds))
    found = fit_calibration(features, correct, ["x", "y"], penalty=0.5)
    best = penalised_loss(found, features, correct, 0.5)
    assert found.weights[1] == pytest.approx(0.0, abs=1e-6)  # not below 0
    for steps in itertools.product((-0.02, 0.0, 0.02), repeat=3):
        weights = tuple(max(0.0, w + s) for w, s in zip(found.weights, steps))
        near = type(found)(found.names, found.means, found.scales, weights, found.bias + steps[2])
        assert penalised_loss(near, features, correct, 0.5) >= best - 1e-9


@pytest.mark.parametrize(("count", "right"), [(0, 0), (5, 5), (5, 0), (1, 1)])
def test_few_and_uniform_words_give_a_defined_confidence(count, right):
    features = np.full((count, 2), -0.5)
    correct = np.arange(count) < right
    found = fit_calibration(features, correct, ["x", "y"])
    sure = float(found.confidence(np.array([[-0.5, -0.5]]))[0])
    expected = 0.5 if count == 0 else (right + 1) / (right + 2) if right else 1 / (count + 2)
    assert sure == pytest.approx(expected, abs=1e-4)
    extreme = found.confidence(np.array([[-1e9, -1e9], [1e9, 1e9]]))
    assert np.isfinite(extreme).all()


def test_confidence_that_is_drawn_from_is_calibrated():
    random = np.random.default_rng(0)
    confidence = random.random(20000)
    correct = random.random(20000) < confidence
    bins = reliability(confidence, correct)
    assert [b.count for b in bins] == [2000] * 10
    for b in bins:
        assert abs(b.confidence - b.accuracy) < 4 * math.sqrt(0.25 / 2000)
    assert expected_calibration_error(bins) < 0.012
    too_sure = expected_calibration_error(reliability(np.sqrt(confidence), correct))
    # the mean of sqrt(c) - c for c from 0 to 1
    assert too_sure == pytest.approx(2 / 3 - 1 / 2, abs=0.01)
    assert normalized_cross_entropy(confidence, correct) == pytest.approx(
        1 - 0.5 / math.log(2), abs=0.01
    )  # the mean entropy of a uniform confidence is 1/2 nat, that of a half log 2
    assert normalized_cross_entropy(np.full(20000, correct.mean()), correct) == pytest.approx(0.0)


def test_calibration_error_by_hand():
    confidence = np.array([0.2, 0.4, 0.9, 0.7])
    correct = np.array([False, True, True, False])
    bins = reliability(confidence, correct, bins=2)
    assert [(b.confidence, b.accuracy, b.count) for b in bins] == [
        (pytest.approx(0.3), 0.5, 2),
        (pytest.approx(0.8), 0.5, 2),
    ]
    assert expected_calibration_error(bins) == pytest.approx(0.25)
    assert expected_calibration_error(reliability(confidence[:0], correct[:0])) == 0.0


def test_discrimination_counts_pairs():
    random = np.random.default_rng(1)
    confidence = random.integers(0, 6, 40) / 5  # with ties
    correct = random.random(40) < 0.6
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, b in itertools.product(confidence[correct], confidence[~correct])
    ]
    assert discrimination(confidence, correct) == pytest.approx(np.mean(pairs))
    assert discrimination(confidence, np.ones(40, bool)) is None
    assert normalized_cross_entropy(confidence, np.ones(40, bool)) is None


def least_errors(reference, hypothesis) -> tuple[int, set[tuple[bool, ...]]]:
    """Least number of errors, and what words of the hypothesis may be right in an alignment."""
    if not reference or not hypothesis:
        return len(reference) + len(hypothesis), {(False,) * len(hypothesis)}
    options = []
    same = reference[0] == hypothesis[0]
    for cost, i, j, mark in ((not same, 1, 1, (same,)), (1, 1, 0, ()), (1, 0, 1, (False,))):
        errors, rest = least_errors(reference[i:], hypothesis[j:])
        options.append((cost + errors, {(*mark, *r) for r in rest}))
    least = min(errors for errors, _ in options)
    return least, set().union(*(found for errors, found in options if errors == least))


def test_right_words_are_those_of_a_minimal_alignment():
    random = np.random.default_rng(2)
    for _ in range(60):
        reference = list(random.choice(list("abc"), random.integers(0, 5)))
        hypothesis = list(random.choice(list("abc"), random.integers(0, 5)))
        _, allowed = least_errors(reference, hypothesis)
        assert tuple(word_correctness(reference, hypothesis)) in allowed
