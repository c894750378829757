"""Every score by its formula in NumPy, one utterance and one head at a time."""

import numpy as np
import pytest
import torch

from asr_attn.nn.attention import SoftAttention, SoftAttentionConfig
from asr_attn.nn.attention.interface import AttentionState
from asr_attn.nn.attention.scores import SCORES, split_heads

Parameters = dict[str, np.ndarray]
TEMPERATURE = 0.7
CHANNELS, KERNEL = 2, 5


def part(x: np.ndarray, head: int, heads: int) -> np.ndarray:
    """What belongs to a head of something whose first axis is cut into heads."""
    return np.split(x, heads)[head]


def energy(
    score: str,
    p: Parameters,
    head: int,
    heads: int,
    query: np.ndarray,
    step: np.ndarray,
    s: int,
    past: np.ndarray,
) -> float:
    """Energy of one memory ``step`` (D,) at ``s``; ``past`` (2, S): last weights and their sum."""
    q = query if score == "general" else p["project_query.weight"] @ query
    k = p["project_memory.weight"] @ step + p.get("project_memory.bias", 0.0)
    q, k = part(q, head, heads), part(k, head, heads)
    if score in ("dot", "general"):
        return float(q @ k)
    if score == "scaled_dot":
        return float(q @ k) / len(q) ** 0.5
    if score == "cosine":
        cosine = q @ k / np.sqrt((q @ q) * (k @ k))
        return float(np.exp(p["log_sharpness"][head]) * cosine)
    inside = q + k
    if score == "coverage":
        inside = inside + p["project_coverage"][head, 0] * past[1, s]
    if score == "location":
        filters = part(p["filters.weight"], head, heads)
        filtered = np.zeros(CHANNELS)
        for offset in range(KERNEL):
            at = s + offset - KERNEL // 2
            if 0 <= at < past.shape[1]:
                filtered += filters[:, :, offset] @ past[:, at]
        inside = inside + filtered @ p["project_location"][head]
    return float(p["energy"][head] @ np.tanh(inside))


def make(score: str, heads: int) -> SoftAttention:
    torch.manual_seed(0)
    config = SoftAttentionConfig(
        score=score,
        size=8,
        heads=heads,
        channels=CHANNELS,
        kernel_size=KERNEL,
        temperature=TEMPERATURE,
    )
    module = SoftAttention(4, 6, config).double()
    if score == "cosine":
        torch.nn.init.normal_(module.score.log_sharpness)
    return module


def numpy_of(module: torch.nn.Module) -> Parameters:
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("score", SCORES)
def test_attention_equals_the_formula_over_several_steps_for_each_utterance_alone(
    score, heads, example
):
    module = make(score, heads)
    p, p_score = numpy_of(module), numpy_of(module.score)
    keys = module.prepare(example.memory, example.lengths)
    state = module.initial_state(keys)
    lengths = example.lengths.tolist()
    past = [np.zeros((heads, 2, length)) for length in lengths]
    for query in example.queries:
        context, weights, state = module(query, keys, state)
        for row, length in enumerate(lengths):
            q, memory = query[row].numpy(), example.memory[row, :length].numpy()
            values = memory
            if heads > 1:
                values = memory @ p["values.project_in.weight"].T + p["values.project_in.bias"]
            pieces = []
            for head in range(heads):
                energies = np.array(
                    [
                        energy(score, p_score, head, heads, q, memory[s], s, past[row][head])
                        for s in range(length)
                    ]
                )
                attended = np.exp(energies / TEMPERATURE)
                attended /= attended.sum()
                np.testing.assert_allclose(
                    weights[row, head, :length].detach(), attended, atol=1e-12
                )
                pieces.append(attended @ part(values.T, head, heads).T)
                past[row][head] = [attended, past[row][head, 1] + attended]
            expected = np.concatenate(pieces)
            if heads > 1:
                expected = p["values.project_out.weight"] @ expected + p["values.project_out.bias"]
            np.testing.assert_allclose(context[row].detach(), expected, atol=1e-12)
            assert not weights[row, :, length:].any()
            for value, channel in ((state.previous, 0), (state.total, 1)):
                np.testing.assert_allclose(
                    value[row, :, :length].detach(), past[row][:, channel], atol=1e-12
                )
                assert not value[row, :, length:].any()


@pytest.mark.parametrize("score", ["location", "coverage"])
def test_the_past_changes_the_energies(score, example):
    module = make(score, 2)
    keys = module.prepare(example.memory, example.lengths)
    state = module.initial_state(keys)
    first = module.score(example.queries[0], keys, state)
    _, _, state = module(example.queries[0], keys, state)
    later = module.score(example.queries[0], keys, state)
    assert (first - later)[:, :, 0].abs().min() > 1e-3


def test_location_sees_no_further_than_its_filters():
    module = make("location", 1)
    memory, query = torch.zeros(1, 9, 6).double(), torch.zeros(1, 4).double()
    keys = module.prepare(memory, torch.tensor([9]))
    state = module.initial_state(keys)
    spike = torch.zeros_like(state.previous)
    spike[..., 4] = 1.0
    seen = AttentionState(spike, spike, state.own, state.choice)
    change = module.score(query, keys, seen) - module.score(query, keys, state)
    assert (change[0, 0].abs() > 1e-6).tolist() == [2 <= s <= 6 for s in range(9)]


def test_heads_are_neighbouring_parts_of_the_last_axis():
    x = torch.arange(2 * 3 * 6).view(2, 3, 6)
    parts = split_heads(x, 2)
    assert torch.equal(parts[:, 0], x[..., :3])
    assert torch.equal(parts[:, 1], x[..., 3:])
