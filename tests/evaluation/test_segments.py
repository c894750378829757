import itertools
import math
import re

import numpy as np
import pytest
from scipy.stats import norm

from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.segments import matched_pairs_test, segment_differences


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
        ("a\tb  c d", "x b\tc d", "a b c y", [1, -1]),  # any white space parts words
    ],
)
def test_segments_end_where_both_are_right(reference, first, second, expected):
    assert segment_differences(reference, first, second) == expected


def test_segments_are_what_stretches_of_right_words_leave():
    random = np.random.default_rng(0)
    for _ in range(200):
        reference = random.choice(list("abcdefgh"), random.integers(1, 25))
        # words are replaced by others that occur nowhere, so that the alignment is plain
        wrong = random.random((2, len(reference))) < 0.25
        first, second = (" ".join(np.where(w, "x", reference)) for w in wrong)
        marks = "".join("._"[int(either)] for either in wrong.any(axis=0))
        edges = [0, *itertools.accumulate(len(p) for p in re.split(r"(\.{2,})", marks))]
        expected = [
            int(wrong[0, begin:end].sum() - wrong[1, begin:end].sum())
            for begin, end in itertools.pairwise(edges)
            if "_" in marks[begin:end]
        ]
        assert segment_differences(" ".join(reference), first, second) == expected


def test_segments_hold_all_errors():
    random = np.random.default_rng(1)
    for _ in range(200):
        said, first, second = (" ".join(random.choice(list("abc"), n)) for n in (9, 7, 10))
        errors = [count_errors([said], [text]).errors for text in (first, second)]
        assert sum(segment_differences(said, first, second)) == errors[0] - errors[1]


def test_the_test_is_the_formula_of_the_paper():
    differences = [1, 0, -1, 2, 1, 1, 0, 1]
    n, mean = 8, 5 / 8
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    z = mean / math.sqrt(variance / n)
    found = matched_pairs_test(differences)
    assert (found.segments, found.mean, found.z) == (n, mean, pytest.approx(z))
    assert found.p == pytest.approx(math.erfc(z / math.sqrt(2)))


@pytest.mark.parametrize("differences", [[], [0, 0], [3], [1, 1, 1], [2, 1], [0, 4, 5]])
def test_a_few_segments_prove_no_more_than_the_signs_allow(differences):
    # of all ways to give the differences signs, those with a sum as far from 0
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    share = np.mean(np.array(sums) >= abs(sum(differences)))
    assert matched_pairs_test(differences).p == pytest.approx(share)


def test_the_test_keeps_its_level_and_has_the_power_of_the_normal_theory():
    random = np.random.default_rng(5)
    for mean in (0.0, 0.3):
        steps = np.array([-1, 0, 1])
        odds = np.array([(1 - mean) / 3, 1 / 3, (1 + mean) / 3])
        deviation = math.sqrt((odds * steps**2).sum() - (odds @ steps) ** 2)
        shift = (odds @ steps) / deviation * math.sqrt(60)
        expected = norm.sf(1.96 - shift) + norm.cdf(-1.96 - shift)
        rows = random.choice(steps, (2000, 60), p=odds).tolist()
        found = np.mean([matched_pairs_test(row).p < 0.05 for row in rows])
        assert abs(found - expected) < 3 * math.sqrt(expected * (1 - expected) / 2000) + 0.01


def test_errors_in_bursts_do_not_deceive_it():
    """Segments are independent where words are not: the reason for the test."""
    random = np.random.default_rng(6)
    reference = [f"w{i}" for i in range(40)]

    def wrong_words() -> np.ndarray:
        begin = random.random((25, 40)) < 0.06
        wrong = begin.copy()
        for i in range(1, 40):
            wrong[:, i] |= wrong[:, i - 1] & (random.random(25) < 0.75)
        return wrong

    claims, naive = [], []
    for _ in range(150):
        a, b = wrong_words(), wrong_words()
        segments = []
        for ours, theirs in zip(a, b):
            texts = (" ".join(np.where(w, "x", reference)) for w in (ours, theirs))
            segments += segment_differences(" ".join(reference), *texts)
        claims.append(matched_pairs_test(segments).p < 0.05)
        words = a.astype(int) - b
        naive.append(abs(words.mean() / (words.std() / math.sqrt(words.size))) > 1.96)
    assert np.mean(claims) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 150)
    assert np.mean(naive) > 0.2
