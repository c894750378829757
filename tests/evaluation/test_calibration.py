import itertools
import math

import numpy as np
import pytest

from asr_attn.evaluation.calibration import (
    brier_score,
    calibration_error_interval,
    discrimination,
    expected_calibration_error,
    fit_calibration,
    log_loss,
    normalized_cross_entropy,
    reliability,
    word_correctness,
)
from asr_attn.evaluation.error_rates import count_errors


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


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_that_of_scikit_learn_where_no_weight_is_at_its_bound(seed):
    linear = pytest.importorskip("sklearn.linear_model")
    random = np.random.default_rng(seed)
    features = random.standard_normal((200, 2)) * [0.01, 300.0] + [5.0, -100.0]
    odds = 0.5 + (features - [5.0, -100.0]) @ [120.0, 0.005]
    correct = random.random(200) < 1 / (1 + np.exp(-odds))
    right, wrong, penalty = correct.sum(), (~correct).sum(), 2.0
    # a target between 0 and 1 is a right and a wrong word, each with a weight
    target = np.where(correct, (right + 1) / (right + 2), 1 / (wrong + 2))
    units = (features - features.mean(axis=0)) / features.std(axis=0)
    reference = linear.LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000)
    labels = np.repeat([True, False], 200)
    reference.fit(np.tile(units, (2, 1)), labels, np.concatenate([target, 1 - target]))
    found = fit_calibration(features, correct, ["x", "y"], penalty)
    assert found.weights == pytest.approx(reference.coef_[0], rel=1e-3)
    assert found.bias == pytest.approx(reference.intercept_[0], rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_is_zero_or_pushes_against_the_bound(seed):
    random = np.random.default_rng(seed)
    first = random.standard_normal(80)
    # nearly the same feature twice, one that speaks against, and one that is constant
    columns = [first, first + 0.01 * random.standard_normal(80), -first, np.full(80, 3.0)]
    features = np.stack(columns, axis=1)
    correct = random.random(80) < 1 / (1 + np.exp(-1.0 - first))
    found = fit_calibration(features, correct, list("abcd"), penalty=0.1)
    right, wrong = correct.sum(), (~correct).sum()
    target = np.where(correct, (right + 1) / (right + 2), 1 / (wrong + 2))
    error = found.confidence(features) - target
    weights = np.array(found.weights)
    slopes = ((features - found.means) / found.scales).T @ error + 0.1 * weights
    assert error.sum() == pytest.approx(0.0, abs=1e-3)
    assert slopes[weights > 0] == pytest.approx(0.0, abs=1e-3)
    assert (slopes[weights == 0] >= 0).all()
    assert weights[2] == weights[3] == 0.0


def test_features_that_do_not_fit_are_refused():
    correct = np.array([True, False, True])
    for shape in [(2, 3), (3, 3), (4, 2), (6,)]:  # the first has as many values as (3, 2)
        with pytest.raises(ValueError, match="3 words and 2 names need features of the shape"):
            fit_calibration(np.zeros(shape), correct, ["x", "y"])
    for value in (np.nan, -np.inf):
        with pytest.raises(ValueError, match="a feature of a word is not finite"):
            fit_calibration(np.array([[0.0], [value], [1.0]]), correct, ["x"])


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
    assert [(b.low, b.high) for b in bins] == [(0.2, 0.4), (0.7, 0.9)]
    for equal_width in (False, True):
        empty = reliability(confidence[:0], correct[:0], equal_width=equal_width)
        assert expected_calibration_error(empty) == 0.0


def test_bins_of_equal_width_take_their_lower_border():
    confidence = np.array([0.0, 0.29, 0.3, 0.3, 0.7, 1.0])
    correct = np.array([False, True, True, False, True, True])
    bins = reliability(confidence, correct, equal_width=True)
    assert [(b.low, b.high, b.count, b.accuracy) for b in bins] == [
        (0.0, 0.0, 1, 0.0),
        (0.29, 0.29, 1, 1.0),
        (0.3, 0.3, 2, 0.5),
        (0.7, 0.7, 1, 1.0),
        (1.0, 1.0, 1, 1.0),
    ]
    assert expected_calibration_error(bins) == pytest.approx((0.71 + 2 * 0.2 + 0.3) / 6)


def test_the_order_of_equally_sure_words_does_not_matter():
    # sorted by place, the first half of the words would be right and the second wrong
    assert expected_calibration_error(reliability(np.full(100, 0.5), np.arange(100) < 50)) == 0.0
    # of the three, the middle one is above the border of two bins of three words
    three = np.array([0.1, 0.2, 0.5, 0.5, 0.5, 0.9])
    assert [b.count for b in reliability(three, three > 0.3, bins=2)] == [2, 4]
    random = np.random.default_rng(4)
    confidence = random.integers(0, 8, 90) / 7
    correct = random.random(90) < confidence
    order = random.permutation(90)
    bins = reliability(confidence, correct)
    assert reliability(confidence[order], correct[order]) == [
        type(b)(pytest.approx(b.confidence), b.accuracy, b.count, b.low, b.high) for b in bins
    ]
    assert sum(b.count for b in bins) == 90
    assert all(one.high < next_one.low for one, next_one in itertools.pairwise(bins))


def plain_error(confidence, correct, cuts) -> float:
    """Calibration error in plain Python; bins end before the places ``cuts`` of sorted words."""
    pairs = sorted(zip(confidence, correct))
    return sum(
        abs(sum(c - y for c, y in pairs[a:b])) for a, b in itertools.pairwise([0, *cuts])
    ) / len(pairs)


def test_the_error_of_a_true_confidence_is_that_of_chance():
    random = np.random.default_rng(5)
    confidence = random.beta(4, 1, 500)
    cuts = range(50, 501, 50)
    chance = [plain_error(confidence, random.random(500) < confidence, cuts) for _ in range(300)]
    correct = random.random(500) < confidence
    error = expected_calibration_error(reliability(confidence, correct))
    assert error == pytest.approx(plain_error(confidence, correct, cuts))
    assert min(chance) <= error <= max(chance)


def test_the_interval_is_that_of_all_sets_that_can_be_drawn():
    confidence = np.array([0.1, 0.3, 0.8, 0.9, 0.6, 0.95])
    correct = np.array([False, True, True, False, True, True])
    utterance = np.array([7, 7, 7, 2, 5, 5])
    low_bin = np.array([True, True, False, False, True, False])  # the three least sure words
    off = confidence - correct

    def shares(words):
        return [off[words][low_bin[words] == k].sum() / len(words) for k in (True, False)]

    here = shares(np.arange(6))
    far = []
    for drawn in itertools.product((2, 5, 7), repeat=3):
        words = np.concatenate([np.flatnonzero(utterance == u) for u in drawn])
        far.append(sum(abs(a - b) for a, b in zip(shares(words), here)))
    far.sort()
    # one in 27 is beyond 96.3 %, two in 27 are beyond 92.6 %: 95 % lies within the second largest
    error = sum(map(abs, here))
    assert far[24] == pytest.approx(far[25])
    found = calibration_error_interval(confidence, correct, utterance, bins=2, draws=20_000)
    assert found == pytest.approx((max(error - far[25], 0.0), min(error + far[25], 1.0)))
    again = calibration_error_interval(confidence, correct, utterance, bins=2, draws=20_000)
    assert found == again


@pytest.mark.parametrize("power", [1.0, 1.1, 2.0])
def test_intervals_hold_the_error_of_endless_speech(power):
    random = np.random.default_rng(6)
    held = 0
    for _ in range(60):
        # words of an utterance go right or wrong together
        confidence = np.repeat(random.beta(4, 0.7, 100), 4)
        right = np.repeat(random.random(100), 4) < confidence**power
        utterance = np.repeat(np.arange(100), 4)
        low, high = calibration_error_interval(confidence, right, utterance, draws=250)
        cuts = range(40, 401, 40)
        true = plain_error(confidence, confidence**power, cuts)
        held += low <= true <= high
    assert held >= 51  # with a chance of 95 %, fewer are held once in some thousand times


def test_too_little_speech_tells_nothing_of_the_error():
    none = np.zeros(0)
    assert calibration_error_interval(none, none > 0, none.astype(int)) == (0.0, 1.0)
    one = np.array([0.2, 0.9])
    assert calibration_error_interval(one, one > 0.5, np.array([3, 3])) == (0.0, 1.0)


def test_brier_score_and_log_loss_by_hand():
    confidence, correct = np.array([0.75, 0.5, 0.25]), np.array([True, False, False])
    assert brier_score(confidence, correct) == pytest.approx((1 / 16 + 1 / 4 + 1 / 16) / 3)
    expected = (math.log(4 / 3) + math.log(2) + math.log(4 / 3)) / 3
    assert log_loss(confidence, correct) == pytest.approx(expected)
    assert brier_score(confidence[:0], correct[:0]) is log_loss(confidence[:0], correct[:0]) is None
    assert log_loss(np.array([0.0]), np.array([True])) == pytest.approx(12 * math.log(10))
    # NIST's measure is what the loss takes off that of the share of right words
    share = -(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3
    assert normalized_cross_entropy(confidence, correct) == pytest.approx(1 - expected / share)


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
        counts = count_errors([" ".join(reference)], [" ".join(hypothesis)])
        right = counts.total - counts.substitutions - counts.deletions
        assert sum(word_correctness(reference, hypothesis)) == right


def test_minimal_alignments_may_differ_in_what_is_right():
    errors, options = least_errors("ab", "ba")
    assert errors == 2
    assert options == {(False, False), (True, False), (False, True)}


def test_words_may_be_empty_or_hold_blanks():
    assert word_correctness(["a", "b"], ["", "a", "b"]) == [False, True, True]
    assert word_correctness(["a", "b"], ["a b"]) == [False]
    assert word_correctness(["a b", "", "c\td"], ["a b", "", "c\td"]) == [True, True, True]
