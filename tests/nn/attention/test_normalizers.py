"""Normalisers against projections found by bisection, and windows against a count."""

import numpy as np
import pytest
import torch

from asr_attn.nn.attention.normalizers import (
    FIRST_WINDOW,
    NORMALIZERS,
    entmax15,
    sigmoid,
    softmax,
    sparsemax,
    window_around,
)


def bisected(energies: np.ndarray, alpha: float) -> np.ndarray:
    """Entmax (alpha 2 is sparsemax): ``max(0, (alpha - 1) e - tau) ** (1 / (alpha - 1))``.

    Tau is what makes them sum to one, found by halving an interval.
    """
    scaled = (alpha - 1) * energies

    def weights(tau: float) -> np.ndarray:
        return np.maximum(scaled - tau, 0.0) ** (1 / (alpha - 1))

    low, high = scaled.max() - 1.0, scaled.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if weights(middle).sum() > 1 else (low, middle)
    return weights((low + high) / 2)


def formula(name: str, energies: np.ndarray) -> np.ndarray:
    if name == "softmax":
        out = np.exp(energies - energies.max())
        return out / out.sum()
    if name == "sigmoid":
        out = 1 / (1 + np.exp(-energies))
        return out / out.sum()
    return bisected(energies, {"sparsemax": 2.0, "entmax15": 1.5}[name])


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("name", NORMALIZERS)
def test_equals_the_formula(name, scale):
    random = np.random.default_rng(0)
    for size in (1, 2, 5, 40):
        for _ in range(5):
            energies = scale * random.standard_normal(size) + random.standard_normal()
            found = NORMALIZERS[name](torch.tensor(energies))
            np.testing.assert_allclose(found, formula(name, energies), atol=1e-10)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_equal_energies_share(name):
    found = NORMALIZERS[name](torch.full((2, 6), -3.0))
    torch.testing.assert_close(found, torch.full((2, 6), 1 / 6))


def test_from_few_steps_to_all():
    energies = torch.tensor([2.0, 1.6, 0.8, -1.0, -4.0])
    counts = [int((f(energies) > 0).sum()) for f in (sparsemax, entmax15, softmax)]
    assert counts == [2, 3, 5]


@pytest.mark.parametrize("name", NORMALIZERS)
def test_blocked_steps_have_no_part(name):
    random = np.random.default_rng(1)
    energies = torch.tensor(random.standard_normal((3, 2, 6)), requires_grad=True)
    blocked = torch.zeros(3, 2, 6, dtype=torch.bool)
    blocked[0, 0, [1, 4]] = True
    blocked[1, :, 3:] = True
    blocked[2, 1, 1:] = True
    found = NORMALIZERS[name](energies.masked_fill(blocked, -torch.inf))
    assert not found[blocked].any()
    for index in np.ndindex(3, 2):
        kept = ~blocked[index]
        expected = formula(name, energies[index][kept].detach().numpy())
        np.testing.assert_allclose(found[index][kept].detach(), expected, atol=1e-10)
    (found * torch.randn(3, 2, 6).double()).sum().backward()
    assert energies.grad is not None
    assert energies.grad.isfinite().all()
    assert not energies.grad[blocked].any()


@pytest.mark.parametrize("name", NORMALIZERS)
def test_gradients_equal_finite_differences(name):
    torch.manual_seed(0)
    for scale in (0.3, 1.0, 3.0):
        energies = (scale * torch.randn(4, 7, dtype=torch.float64)).requires_grad_()
        assert torch.autograd.gradcheck(NORMALIZERS[name], (energies,))


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("offset", [-1e4, 0.0, 1e4])
def test_float32_stays_exact_for_large_energies_and_long_memories(name, offset):
    torch.manual_seed(0)
    rough = offset + torch.cat([torch.zeros(3, 1), -1.8 - 0.1 * torch.rand(3, 3000)], dim=1)
    rough[1] *= 3
    rough.requires_grad_()
    found = NORMALIZERS[name](rough)
    exact = NORMALIZERS[name](rough.detach().double())
    torch.testing.assert_close(found.double(), exact, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.sum(-1), torch.ones(3), atol=2e-6, rtol=0)
    found[:, 0].sum().backward()
    assert rough.grad is not None
    assert rough.grad.isfinite().all()


def test_sigmoids_are_shared_out_even_where_all_underflow():
    found = sigmoid(torch.tensor([-1e4, -1e4 - 1.0, -1e4 - 2.0]))
    torch.testing.assert_close(found, torch.tensor([0.0, -1.0, -2.0]).softmax(-1))


@pytest.mark.parametrize(("back", "ahead"), [(0, 0), (1, 2), (3, 0), (0, 9), (9, 9)])
def test_window_lies_around_the_median(back, ahead):
    random = np.random.default_rng(0)
    previous = random.dirichlet(np.full(7, 0.3), (20, 2))
    found = window_around(torch.tensor(previous), back, ahead)
    for index in np.ndindex(20, 2):
        weights = previous[index]
        median = next(s for s in range(7) if weights[: s + 1].sum() >= 0.5)
        expected = [median - back <= s <= median + ahead for s in range(7)]
        assert found[index].tolist() == expected


def test_between_two_medians_the_window_lies_around_the_first():
    previous = torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0])[None, None]
    assert window_around(previous, 0, 0)[0, 0].tolist() == [False, True, False, False, False]


def test_the_first_window_begins_at_the_start_and_is_bounded():
    first = window_around(torch.zeros(2, 3, FIRST_WINDOW + 50), 3, 7)
    assert first[..., : FIRST_WINDOW + 1].all()
    assert not first[..., FIRST_WINDOW + 1 :].any()
    assert window_around(torch.zeros(2, 3, 5), 0, 0).all()


def test_a_first_window_is_no_narrower_than_those_that_follow():
    steps = 3 * FIRST_WINDOW
    assert window_around(torch.zeros(1, 1, steps), 0, steps).all()
    first = window_around(torch.zeros(1, 1, steps), 0, 2 * FIRST_WINDOW)
    assert first.sum() == 2 * FIRST_WINDOW + 1
