import numpy as np
import pytest

from asr_attn.evaluation.attention_health import (
    COVERAGE_LEVEL,
    AttentionHealth,
    attention_health,
    pooled,
)

STEP = 0.05  # seconds


def with_end(rows: np.ndarray) -> np.ndarray:
    """Weights (U + 1, 1, S) of one head: an end of the sentence that looks at the first step."""
    end = np.zeros((1, rows.shape[1]))
    end[0, 0] = 1.0
    return np.concatenate([rows, end])[:, None, :]


def health_of(rows: np.ndarray, speech: np.ndarray | None = None) -> AttentionHealth:
    return attention_health(with_end(rows), STEP, speech)


def one_hot(steps: list[int], size: int) -> np.ndarray:
    return np.eye(size)[steps]


def test_uniform_attention():
    health = health_of(np.full((6, 40), 1 / 40))
    assert health.entropy == pytest.approx(1.0)
    assert health.diagonality == pytest.approx(0.0, abs=1e-12)
    assert health.monotonicity == 1.0
    assert health.coverage == 1.0
    assert health.longest_jump == pytest.approx(0.0, abs=1e-12)
    assert health.edges == pytest.approx(2 / 40)  # one step of 40 at either end: 3 % is 1.2
    assert not health.aligned
    # however little of the utterance is speech
    assert health_of(np.full((6, 40), 1 / 40), np.arange(40) == 7).coverage == 1.0


def test_the_diagonal():
    health = health_of(np.eye(40))
    assert health.entropy == 0.0
    assert health.diagonality == pytest.approx(1.0)
    assert health.monotonicity == 1.0
    assert health.coverage == 1.0
    assert health.jump_back == 0.0
    assert health.jump_ahead == pytest.approx(STEP)
    assert health.edges == pytest.approx(2 / 40)
    assert (health.tokens, health.unattended) == (40, 0.0)
    assert health.aligned


def test_backwards():
    health = health_of(one_hot(list(range(39, -1, -4)), 40))  # 4 steps back at a time
    assert health.diagonality == 0.0
    assert health.monotonicity == 0.0
    assert health.jump_back == pytest.approx(4 * STEP)
    assert health.jump_ahead == 0.0
    assert not health.aligned


@pytest.mark.parametrize("place", [0, 39])
def test_stuck_on_an_edge(place):
    health = health_of(one_hot([place] * 10, 40))
    assert health.edges == 1.0
    assert health.diagonality == pytest.approx(0.0, abs=1e-12)
    assert health.entropy == 0.0
    # ten tokens' weight on one step: the 5 steps (0.25 s) beside it, and itself
    assert health.coverage == pytest.approx(6 / 40)


def test_half_of_the_speech_is_left_out():
    size = 1000
    health = health_of(one_hot(list(range(500)), size))
    # the mean weight per step is 1/2; a neighbourhood of 11 steps at the boundary has enough of it
    # while at least COVERAGE_LEVEL / 2 of 11 steps, rounded up, have the weight 1
    inside = int(np.ceil(11 * COVERAGE_LEVEL / 2))
    assert health.coverage == pytest.approx((500 + 5 + 1 - inside) / size)
    speech = np.arange(size) < 500
    assert health_of(one_hot(list(range(500)), size), speech).coverage == 1.0
    assert health_of(one_hot(list(range(500)), size), ~speech).coverage < 0.01


def test_jumps_of_known_size():
    health = health_of(one_hot([0, 10, 20, 30, 12, 20, 38], 40))
    assert health.jump_back == pytest.approx(18 * STEP)
    assert health.jump_ahead == pytest.approx(18 * STEP)
    assert health.monotonicity == pytest.approx(5 / 6)
    assert health.longest_jump == pytest.approx(18 * STEP)
    # two steps back are within the tolerance, three are not
    assert health_of(one_hot([0, 10, 8, 20], 40)).monotonicity == 1.0
    assert health_of(one_hot([0, 10, 7, 20], 40)).monotonicity == pytest.approx(2 / 3)


