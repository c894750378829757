import numpy as np
import pytest
from scipy.spatial.distance import cityblock
from scipy.stats import spearmanr

from asr_attn.evaluation.explanation_agreement import (
    Agreement,
    mass_inside,
    mean_agreement,
    overlap,
    rank_correlation,
    word_agreement,
)


@pytest.mark.parametrize("seed", range(4))
def test_ranks_correlate_as_scipy_says(seed: int):
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 5, (2, 30)).astype(float)  # with ties
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_ranks_of_any_rising_function_are_the_same():
    a = np.array([0.1, 0.7, 0.2, 0.0])
    assert rank_correlation(a, np.exp(5 * a)) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)


def test_equal_values_have_no_rank():
    assert rank_correlation(np.ones(4), np.arange(4.0)) is None
    assert rank_correlation(np.arange(4.0), np.zeros(4)) is None
    assert rank_correlation(np.ones(1), np.ones(1)) is None


def test_overlap_is_one_less_total_variation():
    random = np.random.default_rng(0)
    a, b = random.dirichlet(np.ones(20), 2)
    assert overlap(a, b) == pytest.approx(1 - cityblock(a, b) / 2)
    assert overlap(3 * a, b) == pytest.approx(overlap(a, b))
    assert overlap(a, a) == pytest.approx(1)
    assert overlap(np.array([1.0, 0, 0]), np.array([0, 0.5, 0.5])) == 0
    assert overlap(a, np.zeros(20)) is None


def test_mass_inside_counts_parts_of_frames():
    row = np.array([4.0, 2.0, 1.0, 1.0])
    # 1/4 of the first frame's time, all of the second's, half of the third's
    assert mass_inside(row, 0.075, 0.25, 0.1) == pytest.approx((1 + 2 + 0.5) / 8)
    assert mass_inside(row, 0.0, 9.0, 0.1) == pytest.approx(1)
    assert mass_inside(row, 0.4, 0.6, 0.1) == 0
    assert mass_inside(np.zeros(4), 0.0, 1.0, 0.1) is None


def test_methods_are_compared_over_memory_steps():
    # within a step of two frames they are opposites, over steps they are alike
    rows = {
        "attention": np.array([0.25, 0.25, 0.2, 0.2, 0.1]),
        "gradients": np.array([0.5, 0.0, 0.0, 0.4, 0.1]),
        "occlusion": np.array([0.0, 0.0, 0.0, 0.0, 1.0]),
    }
    found = word_agreement(rows, 2, (0.0, 0.1), 0.1)
    assert found.correlation["gradients"] == pytest.approx(1)
    assert found.overlap["gradients"] == pytest.approx(1)
    assert found.overlap["occlusion"] == found.overlap["both"] == pytest.approx(0.1)
    assert found.correlation["occlusion"] == pytest.approx(
        spearmanr([0.5, 0.4, 0.1], [0, 0, 1]).statistic
    )
    assert found.inside == pytest.approx({"attention": 0.25, "gradients": 0.5, "occlusion": 0.0})
    assert set(word_agreement(rows, 2, None, 0.1).inside.values()) == {None}


def test_means_leave_out_what_is_not_known():
    words = [Agreement({"a": 0.2}, {"a": None}, {"b": v}) for v in (0.5, None, 1.0)]
    assert mean_agreement(words) == Agreement(
        {"a": pytest.approx(0.2)}, {"a": None}, {"b": pytest.approx(0.75)}
    )
    assert mean_agreement([]) == Agreement({}, {}, {})
