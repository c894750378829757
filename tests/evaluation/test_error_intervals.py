import math
from collections import Counter

import numpy as np
import pytest

from asr_attn.evaluation import error_intervals as module
from asr_attn.evaluation.error_intervals import error_intervals
from asr_attn.evaluation.intervals import exact_interval, rate_interval
from asr_attn.evaluation.scoring import Scores, score_characters, score_words

from .test_intervals import interval_of_scipy
from .test_scoring import random_texts


def scores_of(hits, substituted, deleted, inserted):
    """Scores of utterances with these numbers of words."""
    hits, substituted, deleted, inserted = map(np.asarray, (hits, substituted, deleted, inserted))
    errors = substituted + deleted + inserted
    counters = (Counter(), Counter(), Counter())
    words, written = hits + substituted + deleted, hits + substituted + inserted
    return Scores(words, errors, inserted, written, *counters)


def lost(hits, said, written):
    return 1 - hits.sum(-1) ** 2 / (said.sum(-1) * written.sum(-1))


def random_scores(random, count, rate=0.2):
    """Utterances whose words go wrong at a rate of their own: errors come in clusters."""
    words = random.integers(3, 12, count)
    shares = random.beta(2.0, 2.0 / rate - 2.0, count)
    wrong = random.binomial(words, shares)
    deleted = random.binomial(wrong, 0.25)
    return scores_of(words - wrong, wrong - deleted, deleted, random.poisson(0.3, count))


def test_rates_have_the_intervals_that_each_has_alone():
    references, hypotheses = random_texts(80, 4), random_texts(80, 5)
    words = score_words(references, hypotheses)
    characters = score_characters(references, hypotheses)
    speakers = np.arange(80) % 25
    for units in (None, speakers):
        found = error_intervals(words, characters, units, draws=500, seed=2)
        for interval, errors, total in (
            (found.words, words.errors, words.words),
            (found.characters, characters.errors, characters.words),
            (found.match_errors, words.errors, words.hits + words.errors),
            (found.sentences, 1 * (words.errors > 0), np.ones(80, dtype=int)),
        ):
            assert interval == rate_interval(errors, total, units, 500, seed=2)


@pytest.mark.parametrize("loops", [0, 4])  # utterances in which many words are put in
def test_the_interval_of_information_lost_is_the_one_of_scipy(loops):
    random = np.random.default_rng(1)
    words = random_scores(random, 150)
    inserted = words.inserted.copy()
    inserted[:loops] += random.integers(40, 90, loops)
    scores = scores_of(words.hits, words.words - words.hits, 0 * inserted, inserted)
    low, high = interval_of_scipy(
        (scores.hits, scores.words, scores.written),
        lambda h, n, p, axis: 1 - h.sum(axis) ** 2 / (n.sum(axis) * p.sum(axis)),
    )
    found = error_intervals(scores, scores).information_lost
    assert found.low == pytest.approx(low, abs=0.04 * (high - low))
    assert found.high == pytest.approx(high, abs=0.04 * (high - low))


def test_intervals_hold_the_true_figures_as_often_as_they_say():
    random = np.random.default_rng(3)
    everything = random_scores(random, 400_000)
    total = {
        "information_lost": lost(everything.hits, everything.words, everything.written),
        "match_errors": everything.errors.sum() / (everything.errors + everything.hits).sum(),
        "sentences": np.mean(everything.errors > 0),
    }
    held = Counter()
    for k in range(400):
        sample = random_scores(random, 120)
        found = error_intervals(sample, sample, draws=300, seed=k)
        for name, value in total.items():
            interval = getattr(found, name)
            held[name] += interval.low <= value <= interval.high
    for name in total:
        assert abs(held[name] / 400 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 400), name


def test_all_right_all_wrong_and_nothing_written_have_intervals_too():
    for counts, value in (
        (([4, 5], [0, 0], [0, 0], [0, 0]), 0.0),
        (([0, 0], [4, 5], [0, 0], [0, 0]), 1.0),
        (([0, 0], [0, 0], [4, 5], [0, 0]), 1.0),
        (([3, 0], [1, 5], [0, 0], [0, 0]), 1 - 9 / 81),
        (([4, 0], [0, 0], [0, 0], [0, 1]), 1 - 16 / (4 * 5)),
    ):
        scores = scores_of(*counts)
        found = error_intervals(scores, scores).information_lost
        assert 0 <= found.low <= value <= found.high <= 1
        assert found.low < found.high
    right = error_intervals(scores_of([4, 5], [0, 0], [0, 0], [0, 0]), scores)
    assert right.information_lost.high == 1 - (1 - exact_interval(0, 9).high) ** 2


def test_many_utterances_have_the_interval_of_few_alike(monkeypatch):
    scores = random_scores(np.random.default_rng(5), 300)
    found = error_intervals(scores, scores)
    monkeypatch.setattr(module, "MANY", 0)
    apart = error_intervals(scores, scores)
    assert apart == found  # the same draws, made one after the other
    monkeypatch.setattr("asr_attn.evaluation.intervals.MANY", 0)
    kinds = error_intervals(scores, scores)
    for name in ("words", "information_lost", "sentences"):
        one, other = getattr(found, name), getattr(kinds, name)
        assert other.low == pytest.approx(one.low, abs=0.08 * (one.high - one.low))
        assert other.high == pytest.approx(one.high, abs=0.08 * (one.high - one.low))
