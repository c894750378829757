"""Monotonic attention against every walk there is, and by the formulas of its papers."""

import itertools
import math
import re

import numpy as np
import pytest
import torch

from asr_attn.nn.attention import MonotonicAttention, MonotonicAttentionConfig
from asr_attn.nn.attention.monotonic import expected_stops, first_stops, spread_over_chunks


def make(heads: int = 1, **settings: object) -> MonotonicAttention:
    torch.manual_seed(0)
    config = MonotonicAttentionConfig(**{"size": 4, "heads": heads, "noise": 0.0, **settings})
    module = MonotonicAttention(4, 6, config).double()
    torch.nn.init.normal_(module.stop.offset)
    torch.nn.init.normal_(module.stop.length, std=3.0)
    return module


def probability(stop: np.ndarray, start: int, end: int | None) -> float:
    """That a walk from ``start`` stops at ``end``, or walks past the end of the memory."""
    if end is None:
        return float(np.prod(1 - stop[start:]))
    return float(np.prod(1 - stop[start:end]) * stop[end]) if end >= start else 0.0


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("sure", [False, True])
def test_expectation_equals_the_sum_over_all_hard_alignments(steps, sure):
    random = np.random.default_rng(steps)
    tokens = 3
    stop = random.random((tokens, steps))
    if sure:
        stop[random.random(stop.shape) < 0.5] = 0.0
        stop[random.random(stop.shape) < 0.3] = 1.0
    expected = np.zeros((tokens, steps))
    everything = 0.0
    for walk in itertools.product([*range(steps), None], repeat=tokens):
        total, at = 1.0, 0
        for u, end in enumerate(walk):
            if at is None:
                total *= end is None  # what has walked past the end stays there
            else:
                total *= probability(stop[u], at, end)
            at = end
        everything += total
        for u, end in enumerate(walk):
            if end is not None:
                expected[u, end] += total
    assert everything == pytest.approx(1.0)
    found = torch.zeros(1, 1, steps, dtype=torch.float64)
    found[..., 0] = 1.0
    for u in range(tokens):
        found = expected_stops(torch.tensor(stop[u])[None, None], found)
        np.testing.assert_allclose(found[0, 0], expected[u], atol=1e-12)


def test_expectation_equals_the_recurrence_on_a_long_memory():
    random = np.random.default_rng(0)
    stop, before = random.random((2, 3, 300)) ** 3, random.dirichlet(np.ones(300), (2, 3))
    expected, looked = np.zeros((2, 3, 300)), np.zeros((2, 3))
    for s in range(300):
        looked = (1 - stop[..., s - 1]) * looked + before[..., s] if s else before[..., 0]
        expected[..., s] = stop[..., s] * looked
    found = expected_stops(torch.tensor(stop), torch.tensor(before))
    np.testing.assert_allclose(found, expected, atol=1e-14)
    rough = expected_stops(torch.tensor(stop).float(), torch.tensor(before).float())
    np.testing.assert_allclose(rough, expected, atol=1e-7)


def test_gradients_of_the_expectation_equal_finite_differences():
    torch.manual_seed(0)
    stop, before = torch.rand(2, 2, 6).double(), torch.rand(2, 2, 6).double()
    assert torch.autograd.gradcheck(
        expected_stops, (stop.requires_grad_(), before.requires_grad_())
    )


def walk(stop: np.ndarray, at: int | None) -> int | None:
    """Algorithm 1 of Raffel et al. 2017, with the likelier decision."""
    if at is not None:
        for s in range(at, len(stop)):
            if stop[s] >= 0.5:
                return s
    return None


def one_hot(at: int | None, steps: int) -> np.ndarray:
    return np.zeros(steps) if at is None else np.eye(steps)[at]


def test_hard_walk_equals_the_algorithm():
    random = np.random.default_rng(0)
    ends = set()
    for _ in range(50):
        at: int | None = 0
        state = torch.tensor(one_hot(0, 5))[None, None]
        for _ in range(5):
            stop = random.random(5) * 0.7
            at = walk(stop, at)
            ends.add(at)
            state = first_stops(torch.tensor(stop)[None, None], state)
            assert state[0, 0].tolist() == one_hot(at, 5).tolist()
    assert ends == {0, 1, 2, 3, 4, None}


def test_expectation_of_sure_decisions_is_the_hard_walk():
    random = np.random.default_rng(0)
    for _ in range(50):
        soft = hard = torch.tensor(one_hot(0, 6))[None, None]
        for _ in range(4):
            stop = torch.tensor(random.random(6) < 0.4).double()[None, None]
            soft, hard = expected_stops(stop, soft), first_stops(stop, hard)
            assert torch.equal(soft, hard)


def chunks(alpha: np.ndarray, u: np.ndarray, width: int) -> np.ndarray:
    """Equation 20 of Chiu and Raffel 2018, term by term."""
    steps = len(alpha)
    out = np.zeros(steps)
    for j in range(steps):
        for k in range(j, min(j + width, steps)):
            below = sum(math.exp(u[i]) for i in range(max(0, k - width + 1), k + 1))
            out[j] += alpha[k] * math.exp(u[j]) / below
    return out


@pytest.mark.parametrize("width", [1, 2, 3, 9])
def test_chunks_equal_the_formula(width):
    random = np.random.default_rng(width)
    alpha, u = 0.9 * random.dirichlet(np.ones(6), (2, 2)), random.standard_normal((2, 2, 6))
    found = spread_over_chunks(torch.tensor(alpha), torch.tensor(u), width)
    for index in np.ndindex(2, 2):
        np.testing.assert_allclose(found[index], chunks(alpha[index], u[index], width))
    np.testing.assert_allclose(found.sum(-1), 0.9)


