"""The losses of a padded batch, whatever its padding holds, against those of each utterance alone.

The padding holds zeros, large numbers, or what looks valid: a loss must follow the lengths alone.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from asr_attn.training.loss import (
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

STEPS = torch.tensor([9, 6, 4])
TOKENS = [[2, 3, 4, 2], [4, 3], [2]]
COUNTS = torch.tensor([5, 3, 2])
FILLINGS = ["zero", "huge", "valid"]


def fill(x: Tensor, lengths: Tensor, kind: str, dim: int = 1) -> Tensor:
    """A copy of ``x`` (B, ...) with other content behind the lengths, along an axis."""
    other = {"zero": 0.0 * x, "huge": 0.0 * x + 1e4, "valid": x.flip(0)}[kind]
    index = torch.arange(x.size(dim)).view(-1, *[1] * (x.dim() - dim - 1))
    real = index < lengths.view(-1, *[1] * (x.dim() - 1))
    return torch.where(real, x, other)


def log_probs_of(kind: str, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(3, 9, 5, generator=generator, dtype=torch.float64)
    return fill(logits.log_softmax(dim=-1), STEPS, kind)


def weights_of(kind: str) -> Tensor:
    """(B, U, H, S) attention weights: zero behind the memory, anything behind the text."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(3, 5, 2, 9, generator=generator, dtype=torch.float64)
    weights = fill(weights, STEPS, "zero", dim=3)
    return fill(weights / weights.sum(dim=-1, keepdim=True), COUNTS, kind)


def logits_of(kind: str) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return fill(torch.randn(3, 5, 5, generator=generator, dtype=torch.float64), COUNTS, kind)


def pooled(alone: Callable[[int], Tensor], sizes: list[int]) -> float:
    """Mean of what single utterances give, each weighted by its size."""
    total = sum(float(alone(row)) * size for row, size in enumerate(sizes))
    return total / sum(sizes)


@pytest.mark.parametrize("kind", FILLINGS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_attention_loss(kind: str, smoothing: float) -> None:
    _, targets = targets_of(TOKENS, torch.device("cpu"))
    logits = logits_of(kind)

    def alone(row: int) -> Tensor:
        _, own = targets_of([TOKENS[row]], torch.device("cpu"))
        return attention_loss(logits[row : row + 1, : COUNTS[row]], own, smoothing)

    found = float(attention_loss(logits, targets, smoothing))
    assert found == pytest.approx(pooled(alone, COUNTS.tolist()))


@pytest.mark.parametrize("kind", FILLINGS)
def test_ctc_loss(kind: str) -> None:
    log_probs = log_probs_of(kind)

    def alone(row: int) -> Tensor:
        own = log_probs[row : row + 1, : STEPS[row]]
        return ctc_loss(own, STEPS[row : row + 1], [TOKENS[row]])

    found = float(ctc_loss(log_probs, STEPS, TOKENS))
    assert found == pytest.approx(pooled(alone, [4, 2, 1]))


@pytest.mark.parametrize("kind", FILLINGS)
def test_ctc_consistency_loss(kind: str) -> None:
    one, other = log_probs_of(kind, 3), log_probs_of("valid", 4)

    def alone(row: int) -> Tensor:
        pair = torch.stack([one[row, : STEPS[row]], other[row, : STEPS[row]]])
        return ctc_consistency_loss(pair, STEPS[row].repeat(2), [TOKENS[row]] * 2)

    views = torch.cat([one, other])
    found = float(ctc_consistency_loss(views, STEPS.repeat(2), TOKENS * 2))
    assert found == pytest.approx(pooled(alone, [4, 2, 1]))


@pytest.mark.parametrize("kind", FILLINGS)
def test_guided_attention_loss(kind: str) -> None:
    weights = weights_of(kind)

    def alone(row: int) -> Tensor:
        own = weights[row : row + 1, : COUNTS[row], :, : STEPS[row]]
        return guided_attention_loss(own, COUNTS[row : row + 1], STEPS[row : row + 1])

    found = float(guided_attention_loss(weights, COUNTS, STEPS))
    assert found == pytest.approx(pooled(alone, COUNTS.tolist()))


@pytest.mark.parametrize("kind", FILLINGS)
def test_attention_elsewhere_loss(kind: str) -> None:
    weights = weights_of(kind)
    log_probs = torch.full((3, 9, 5), -9.0, dtype=torch.float64)
    log_probs[:, :, 0] = -0.01
    for row, tokens in enumerate(TOKENS):
        for place, token in enumerate(tokens):
            log_probs[row, 2 * place, 0], log_probs[row, 2 * place, token] = -9.0, -0.01
    log_probs = fill(log_probs, STEPS, kind)
    places = heard_steps(log_probs, STEPS, TOKENS)
    for row, count in enumerate(COUNTS.tolist()):
        assert places[row, count:].isnan().all()

    def alone(row: int) -> Tensor:
        heard = heard_steps(
            log_probs[row : row + 1, : STEPS[row]], STEPS[row : row + 1], [TOKENS[row]]
        )
        assert heard.isfinite().all()
        own = weights[row : row + 1, : COUNTS[row], :, : STEPS[row]]
        return attention_elsewhere_loss(own, heard, COUNTS[row : row + 1], 1.5)

    found = float(attention_elsewhere_loss(weights, places, COUNTS, 1.5))
    assert found == pytest.approx(pooled(alone, COUNTS.tolist()))


@pytest.mark.parametrize("kind", FILLINGS)
def test_monotonicity_loss(kind: str) -> None:
    weights = weights_of(kind)

    def alone(row: int) -> Tensor:
        own = weights[row : row + 1, : COUNTS[row], :, : STEPS[row]]
        return monotonicity_loss(own, COUNTS[row : row + 1], STEPS[row : row + 1])

    found = float(monotonicity_loss(weights, COUNTS, STEPS))
    assert found == pytest.approx(pooled(alone, [4, 2, 1]))


@pytest.mark.parametrize("kind", FILLINGS)
def test_score_function_loss(kind: str) -> None:
    """Its baseline is of the batch, so the reference is the batch with padding of zeros."""
    _, targets = targets_of(TOKENS, torch.device("cpu"))
    generator = torch.Generator().manual_seed(5)
    choices = -torch.rand(3, 5, 2, generator=generator, dtype=torch.float64)
    expected = score_function_loss(fill(choices, COUNTS, "zero"), logits_of("zero"), targets)
    found = score_function_loss(fill(choices, COUNTS, kind), logits_of(kind), targets)
    assert float(found) == pytest.approx(float(expected))
