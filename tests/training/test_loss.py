import itertools
import math

import numpy as np
import pytest
import torch

from asr_attn.text.tokenizer import BLANK, EOS
from asr_attn.training.loss import (
    IGNORE,
    attention_elsewhere_loss,
    attention_loss,
    ctc_consistency_loss,
    ctc_loss,
    guided_attention_loss,
    heard_steps,
    monotonicity_loss,
    score_function_loss,
    targets_of,
)


def test_inputs_are_the_targets_shifted_by_the_start():
    inputs, targets = targets_of([[5, 6, 7], [], [8]], torch.device("cpu"))
    assert inputs.tolist() == [[EOS, 5, 6, 7], [EOS, EOS, EOS, EOS], [EOS, 8, EOS, EOS]]
    assert targets.tolist() == [
        [5, 6, 7, EOS],
        [EOS, IGNORE, IGNORE, IGNORE],
        [8, EOS, IGNORE, IGNORE],
    ]
    assert inputs.dtype == targets.dtype == torch.long


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_attention_loss_equals_the_formula(smoothing):
    torch.manual_seed(0)
    _, targets = targets_of([[3, 4, 2], [], [4]], torch.device("cpu"))
    logits = 3 * torch.randn(3, 4, 5, dtype=torch.float64)
    logits[targets == IGNORE] = 1e3 * torch.randn(5, dtype=torch.float64)
    total = count = 0
    for row, wanted in zip(logits.numpy(), targets.tolist(), strict=True):
        for value, token in zip(row, wanted, strict=True):
            if token != IGNORE:
                log_probs = value - np.log(np.exp(value).sum())
                share = np.full(5, smoothing / 5)
                share[token] += 1 - smoothing
                total -= share @ log_probs
                count += 1
    assert count == 7
    assert attention_loss(logits, targets, smoothing).item() == pytest.approx(total / count)


def test_padding_has_no_part_in_the_attention_loss():
    torch.manual_seed(0)
    _, targets = targets_of([[3, 4], [2]], torch.device("cpu"))
    logits = torch.randn(2, 3, 5, requires_grad=True)
    attention_loss(logits, targets, 0.1).backward()
    assert logits.grad is not None
    assert not logits.grad[targets == IGNORE].any()
    assert logits.grad[targets != IGNORE].any(dim=-1).all()


def enumerated(log_probs: torch.Tensor, tokens: list[int]) -> float:
    """Minus log of the summed probability of all paths that spell ``tokens``."""
    steps, vocabulary = log_probs.shape
    total = 0.0
    for path in itertools.product(range(vocabulary), repeat=steps):
        if [label for label, _ in itertools.groupby(path) if label != BLANK] == tokens:
            total += math.exp(sum(log_probs[s, v].item() for s, v in enumerate(path)))
    return -math.log(total) if total else math.inf


def test_ctc_loss_equals_the_sum_over_all_paths():
    torch.manual_seed(0)
    lengths, tokens = [5, 4, 3, 2], [[1, 2], [3, 3], [2], []]
    log_probs = torch.randn(4, 5, 4, dtype=torch.float64).log_softmax(dim=-1)
    for row, length in zip(log_probs, lengths, strict=True):
        row[length:] = 1e3  # not looked at
    rows = zip(log_probs, lengths, tokens, strict=True)
    expected = sum(enumerated(row[:length], text) for row, length, text in rows) / 5
    assert ctc_loss(log_probs, torch.tensor(lengths), tokens).item() == pytest.approx(expected)


def test_a_text_too_long_for_its_steps_adds_nothing():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    log_probs = logits.log_softmax(dim=-1)
    loss = ctc_loss(log_probs, torch.tensor([4, 2]), [[1, 2], [3, 3]])
    loss.backward()
    expected = enumerated(log_probs[0].detach(), [1, 2])
    assert math.isinf(enumerated(log_probs[1, :2].detach(), [3, 3]))
    assert loss.item() * 4 == pytest.approx(expected)
    assert logits.grad is not None
    assert logits.grad[0].any()
    assert not logits.grad[1].any()


def test_padding_has_no_part_in_the_ctc_loss():
    logits = torch.randn(2, 6, 4, requires_grad=True)
    loss = ctc_loss(logits.log_softmax(dim=-1), torch.tensor([6, 3]), [[1, 2, 3], [2]])
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[1, 3:].any()
    assert logits.grad[1, :3].any()


def test_texts_without_tokens():
    log_probs = torch.randn(1, 3, 4, dtype=torch.float64).log_softmax(dim=-1)
    loss = ctc_loss(log_probs, torch.tensor([3]), [[]])
    assert loss.item() == pytest.approx(-log_probs[0, :, BLANK].sum().item())


