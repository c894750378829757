"""Draws: how often each step is drawn, and the gradients that teach them."""

import numpy as np
import pytest
import torch

from asr_attn.nn.attention import SoftAttention, SoftAttentionConfig
from asr_attn.nn.attention.sampling import DRAWS, all_steps, gumbel, score_function

WEIGHTS = [0.05, 0.3, 0.0, 0.45, 0.2]


def test_soft_attention_leaves_the_weights():
    weights = torch.rand(2, 3, 5)
    used, choice = all_steps(weights, True)
    assert used is weights
    assert choice.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("draw", [gumbel, score_function])
def test_steps_are_drawn_as_often_as_their_weights_say(draw):
    rows = 20000
    torch.manual_seed(0)
    used, _ = draw(torch.tensor(WEIGHTS).expand(rows, 2, 5).contiguous(), True)
    assert (used.amax(-1) == 1).all()
    assert (used.sum(-1) == 1).all()
    for head in range(2):
        counts = used[:, head].sum(0).numpy()
        expected = rows * np.array(WEIGHTS)
        assert counts[2] == 0
        kept = expected > 0
        chi_square = ((counts[kept] - expected[kept]) ** 2 / expected[kept]).sum()
        assert chi_square < 21.1  # passed in one of 10 000, with three degrees of freedom
    # the heads draw for themselves
    both = (used[:, 0, 3] * used[:, 1, 3]).mean().item()
    assert both == pytest.approx(0.45**2, abs=5 * np.sqrt(0.2 * 0.8 / rows))


@pytest.mark.parametrize("draw", [gumbel, score_function])
def test_the_likeliest_step_is_taken_outside_training(draw):
    weights = torch.rand(4, 2, 6).softmax(-1)
    for _ in range(2):
        used, _ = draw(weights, False)
        assert torch.equal(used.argmax(-1), weights.argmax(-1))
        assert (used.sort(-1).values == torch.tensor([0.0, 0, 0, 0, 0, 1])).all()


def test_gumbel_has_the_gradient_of_the_softmax_of_log_weights_and_noise():
    weights = torch.tensor(WEIGHTS, dtype=torch.float64).expand(3, 2, 5).clone().requires_grad_()
    torch.manual_seed(4)
    used, choice = gumbel(weights, True)
    assert not choice.any()
    torch.manual_seed(4)
    noise = -torch.empty(3, 2, 5).double().exponential_().log().numpy()
    reward = np.random.default_rng(0).standard_normal((3, 2, 5))
    (used * torch.tensor(reward)).sum().backward()
    assert weights.grad is not None
    w = np.array(WEIGHTS)
    for index in np.ndindex(3, 2):
        relaxed = w * np.exp(noise[index])
        relaxed /= relaxed.sum()
        assert used[index].argmax() == relaxed.argmax()
        inner = reward[index] - relaxed @ reward[index]
        expected = np.divide(relaxed * inner, w, out=np.zeros(5), where=w > 0)
        np.testing.assert_allclose(weights.grad[index], expected, rtol=1e-9, atol=1e-12)


def test_gumbel_values_are_whole_and_tiny_weights_keep_gradients_finite():
    torch.manual_seed(0)
    weights = torch.cat([torch.full((4000, 1, 3), 1e-38), torch.rand(4000, 1, 4)], -1)
    weights.requires_grad_()
    used, _ = gumbel(weights, True)
    assert set(used.flatten().tolist()) == {0.0, 1.0}
    (used * torch.randn(4000, 1, 7)).sum().backward()
    assert weights.grad is not None
    assert weights.grad.isfinite().all()


def test_gumbel_attention_learns_by_the_gradient_of_what_is_relaxed(example):
    """Finite differences of the relaxed weights, made of the soft ones and the same noise."""
    torch.manual_seed(0)
    hard = SoftAttention(4, 6, SoftAttentionConfig(score="dot", size=4, draw="gumbel")).double()
    soft = SoftAttention(4, 6, SoftAttentionConfig(score="dot", size=4)).double()
    soft.load_state_dict(hard.state_dict())
    keys = hard.prepare(example.memory, example.lengths)
    reward = torch.randn(3, 1, 7, dtype=torch.float64)
    torch.manual_seed(7)
    _, used, _ = hard(example.queries[0], keys, hard.initial_state(keys))
    (used * reward).sum().backward()
    torch.manual_seed(7)
    noise = -torch.empty(3, 1, 7).double().exponential_().log()

    @torch.no_grad()
    def relaxed() -> float:
        keys = soft.prepare(example.memory, example.lengths)
        _, weights, _ = soft(example.queries[0], keys, soft.initial_state(keys))
        scaled = weights * noise.exp()
        return float((scaled / scaled.sum(-1, keepdim=True) * reward).sum())

    for one, other in zip(hard.score.parameters(), soft.score.parameters(), strict=True):
        assert one.grad is not None
        flat = other.data.view(-1)
        for i in range(0, len(flat), 5):
            flat[i] += 1e-6
            above = relaxed()
            flat[i] -= 2e-6
            below = relaxed()
            flat[i] += 1e-6
            assert one.grad.view(-1)[i].item() == pytest.approx(
                (above - below) / 2e-6, rel=1e-4, abs=1e-8
            )


def test_score_function_gives_the_log_probability_of_what_was_drawn():
    torch.manual_seed(0)
    weights = torch.rand(50, 2, 5).double().softmax(-1).requires_grad_()
    for training in (True, False):
        used, choice = score_function(weights, training)
        assert not used.requires_grad
        drawn = (used * weights.detach()).sum(-1)
        torch.testing.assert_close(choice.detach(), drawn.log())
        (gradient,) = torch.autograd.grad(choice.sum(), weights)
        torch.testing.assert_close(gradient, used / weights.detach())


def test_score_function_is_an_unbiased_gradient_of_the_expected_reward():
    torch.manual_seed(0)
    rows = 40000
    energies = torch.randn(5, dtype=torch.float64)
    reward = torch.randn(5, dtype=torch.float64)
    exact = energies.clone().requires_grad_()
    (exact.softmax(-1) @ reward).backward()
    each = energies.expand(rows, 1, 5).clone().requires_grad_()
    used, choice = score_function(each.softmax(-1), True)
    (choice * (used @ reward)).sum().backward()
    assert each.grad is not None
    assert exact.grad is not None
    error = each.grad[:, 0].std(0) / rows**0.5
    assert ((each.grad[:, 0].mean(0) - exact.grad).abs() < 5 * error).all()


def test_what_was_drawn_is_what_is_read_and_remembered(example):
    for name in DRAWS:
        torch.manual_seed(0)
        module = SoftAttention(4, 6, SoftAttentionConfig(score="dot", size=4, draw=name)).double()
        keys = module.prepare(example.memory, example.lengths)
        state = module.initial_state(keys)
        for query in example.queries:
            context, weights, state = module(query, keys, state)
            torch.testing.assert_close(context, (weights[:, 0, :, None] * example.memory).sum(1))
            assert torch.equal(state.previous, weights)
            if name != "none":
                assert (weights.amax(-1) == 1).all()
        torch.testing.assert_close(state.total.sum(-1), torch.full((3, 1), 4.0).double())
