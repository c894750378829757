import itertools
from dataclasses import replace

import numpy as np
import pytest

from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.evaluation.tuning import Pool, Weights, best_weights, weights_for_halves


def random_pool(utterances: int = 40, hypotheses: int = 6, seed: int = 0) -> Pool:
    """Hypotheses whose errors attention does not show, but CTC and the language model do."""
    random = np.random.default_rng(seed)
    size = (utterances, hypotheses)
    errors = random.integers(0, 4, size)
    tokens = random.integers(3, 12, size).astype(float)
    attention = -random.gamma(4.0, 1.0, size)
    attention[:, -1][::3] = -np.inf  # some have fewer
    ctc = -3.0 * errors - random.gamma(2.0, 1.0, size)
    lm = -2.0 * errors - 0.5 * tokens - random.gamma(2.0, 1.0, size)
    internal = -0.5 * tokens - random.gamma(2.0, 1.0, size)
    ends = (random.random(size) < 0.9).astype(float)
    ends[:, 0] = 1.0
    return Pool(attention, ctc, lm, internal, tokens, ends, errors, random.integers(0, 20, size))


def picked_slowly(pool: Pool, w: Weights) -> list[int]:
    found = []
    for i in range(len(pool)):
        keys = []
        for j in range(pool.errors.shape[1]):
            if pool.attention[i, j] == -np.inf:
                continue
            total = (1 - w.ctc_weight) * pool.attention[i, j] + w.ctc_weight * pool.ctc[i, j]
            total += w.lm_weight * pool.lm[i, j] + w.length_bonus * pool.tokens[i, j]
            total -= w.internal_lm_weight * pool.internal_lm[i, j]
            config = SearchConfig(length_exponent=w.length_exponent)
            rank = config.rank(total, int(pool.tokens[i, j] + pool.ends[i, j]))
            keys.append((pool.ends[i, j], rank, -j))
        found.append(-max(keys)[2])
    return found


def wrong_words(pool: Pool, weights: Weights) -> int:
    return pool.counts(pool.picked(weights))[0]


def test_a_pool_is_ranked_as_a_search_ranks():
    pool = random_pool()
    random = np.random.default_rng(1)
    for _ in range(20):
        weights = Weights(*random.random(4), 0.0 if random.random() < 0.5 else random.random())
        slow = picked_slowly(pool, weights)
        assert pool.picked(weights).tolist() == slow
        rows = list(enumerate(slow))
        words = sum(int(pool.errors[i, j]) for i, j in rows)
        assert pool.counts(pool.picked(weights)) == (
            words,
            sum(int(pool.characters[i, j]) for i, j in rows),
        )


@pytest.mark.parametrize(
    "planted",
    [
        Weights(0.3, 0.6, 0.2, 0.8, 0.0),
        Weights(0.02, 1.2, 0.0, 0.0, 0.0),
        Weights(0.7, 0.1, 0.0, 0.0, 0.6),
    ],
)
def test_planted_weights_are_found(planted):
    """What these weights rank first is right, and hardly any others do."""
    pool = random_pool(utterances=300, seed=3)
    pool = replace(pool, ends=np.ones_like(pool.ends), errors=np.ones_like(pool.errors))
    pool.errors[np.arange(len(pool)), picked_slowly(pool, planted)] = 0
    assert wrong_words(pool, Weights()) > 30
    [best] = best_weights(pool, True, 3000, 0, Weights())
    grid = min(
        wrong_words(pool, Weights(c, lm, internal, bonus, exponent))
        for c, lm, internal, (bonus, exponent) in itertools.product(
            np.linspace(0, 0.9, 13),
            np.linspace(0, 1.5, 13),
            (0.0, 0.15, 0.3, 0.6),
            [(b, 0.0) for b in np.linspace(0, 2, 6)] + [(0.0, x) for x in (0.2, 0.4, 0.6, 0.8)],
        )
    )
    assert wrong_words(pool, best) <= min(grid, 0.03 * len(pool))


def test_the_best_are_in_order_and_differ_in_what_they_pick():
    pool = random_pool()
    best = best_weights(pool, True, 1500, 0, Weights(), count=4)
    figures = [pool.counts(pool.picked(w)) for w in best]
    assert figures == sorted(figures)
    assert figures[0] < pool.counts(pool.picked(Weights()))
    assert len({pool.picked(w).tobytes() for w in best}) == 4
    assert best == best_weights(pool, True, 1500, 0, Weights(), count=4)
    assert best != best_weights(pool, True, 1500, 1, Weights(), count=4)
    for weights in best:  # the search takes them
        weights.applied(SearchConfig(beam=10, lm="words.arpa"))


def test_without_a_language_model_it_has_no_weight():
    found = best_weights(random_pool(), False, 50, 0, Weights(), count=5)
    assert {(w.lm_weight, w.internal_lm_weight) for w in found} == {(0, 0)}


def test_characters_decide_among_equals_and_then_what_came_first():
    pool = random_pool()
    same = replace(pool, errors=np.ones_like(pool.errors))
    [best] = best_weights(same, True, 300, 0, Weights())
    alone = best_weights(replace(same, errors=same.characters), True, 300, 0, Weights())
    assert [best] == alone
    equal = replace(same, characters=same.errors)
    assert best_weights(equal, True, 300, 0, Weights()) == [Weights()]


def test_characters_can_be_counted_first():
    pool = random_pool()
    swapped = replace(pool, errors=pool.characters, characters=pool.errors)
    for count in (1, 4):
        by_characters = best_weights(pool, True, 300, 0, Weights(), count, metric="cer")
        assert by_characters == best_weights(swapped, True, 300, 0, Weights(), count)


def test_halves_are_tuned_without_what_they_are_measured_on():
    pool = random_pool(utterances=41, seed=2)
    halves = weights_for_halves(pool, True, 200, 5, Weights())
    assert sorted(np.concatenate([half for half, _ in halves])) == list(range(41))
    assert {len(half) for half, _ in halves} == {20, 21}
    for half, weights in halves:
        altered = replace(pool, errors=pool.errors.copy())
        altered.errors[half] = 9 - altered.errors[half]
        again = weights_for_halves(altered, True, 200, 5, Weights())
        assert [w for rows, w in again if rows.tolist() == half.tolist()] == [weights]


def test_one_utterance_has_no_other_half():
    pool = random_pool(utterances=1)
    found = {
        tuple(half): weights for half, weights in weights_for_halves(pool, True, 20, 0, Weights())
    }
    assert found[(0,)] == Weights()