@pytest.mark.parametrize("heads", [1, 3])
def test_guided_attention_loss_against_loops(heads: int) -> None:
    random = np.random.default_rng(0)
    tokens, steps, width = [4, 2], [6, 3], 0.2
    weights = np.zeros((2, 4, heads, 6))
    total, count = 0.0, 0
    for b in range(2):
        for u in range(tokens[b]):
            for h in range(heads):
                row = random.random(steps[b])
                weights[b, u, h, : steps[b]] = row / row.sum()
                for s in range(steps[b]):
                    distance = (u + 0.5) / tokens[b] - (s + 0.5) / steps[b]
                    far = 1.0 - np.exp(-(distance**2) / (2 * width**2))
                    total += weights[b, u, h, s] * far
                count += 1
    weights[1, 2:] = 1.0  # steps after the end of the sentence have no part
    loss = guided_attention_loss(
        torch.tensor(weights), torch.tensor(tokens), torch.tensor(steps), width
    )
    assert float(loss) == pytest.approx(total / count)


def test_guided_attention_loss_is_least_on_the_diagonal() -> None:
    diagonal = torch.eye(8)[None, :, None]
    counts = torch.tensor([8])
    assert float(guided_attention_loss(diagonal, counts, counts)) == pytest.approx(0.0)
    assert float(guided_attention_loss(diagonal.flip(1), counts, counts)) > 0.5


def test_places_are_the_middles_of_what_ctc_hears() -> None:
    labels = [[0, 3, 3, 3, 0, 0, 4, 5, 5, 0], [0, 4, 0, 0, 4, 4, 0, 9, 9, 9]]
    probs = torch.full((2, 10, 10), 0.01)
    for i, row in enumerate(labels):
        probs[i, range(10), row] = 0.91
    found = heard_steps(probs.log(), torch.tensor([10, 7]), [[3, 4, 5], [4, 4]])
    expected = [[2.5, 6.5, 8.0, 9.5], [1.5, 5.0, 6.5, math.nan]]
    torch.testing.assert_close(found, torch.tensor(expected), equal_nan=True)


def test_there_are_no_places_where_ctc_has_learnt_nothing() -> None:
    even = torch.full((2, 10, 10), 0.1).log()
    found = heard_steps(even, torch.tensor([10, 2]), [[3, 4, 5], [4, 4, 4]])
    assert found.shape == (2, 4)
    assert found.isnan().all()


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_elsewhere_against_loops(heads: int) -> None:
    random = np.random.default_rng(0)
    tokens, steps, width = [4, 2], 6, 1.5
    places = np.array([[0.5, 1.0, np.nan, 5.5], [2.0, 2.5, np.nan, np.nan]])
    weights = random.random((2, 4, heads, steps))
    weights /= weights.sum(axis=-1, keepdims=True)
    total = 0.0
    for b, u in ((0, 0), (0, 1), (0, 3), (1, 0), (1, 1)):
        there = 0.0
        for h in range(heads):
            for s in range(steps):
                near = math.exp(-((s + 0.5 - places[b, u]) ** 2) / (2 * width**2))
                there += weights[b, u, h, s] * near / heads
        total -= math.log(there)
    loss = attention_elsewhere_loss(
        torch.tensor(weights), torch.tensor(places), torch.tensor(tokens), width
    )
    assert float(loss) == pytest.approx(total / sum(tokens), rel=1e-4)


def test_attention_that_is_far_off_is_drawn_to_its_place() -> None:
    scores = torch.zeros(1, 1, 1, 400)
    scores[..., 350:] = 20.0  # nothing is left near the place
    scores.requires_grad_()
    place, tokens = torch.tensor([[50.5]]), torch.tensor([1])
    loss = attention_elsewhere_loss(scores.softmax(-1), place, tokens, 3.0)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert gradient.isfinite().all()
    assert int(gradient.argmin()) == 50
    nowhere = torch.full((1, 1), torch.nan)
    loss = attention_elsewhere_loss(scores.softmax(-1), nowhere, tokens, 3.0)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.item() == 0.0
    assert not gradient.any()