def test_diagonality_by_its_formula():
    random = np.random.default_rng(0)
    rows = random.dirichlet(np.full(30, 0.05), size=12)
    rows = rows[np.argsort(rows @ np.arange(30))]
    x = (np.arange(12) + 0.5) / 12
    y = (rows @ (np.arange(30) + 0.5)) / 30
    # Lin's coefficient from Pearson's: r times how well location and scale agree
    r = np.corrcoef(x, y)[0, 1]
    scale, shift = x.std() / y.std(), (x.mean() - y.mean()) / np.sqrt(x.std() * y.std())
    expected = 2 * r / (scale + 1 / scale + shift**2)
    assert expected > 0.2
    assert health_of(rows).diagonality == pytest.approx(expected)


def test_entropy_by_its_formula():
    rows = np.zeros((2, 16))
    rows[0, 3:5] = 0.5  # one bit
    rows[1, 4:12] = 0.125  # three bits
    assert health_of(rows).entropy == pytest.approx((1 / 4 + 3 / 4) / 2)


def test_the_end_of_the_sentence_does_not_count():
    rows = np.concatenate([np.eye(20), np.full((1, 20), 1 / 20)])[:, None, :]
    other = rows.copy()
    other[-1] = np.eye(20)[:1]
    assert attention_health(rows, STEP) == attention_health(other, STEP)
    # unless it is all there is
    alone = attention_health(np.full((1, 1, 20), 1 / 20), STEP)
    assert alone.entropy == pytest.approx(1.0)
    assert alone.tokens == 1


def test_weights_that_sum_to_less_than_one():
    whole = health_of(np.eye(20))
    assert health_of(0.3 * np.eye(20)) == whole
    rows = np.eye(20)
    rows[15:] = 0.0  # past the end
    some = health_of(rows)
    assert some.unattended == pytest.approx(0.25)
    assert (some.entropy, some.monotonicity) == (0.0, 1.0)
    assert some.diagonality == pytest.approx(1.0)
    nothing = health_of(np.zeros((5, 20)))
    assert (nothing.entropy, nothing.diagonality, nothing.coverage) == (1.0, 0.0, 0.0)
    assert nothing.unattended == 1.0
    assert not nothing.aligned


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_memory(steps):
    health = health_of(np.full((2, steps), 1 / steps))
    figures = health.to_dict()
    figures.pop("heads")
    assert all(np.isfinite(value) for value in figures.values())


def test_heads_are_measured_alone_and_together():
    uniform = np.full((21, 20), 1 / 20)
    diagonal = np.concatenate([np.eye(20), uniform[:1]])
    both = attention_health(np.stack([diagonal, uniform], axis=1), STEP)
    assert both.heads[0] == attention_health(diagonal[:, None], STEP)
    assert both.heads[1] == attention_health(uniform[:, None], STEP)
    mean = attention_health((diagonal + uniform)[:, None] / 2, STEP)
    assert both.entropy == mean.entropy
    assert 0.3 < both.entropy < 0.9
    assert both.aligned  # one head is enough
    assert both.leading == both.heads[0]
    assert both.heads[0].leading == both.heads[0]
    assert mean.heads == ()


def test_pooling():
    sharp, spread = health_of(np.eye(30)), health_of(np.full((10, 30), 1 / 30))
    both = pooled([sharp, spread])
    assert both.entropy == pytest.approx(10 / 40)
    assert both.jump_ahead == sharp.jump_ahead
    assert both.tokens == 40
    assert pooled([sharp]) == sharp
    with pytest.raises(ValueError, match="at least one utterance"):
        pooled([])


def test_figures_survive_being_saved():
    rows = np.stack([np.eye(20), np.full((20, 20), 1 / 20)], axis=1)
    health = attention_health(rows, STEP)
    data = health.to_dict()
    assert all(isinstance(value, float | int | list) for value in data.values())
    assert AttentionHealth.from_dict(data) == health
