"""Additive energies on a CPU against the formula on whole tensors, whose gradients torch knows."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from asr_attn.nn.attention import SoftAttention, SoftAttentionConfig
from asr_attn.nn.attention.additive import EnergyLoop, additive_energies
from asr_attn.nn.attention.filters import filtered
from asr_attn.nn.attention.scores import spans_of

FLOAT64 = {"dtype": torch.float64, "requires_grad": True}
SPANS = [(1, 4), (0, 5)]


def inside(features, weights):
    return weights if features.size(-1) == 1 else features @ weights


def masked(spans, steps):
    allowed = torch.zeros(len(spans), 1, steps, dtype=torch.bool)
    for row, (first, end) in enumerate(spans):
        allowed[row, :, first:end] = True
    return allowed


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pass_has_the_values_and_gradients_of_whole_tensors(channels):
    torch.manual_seed(0)
    keys, energy = torch.randn(2, 3, 5, 4, **FLOAT64), torch.randn(3, 4, **FLOAT64)
    first = (
        torch.randn(2, 3, 5, channels, **FLOAT64)
        if channels > 1
        else torch.ones(2, 3, 5, 1).double()
    )
    weights = torch.randn(2, 3, channels, 4, **FLOAT64)
    inputs = [keys, energy, weights] + [first] * (channels > 1)

    def run(step):
        total, features = keys.square().sum(), first  # keys are used elsewhere, too
        for number in range(4):  # each step reads what the one before has found
            found = step(features, (number + 1) * weights)
            total = total + (found * torch.arange(5)).sum()
            features = torch.cat([found[..., None].sin(), first[..., 1:]], dim=-1)
            if channels == 1:
                features = torch.ones_like(features)
        return total

    def whole(features, own):
        hidden = (keys + inside(features, own)).sigmoid()
        return (hidden @ energy[:, :, None]).squeeze(-1) * masked(SPANS, 5)

    loop = EnergyLoop(keys, energy)
    found, expected = run(lambda f, w: loop(f, w, SPANS)), run(whole)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_hypotheses_share_the_keys_of_their_utterance():
    torch.manual_seed(1)
    keys, energy = torch.randn(2, 1, 5, 4), torch.randn(1, 4)
    features, weights = torch.randn(6, 1, 5, 2), torch.randn(6, 1, 2, 4)
    spans = [(0, 5)] * 6
    hidden = (keys.repeat_interleave(3, dim=0) + features @ weights).sigmoid()
    found = additive_energies(keys, 3, features, weights, energy, spans)
    torch.testing.assert_close(found, (hidden @ energy[:, :, None]).squeeze(-1))


def test_a_gradient_that_nobody_asks_for_is_not_kept():
    keys, energy = torch.randn(1, 1, 5, 4, **FLOAT64), torch.randn(1, 4, **FLOAT64)
    features, weights = torch.randn(1, 1, 5, 2, **FLOAT64), torch.randn(1, 1, 2, 4, **FLOAT64)
    loop = EnergyLoop(keys, energy)
    total = loop(features, weights, [(0, 5)]).sum()
    (alone,) = torch.autograd.grad(
        EnergyLoop(keys, energy)(features, weights, [(0, 5)]).sum(), keys
    )
    torch.autograd.grad(total, features, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(total, keys)[0], alone)


def test_a_pass_that_is_over_frees_its_memory():
    loop = EnergyLoop(torch.randn(1, 1, 5, 4, requires_grad=True), torch.randn(1, 4))
    gone = [weakref.ref(loop), *(weakref.ref(x) for x in vars(loop).values())]
    gc.disable()  # it would find cycles, but late
    try:
        loop(torch.randn(1, 1, 5, 2), torch.randn(1, 1, 2, 4), [(0, 5)]).sum().backward()
        del loop
        assert [x() for x in gone] == [None] * len(gone)
    finally:
        gc.enable()


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("width", [1, 3, 9])  # the last is wider than the memory
def test_filters_are_a_convolution(heads, width):
    torch.manual_seed(2)
    seen = torch.randn(3, 2 * heads, 6, **FLOAT64)
    weight = torch.randn(4 * heads, 2, width, **FLOAT64)
    rows = nn.functional.conv1d(seen, weight, padding=width // 2, groups=heads)
    expected = rows.view(3, heads, 4, 6).transpose(2, 3)
    found = filtered(seen, weight, heads)
    torch.testing.assert_close(found, expected)
    above = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad(found, (seen, weight), above),
        torch.autograd.grad(expected, (seen, weight), above),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        torch.testing.assert_close(filtered(seen, weight, heads), expected)


@pytest.mark.parametrize("window", [(-1, -1), (1, 1), (1, -1)])
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("score", ["additive", "location", "coverage"])
def test_attention_learns_the_same_by_either_way(score, heads, window, example):
    torch.manual_seed(3)
    config = SoftAttentionConfig(
        score=score,
        size=8,
        heads=heads,
        kernel_size=3,
        window_back=window[0],
        window_ahead=window[1],
    )
    module = SoftAttention(4, 6, config).double()
    memory = example.memory.clone().requires_grad_()

    def contexts(loop):
        keys = module.prepare(memory, example.lengths)
        assert keys.loop is not None
        keys = keys if loop else replace(keys, loop=None)
        state, found = module.initial_state(keys), []
        for query in example.queries:
            context, _, state = module(query, keys, state)
            found.append(context)
        return torch.stack(found)

    found, expected = contexts(loop=True), contexts(loop=False)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        keys = replace(module.prepare(memory, example.lengths), loop=None)
        state = module.initial_state(keys)
        for query, wanted in zip(example.queries, expected, strict=True):
            context, _, state = module(query, keys, state)
            torch.testing.assert_close(context, wanted)
    inputs = [memory, *(p for p in module.parameters())]
    above = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad(found, inputs, above), torch.autograd.grad(expected, inputs, above)
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("score", ["additive", "location"])
def test_the_way_back_may_be_within_autocast(score, example):
    example = example.to(torch.float32)
    module = SoftAttention(4, 6, SoftAttentionConfig(score=score, size=8, kernel_size=3))

    def gradients(mixed):
        keys = module.prepare(example.memory, example.lengths)
        state = module.initial_state(keys)
        _, _, state = module(example.queries[0], keys, state)
        context, _, _ = module(example.queries[1], keys, state)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            return torch.autograd.grad(context.square().sum(), list(module.score.parameters()))

    for one, other in zip(gradients(mixed=True), gradients(mixed=False), strict=True):
        # what is around it computes in bfloat16
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


def test_spans_hold_what_any_head_may_look_at():
    allowed = torch.tensor([[[0, 1, 0, 0], [0, 0, 1, 0]], [[1, 0, 0, 0], [0, 0, 0, 1]]]).bool()
    assert spans_of(allowed, 2, 4) == [(1, 3), (0, 4)]
    assert spans_of(allowed[:, :1], 2, 4) == [(1, 2), (0, 1)]
    assert spans_of(None, 3, 4) == [(0, 4)] * 3
