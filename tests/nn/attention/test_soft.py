"""Soft attention as a whole: against torch's own attention, its options, its settings."""

import re

import numpy as np
import pytest
import torch

from asr_attn.nn.attention import SoftAttention, SoftAttentionConfig
from asr_attn.nn.masking import padding_mask


def make(memory_size: int = 6, **settings: object) -> SoftAttention:
    torch.manual_seed(0)
    config = SoftAttentionConfig(**{"score": "dot", "size": 6, "kernel_size": 3, **settings})
    return SoftAttention(4, memory_size, config).double()


@pytest.mark.parametrize("score", ["dot", "scaled_dot"])
def test_one_head_equals_torchs_attention(score, example):
    module = make(score=score)
    keys = module.prepare(example.memory, example.lengths)
    state = module.initial_state(keys)
    mask = padding_mask(example.lengths, 7)[:, None]
    for query in example.queries:
        context, _, state = module(query, keys, state)
        expected = torch.nn.functional.scaled_dot_product_attention(
            module.score.project_query(query)[:, None],
            module.score.project_memory(example.memory),
            example.memory,
            attn_mask=mask,
            scale=1.0 if score == "dot" else None,
        )
        torch.testing.assert_close(context, expected[:, 0])


@pytest.mark.parametrize("heads", [2, 3])
def test_several_heads_equal_torchs_multihead_attention(heads, example):
    size = 6
    torch.manual_seed(0)
    config = SoftAttentionConfig(score="scaled_dot", size=size, heads=heads)
    module = SoftAttention(size, size, config).double()
    reference = torch.nn.MultiheadAttention(size, heads, batch_first=True).double()
    score = module.score
    with torch.no_grad():
        parts = (score.project_query, score.project_memory, module.values.project_in)
        reference.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        reference.in_proj_bias[: 2 * size] = 0.0
        reference.in_proj_bias[2 * size :] = module.values.project_in.bias
        reference.out_proj.load_state_dict(module.values.project_out.state_dict())
    query = torch.randn(3, size, dtype=torch.float64)
    keys = module.prepare(example.memory, example.lengths)
    context, weights, _ = module(query, keys, module.initial_state(keys))
    expected, attended = reference(
        query[:, None],
        example.memory,
        example.memory,
        key_padding_mask=~padding_mask(example.lengths, 7),
        average_attn_weights=False,
    )
    torch.testing.assert_close(context, expected[:, 0])
    torch.testing.assert_close(weights, attended[:, :, 0])


def test_normalizer_gets_the_energies_divided_by_the_temperature(example):
    module = make(normalizer="sigmoid", temperature=0.5)
    keys = module.prepare(example.memory, example.lengths)
    _, weights, _ = module(example.queries[0], keys, module.initial_state(keys))
    query = module.score.project_query(example.queries[0])
    for row, length in enumerate(example.lengths.tolist()):
        energies = module.score.project_memory(example.memory[row, :length]) @ query[row]
        expected = 1 / (1 + np.exp(-energies.detach().numpy() / 0.5))
        expected /= expected.sum()
        np.testing.assert_allclose(weights[row, 0, :length].detach(), expected, atol=1e-12)


@pytest.mark.parametrize(("back", "ahead"), [(1, 2), (0, -1), (-1, 1)])
def test_window_holds_what_is_around_the_last_position(back, ahead, example):
    module = make(window_back=back, window_ahead=ahead, heads=2)
    free = make(heads=2)
    keys = module.prepare(example.memory, example.lengths)
    state = module.initial_state(keys)
    _, weights, state = module(example.queries[0], keys, state)
    torch.testing.assert_close(weights, free(example.queries[0], keys, state)[1])
    for query in example.queries[1:]:
        medians = ((state.previous.cumsum(-1) < 0.5).sum(-1)).tolist()
        _, weights, new = module(query, keys, state)
        _, everywhere, _ = free(query, keys, state)
        for row, length in enumerate(example.lengths.tolist()):
            for head in range(2):
                first = medians[row][head] - back if back >= 0 else 0
                last = medians[row][head] + ahead if ahead >= 0 else length - 1
                inside = torch.tensor([first <= s <= last and s < length for s in range(7)])
                expected = everywhere[row, head] * inside
                torch.testing.assert_close(weights[row, head], expected / expected.sum())
        state = new


