"""Mixture attention by its formula, and what it promises before anything is learnt."""

import re

import numpy as np
import pytest
import torch

from asr_attn.nn.attention import MixtureAttention, MixtureAttentionConfig
from asr_attn.nn.attention.mixture import NARROWEST, VARIANTS


def make(heads: int = 1, **settings: object) -> MixtureAttention:
    torch.manual_seed(0)
    sizes = {"components": 3, "size": 5, "step": 1.5, "width": 1.2}
    config = MixtureAttentionConfig(heads=heads, **{**sizes, **settings})
    return MixtureAttention(4, 6, config).double()


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


def mixture(
    variant: str, drawn: np.ndarray, means: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (S,) and new means (K,) of one head, from what its network says (3, K)."""
    weight, width, step = drawn
    out = np.zeros(steps)
    if variant == "exponential":  # Graves 2013, equations 48 to 51
        means = means + np.exp(step)
        for s in range(steps):
            out[s] = (np.exp(weight) * np.exp(-np.exp(width) * (means - s) ** 2)).sum()
    else:  # Battenberg et al. 2020, table 1, version 2
        means = means + softplus(step)
        deviation = NARROWEST + softplus(width)
        share = np.exp(weight) / np.exp(weight).sum()
        for s in range(steps):
            density = np.exp(-((s - means) ** 2) / (2 * deviation**2))
            out[s] = (share * density / np.sqrt(2 * np.pi * deviation**2)).sum()
    return out / out.sum(), means


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_attention_equals_the_formula_over_several_steps_for_each_utterance_alone(
    variant, heads, example
):
    module = make(heads, variant=variant)
    with torch.no_grad():
        module.output.weight.normal_()
    p = {name: value.detach().numpy() for name, value in module.named_parameters()}
    keys = module.prepare(example.memory, example.lengths)
    state = module.initial_state(keys)
    lengths = example.lengths.tolist()
    means = np.zeros((3, heads, 3))
    total = [np.zeros((heads, length)) for length in lengths]
    for query in example.queries:
        context, weights, state = module(query, keys, state)
        for row, length in enumerate(lengths):
            hidden = np.tanh(p["hidden.weight"] @ query[row].numpy() + p["hidden.bias"])
            drawn = (p["output.weight"] @ hidden + p["output.bias"]).reshape(3, heads, 3)
            values = example.memory[row, :length].numpy()
            if heads > 1:
                values = values @ p["values.project_in.weight"].T + p["values.project_in.bias"]
            pieces = []
            for h in range(heads):
                attended, means[row, h] = mixture(variant, drawn[:, h], means[row, h], length)
                np.testing.assert_allclose(weights[row, h, :length].detach(), attended, atol=1e-12)
                total[row][h] += attended
                pieces.append(attended @ np.split(values, heads, axis=1)[h])
            expected = np.concatenate(pieces)
            if heads > 1:
                expected = p["values.project_out.weight"] @ expected + p["values.project_out.bias"]
            np.testing.assert_allclose(context[row].detach(), expected, atol=1e-12)
            np.testing.assert_allclose(state.own[row].detach(), means[row], atol=1e-12)
            np.testing.assert_allclose(state.total[row, :, :length].detach(), total[row])
            assert not weights[row, :, length:].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_untrained_means_step_and_spread_as_the_settings_say(variant):
    module = make(variant=variant, step=2.0, width=1.7)
    with torch.no_grad():
        module.output.weight.zero_()
    keys = module.prepare(torch.zeros(1, 12, 6).double(), torch.tensor([12]))
    state = module.initial_state(keys)
    for u in range(1, 4):
        _, weights, state = module(torch.randn(1, 4).double(), keys, state)
        bell = np.exp(-((np.arange(12) - 2.0 * u) ** 2) / (2 * 1.7**2))
        np.testing.assert_allclose(weights[0, 0].detach(), bell / bell.sum(), rtol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_starts_near_the_settings_whatever_the_query(variant):
    torch.manual_seed(0)
    module = MixtureAttention(4, 6, MixtureAttentionConfig(variant=variant))
    keys = module.prepare(torch.zeros(50, 9, 6), torch.full((50,), 9))
    _, _, state = module(torch.randn(50, 4), keys, module.initial_state(keys))
    assert (state.own - 3.0).abs().max() < 0.6
    assert state.own.std() > 0.001


def test_untrained_step_may_be_great():
    module = make(variant="softplus", step=5000.0, width=2000.0)
    keys = module.prepare(torch.zeros(1, 3, 6).double(), torch.tensor([3]))
    _, _, state = module(torch.zeros(1, 4).double(), keys, module.initial_state(keys))
    assert state.own[0, 0, 0].item() == pytest.approx(5000.0, rel=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_past_the_end_of_the_memory_the_last_step_is_attended_to(variant, example):
    module = make(variant=variant, step=50.0)
    keys = module.prepare(example.memory, example.lengths)
    _, weights, _ = module(example.queries[0], keys, module.initial_state(keys))
    assert (weights.argmax(-1)[:, 0] == example.lengths - 1).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 1).double())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"variant": "relu"}, "attention.variant='relu' is not one of exponential, softplus"),
        ({"components": 0}, "components, size and heads must be at least 1"),
        ({"size": 0}, "components, size and heads must be at least 1"),
        ({"heads": 0}, "components, size and heads must be at least 1"),
        ({"step": 0.0}, "attention.step must be above 0"),
        ({"width": NARROWEST}, f"attention.width above {NARROWEST}"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        MixtureAttentionConfig(**settings)


def test_refuses_a_memory_that_cannot_be_cut_into_the_heads():
    with pytest.raises(ValueError, match=r"attention\.heads=2 must divide the memory's width 5"):
        MixtureAttention(4, 5, MixtureAttentionConfig(heads=2))
