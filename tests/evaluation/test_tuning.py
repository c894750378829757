import itertools
from dataclasses import replace

import numpy as np
import pytest

from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.tuning import Pool, Weights, best_weights, collect, halves, pool_settings
from asr_attn.recognizer import Recognizer
from tests.test_recognizer import utterances_of


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
    ends = (random.random(size) < 0.9).astype(float)
    ends[:, 0] = 1.0
    return Pool(attention, ctc, lm, tokens, ends, errors, random.integers(3, 6, utterances))


def chosen_slowly(pool: Pool, w: Weights) -> list[int]:
    found = []
    for i in range(len(pool.words)):
        keys = []
        for j in range(pool.errors.shape[1]):
            if pool.attention[i, j] == -np.inf:
                continue
            total = (1 - w.ctc_weight) * pool.attention[i, j] + w.ctc_weight * pool.ctc[i, j]
            total += w.lm_weight * pool.lm[i, j] + w.length_bonus * pool.tokens[i, j]
            rank = total / (pool.tokens[i, j] + pool.ends[i, j]) ** w.length_exponent
            keys.append((pool.ends[i, j], rank, -j, int(pool.errors[i, j])))
        found.append(max(keys)[3])
    return found


def test_a_pool_is_ranked_as_a_search_ranks():
    pool = random_pool()
    random = np.random.default_rng(1)
    for _ in range(20):
        weights = Weights(*random.random(3), 0.0 if random.random() < 0.5 else random.random())
        assert pool.chosen(weights).tolist() == chosen_slowly(pool, weights)


def test_the_search_for_weights_comes_near_a_fine_grid():
    pool = random_pool()
    grid = min(
        int(pool.chosen(Weights(c, lm, 0.0, x)).sum())
        for c, lm, x in itertools.product(
            np.linspace(0, 0.9, 13), np.linspace(0, 1.5, 13), (0.0, 0.5, 1.0)
        )
    )
    start = Weights()
    best = best_weights(pool, True, 1500, 0, start, count=3)
    errors = [int(pool.chosen(w).sum()) for w in best]
    assert errors == sorted(errors)
    assert errors[0] <= grid + 1
    assert errors[0] < int(pool.chosen(start).sum())
    assert best == best_weights(pool, True, 1500, 0, start, count=3)
    assert all(w.lm_weight == 0 for w in best_weights(pool, False, 50, 0, start, count=5))
    assert best_weights(pool, True, 1, 0, start) == [start]
    for weights in best:  # weights that the search takes
        weights.applied(SearchConfig(beam=10))


def test_halves_are_measured_by_weights_of_the_other_half():
    pool = random_pool(seed=2)
    found = halves(pool, True, 200, 5, Weights())
    order = np.random.default_rng(5).permutation(len(pool.words))
    parts = np.array_split(order, 2)
    for own, other in (parts, parts[::-1]):
        weights = best_weights(pool.select(other), True, 200, 5, Weights())[0]
        assert found[own].tolist() == pool.chosen(weights)[own].tolist()


def test_pools_hold_what_searches_find(tiny_model, recordings):
    recognizer = Recognizer(tiny_model, SearchConfig(beam=3))
    utterances = utterances_of(recordings)
    references = [u.text for u in utterances]
    pool = collect(recognizer, utterances, references, None)
    assert pool.words.tolist() == [2] * 5
    for config in pool_settings(recognizer.search, with_lm=False):
        weights = Weights(config.ctc_weight, 0.0, 0.0, config.length_exponent)
        plain = Recognizer(tiny_model, replace(config, doubt_penalty=0.0))
        texts = [plain.transcribe(u.audio).text for u in utterances]
        errors = [count_errors([r], [t]).errors for r, t in zip(references, texts)]
        ours = pool.chosen(weights)
        # the pool has more hypotheses than one search: it may find better ones
        for i, utterance in enumerate(utterances):
            best = plain.transcribe(utterance.audio)
            total = (1 - config.ctc_weight) * pool.attention[i] + config.ctc_weight * pool.ctc[i]
            ranks = total / (pool.tokens[i] + pool.ends[i]) ** config.length_exponent
            if not best.truncated:
                assert ranks[pool.ends[i] > 0].max() >= best.score - 1e-3
                if ranks[pool.ends[i] > 0].max() == pytest.approx(best.score, abs=1e-3):
                    assert ours[i] == errors[i]