def test_a_long_memory_is_read_from_its_start():
    # a clear first word; all the rest is unlikely, but there is so much of it that it sums to more
    module = make(window_back=2, window_ahead=4)
    steps, first = 20_000, 7
    memory = torch.zeros(1, steps, 6, dtype=torch.float64)
    memory[0, first] = 1.0
    query = torch.ones(1, 4, dtype=torch.float64)
    keys = module.prepare(memory, torch.tensor([steps]))
    state = module.initial_state(keys)
    energies = module.score(query, keys, state)[0, 0].detach()
    with torch.no_grad():
        module.score.project_query.weight *= 8.0 / float(energies[first] - energies[0])
    _, weights, state = module(query, keys, state)
    assert weights[0, 0, first] > 0.8
    _, weights, _ = module(query, keys, state)
    assert weights[0, 0, first - 2 : first + 5].sum().item() == pytest.approx(1.0)


def test_dropout_is_on_what_is_read_and_not_on_what_is_remembered(example):
    module, plain = make(dropout=0.5), make()
    keys = module.prepare(example.memory, example.lengths)
    state = module.initial_state(keys)
    expected, attended, _ = plain(example.queries[0], keys, state)
    context, weights, after = module.train()(example.queries[0], keys, state)
    torch.testing.assert_close(weights, attended)
    torch.testing.assert_close(after.previous, attended)
    assert not torch.allclose(context, expected)
    context, _, _ = module.eval()(example.queries[0], keys, state)
    torch.testing.assert_close(context, expected)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"score": "dots"}, "attention.score='dots' is not one of dot, scaled_dot"),
        ({"normalizer": "max"}, "attention.normalizer='max' is not one of softmax"),
        ({"dynamics": "back"}, "attention.dynamics='back' is not one of none, forward"),
        ({"draw": "lots"}, "attention.draw='lots' is not one of none, gumbel"),
        ({"size": 0}, "kernel_size and reach must be at least 1"),
        ({"heads": 0}, "kernel_size and reach must be at least 1"),
        ({"channels": 0}, "kernel_size and reach must be at least 1"),
        ({"kernel_size": 0}, "kernel_size and reach must be at least 1"),
        ({"reach": 0}, "kernel_size and reach must be at least 1"),
        ({"size": 9, "heads": 2}, "attention.size=9 must be a multiple of attention.heads=2"),
        ({"kernel_size": 4}, "attention.kernel_size must be odd, not 4"),
        ({"temperature": 0.0}, "attention.temperature must be above 0"),
        ({"window_back": -2}, "at least 0 (or -1 for no window)"),
        ({"window_ahead": -2}, "at least 0 (or -1 for no window)"),
        ({"dropout": 1.0}, "attention.dropout must be at least 0 and below 1"),
        ({"dropout": -0.1}, "attention.dropout must be at least 0 and below 1"),
        ({"dynamics": "stepwise", "normalizer": "sigmoid"}, "attention.normalizer has no part"),
        ({"dynamics": "stepwise", "window_back": 0}, "window_ahead have no part in it"),
        ({"dynamics": "stepwise", "window_ahead": 3}, "window_ahead have no part in it"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SoftAttentionConfig(**settings)


@pytest.mark.parametrize(
    ("query_size", "memory_size", "score"), [(4, 5, "dot"), (5, 4, "general"), (4, 5, "general")]
)
def test_refuses_widths_that_cannot_be_cut_into_the_heads(query_size, memory_size, score):
    config = SoftAttentionConfig(score=score, heads=2)
    with pytest.raises(ValueError, match=r"attention\.heads=2 must divide"):
        SoftAttention(query_size, memory_size, config)