def test_monotonicity_loss_against_loops() -> None:
    random = np.random.default_rng(1)
    tokens, steps = [4, 1], [6, 3]
    weights = random.random((2, 4, 2, 6))
    total, count = 0.0, 0
    for b in range(2):
        weights[b, :, :, steps[b] :] = 0.0
        for u in range(1, tokens[b]):
            for h in range(2):
                before, after = (weights[b, v, h] @ np.arange(6) / steps[b] for v in (u - 1, u))
                total += max(before - after, 0.0) / 2
            count += 1
    loss = monotonicity_loss(torch.tensor(weights), torch.tensor(tokens), torch.tensor(steps))
    assert float(loss) == pytest.approx(total / count)
    diagonal = torch.eye(5)[None, :, None]
    five = torch.tensor([5])
    assert float(monotonicity_loss(diagonal, five, five)) == 0.0
    assert float(monotonicity_loss(diagonal.flip(1), five, five)) == pytest.approx(1 / 5)


def test_score_function_loss_has_the_gradient_of_the_expected_log_probability() -> None:
    """Over all draws, weighted by how likely they are, of two tokens of one utterance."""
    torch.manual_seed(0)
    targets = torch.tensor([[1, 2]])
    energies = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    # what the decoder says depends on the steps drawn so far
    first, second = torch.randn(3, 4).double(), torch.randn(3, 3, 4).double()
    expected = torch.zeros((), dtype=torch.float64)
    surrogate = torch.zeros((), dtype=torch.float64)
    for i, j in itertools.product(range(3), range(3)):
        log_p = energies.log_softmax(dim=-1)
        probability = (log_p[0, i] + log_p[1, j]).exp()
        logits = torch.stack([first[i], second[i, j]])[None]
        likelihood = logits.log_softmax(-1)[0, [0, 1], targets[0]]
        expected = expected + probability * likelihood.sum()
        choices = torch.stack([log_p[0, i], log_p[1, j]])[None, :, None]
        loss = score_function_loss(choices, logits, targets, discount=1.0)
        surrogate = surrogate + probability.detach() * loss
    (exact,) = torch.autograd.grad(expected, energies, retain_graph=True)
    (estimated,) = torch.autograd.grad(surrogate, energies)
    # the loss is a mean over the two tokens, and is made smaller
    torch.testing.assert_close(-2 * estimated, exact)


def test_score_function_loss_discounts_and_subtracts_the_others_mean() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 5), torch.tensor([[1, 2, 3], [4, IGNORE, IGNORE]])
    choices = torch.zeros(2, 3, 1, requires_grad=True)
    score_function_loss(choices, logits, targets, discount=0.5).backward()
    reward = logits.log_softmax(-1)
    rewards = [float(reward[0, u, t]) for u, t in enumerate([1, 2, 3])]
    other = float(reward[1, 0, 4])
    centred = [r - other for r in rewards]
    advantages = [
        centred[0] + 0.5 * centred[1] + 0.25 * centred[2],
        centred[1] + 0.5 * centred[2],
        centred[2],
    ]
    assert choices.grad is not None
    expected = torch.tensor([advantages, [other - sum(rewards) / 3, 0.0, 0.0]])
    torch.testing.assert_close(choices.grad[..., 0], -expected / 4)


def test_consistency_of_ctc_is_the_mean_divergence_of_two_views():
    torch.manual_seed(0)
    logits = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 3, 5, 3])
    tokens = [[1, 2], [1], [1, 2], [1]]
    expected = torch.zeros((), dtype=torch.float64)
    for a, b, steps in ((0, 2, 5), (1, 3, 3)):
        for t in range(steps):
            p, q = (torch.distributions.Categorical(logits=logits[i, t]) for i in (a, b))
            expected = expected + torch.distributions.kl_divergence(p, q) / 2
            expected = expected + torch.distributions.kl_divergence(q, p) / 2
    loss = ctc_consistency_loss(logits.log_softmax(-1), lengths, tokens)
    assert loss.item() == pytest.approx(expected.item() / 3)  # tokens of one view of all


def test_consistency_of_ctc_takes_the_other_view_as_given():
    """The gradient of a divergence from fixed p is softmax minus p."""
    torch.manual_seed(1)
    logits = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    lengths, tokens = torch.tensor([3, 3]), [[1, 2], [1, 2]]
    loss = ctc_consistency_loss(logits.log_softmax(-1), lengths, tokens)
    (gradient,) = torch.autograd.grad(loss, logits)
    p = logits.detach().softmax(-1)
    expected = (p - p.flip(0)) / 4
    expected[:, 3:] = 0.0
    torch.testing.assert_close(gradient, expected)


def test_two_views_that_are_heard_alike_are_consistent():
    view = torch.randn(2, 6, 4).log_softmax(-1)
    twice = torch.cat([view, view])
    loss = ctc_consistency_loss(twice, torch.tensor([6, 4, 6, 4]), [[1], [2]] * 2)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