def additive(p: dict[str, np.ndarray], query: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Hidden layers (S, A) of an additive score."""
    keys = memory @ p["project_memory.weight"].T + p["project_memory.bias"]
    return np.tanh(keys + p["project_query.weight"] @ query)


def numpy_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("chunk", [1, 3])
def test_attention_equals_the_formula_over_several_steps_for_each_utterance_alone(
    chunk, heads, training, example
):
    module = make(heads, chunk=chunk).train(training)
    p, p_stop = numpy_of(module), numpy_of(module.stop)
    keys = module.prepare(example.memory, example.lengths)
    state = module.initial_state(keys)
    lengths = example.lengths.tolist()
    before = [np.eye(1, length).repeat(heads, axis=0) for length in lengths]
    total = [np.zeros((heads, length)) for length in lengths]
    walked = 0
    for query in example.queries:
        context, weights, state = module(query, keys, state)
        for row, length in enumerate(lengths):
            q, memory = query[row].numpy(), example.memory[row, :length].numpy()
            values = memory
            if heads > 1:
                values = memory @ p["values.project_in.weight"].T + p["values.project_in.bias"]
            pieces = []
            for h in range(heads):
                # Raffel et al. 2017, equation 16
                direction = p_stop["energy"][h] / np.sqrt((p_stop["energy"][h] ** 2).sum())
                hidden = np.split(additive(p_stop, q, memory), heads, axis=1)[h]
                energies = p_stop["length"][h] * (hidden @ direction) + p_stop["offset"][h]
                stop = 1 / (1 + np.exp(-energies))
                if training:
                    spots = [
                        sum(before[row][h][k] * probability(stop, k, s) for k in range(s + 1))
                        for s in range(length)
                    ]
                    before[row][h] = spots
                else:
                    at = int(before[row][h].argmax()) if before[row][h].any() else None
                    before[row][h] = one_hot(walk(stop, at), length)
                    walked += before[row][h].any()
                attended = before[row][h]
                if module.chunk_score is not None:
                    p_chunk = numpy_of(module.chunk_score)
                    hidden = np.split(additive(p_chunk, q, memory), heads, axis=1)[h]
                    attended = chunks(attended, hidden @ p_chunk["energy"][h], chunk)
                np.testing.assert_allclose(weights[row, h, :length].detach(), attended, atol=1e-12)
                total[row][h] += attended
                pieces.append(attended @ np.split(values, heads, axis=1)[h])
            expected = np.concatenate(pieces)
            if heads > 1:
                expected = p["values.project_out.weight"] @ expected + p["values.project_out.bias"]
            np.testing.assert_allclose(context[row].detach(), expected, atol=1e-12)
            np.testing.assert_allclose(state.own[row, :, :length].detach(), before[row])
            np.testing.assert_allclose(state.total[row, :, :length].detach(), total[row])
            for value in (weights, state.own, state.total):
                assert not value[row, :, length:].any()
    assert training or 0 < walked < 12 * heads


@pytest.mark.parametrize("chunk", [1, 3])
def test_training_with_sure_energies_is_decoding(chunk, example):
    module = make(2, chunk=chunk)
    with torch.no_grad():
        module.stop.length.mul_(1e6)
    keys = module.prepare(example.memory, example.lengths)
    soft = hard = module.initial_state(keys)
    for query in example.queries:
        _, expected, hard = module.eval()(query, keys, hard)
        _, weights, soft = module.train()(query, keys, soft)
        torch.testing.assert_close(weights, expected)


def test_noise_is_normal_and_only_in_training():
    torch.manual_seed(0)
    rows, deviation, bias = 20000, 1.5, -0.5
    config = MonotonicAttentionConfig(size=4, noise=deviation, bias=bias)
    module = MonotonicAttention(4, 6, config).double()
    with torch.no_grad():
        module.stop.length.zero_()  # every energy is the bias
    keys = module.prepare(torch.zeros(rows, 2, 6).double(), torch.full((rows,), 2))
    query = torch.zeros(rows, 4).double()
    _, weights, _ = module(query, keys, module.initial_state(keys))
    noise = torch.logit(weights[:, 0, 0].detach()) - bias
    for power, moment in ((1, 0.0), (2, deviation**2), (3, 0.0), (4, 3 * deviation**4)):
        values = noise**power
        error = float(values.std()) / math.sqrt(rows)
        assert abs(float(values.mean()) - moment) < 5 * error
    _, weights, _ = module.eval()(query, keys, module.initial_state(keys))
    assert not weights.any()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": 0}, "attention.size, heads and chunk must be at least 1"),
        ({"heads": 0}, "attention.size, heads and chunk must be at least 1"),
        ({"chunk": 0}, "attention.size, heads and chunk must be at least 1"),
        ({"noise": -0.1}, "attention.noise at least 0"),
        ({"size": 5, "heads": 2}, "attention.size=5 must be a multiple of attention.heads=2"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        MonotonicAttentionConfig(**settings)


def test_refuses_a_memory_that_cannot_be_cut_into_the_heads():
    with pytest.raises(ValueError, match=r"attention\.heads=2 must divide the memory's width 5"):
        MonotonicAttention(4, 5, MonotonicAttentionConfig(heads=2))
