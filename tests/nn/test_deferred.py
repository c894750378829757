import pytest
import torch
from torch import nn

from asr_attn.nn.deferred import deferred_lstm_cell, deferred_product


def test_products_have_the_gradients_of_autograd():
    torch.manual_seed(0)
    values = torch.randn(4, 3, requires_grad=True)
    back = torch.randn(3, 4)
    x = torch.randn(5, 4, requires_grad=True)

    def loop(product):
        # what a step gives is read by the next, and the first by all
        first = y = product(x).tanh()
        for _ in range(4):
            y = product(y @ back + 0.1 * first @ back).tanh()
        return y.square().sum()

    expected = torch.autograd.grad(loop(lambda v: v @ values), (x, values))
    found = torch.autograd.grad(loop(deferred_product(values)), (x, values))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_of_finite_differences():
    torch.manual_seed(1)
    options = {"dtype": torch.float64, "requires_grad": True}
    values, weights = torch.randn(2, 4, 3, **options), torch.randn(2, 1, 4, **options)

    def product(v, w):
        apply = deferred_product(v)
        return apply(w) + apply(2 * w) * apply(w.square())

    assert torch.autograd.gradcheck(product, (values, weights))
    cell = nn.LSTMCell(2, 3).double()

    def two_steps(v, hidden, memory, *_):
        step = deferred_lstm_cell(cell)
        hidden, memory = step(v, (hidden, memory))
        return step(v.cos(), (hidden, memory))

    states = (torch.randn(2, 3, **options), torch.randn(2, 3, **options))
    assert torch.autograd.gradcheck(
        two_steps, (torch.randn(2, 2, **options), *states, *cell.parameters())
    )


@pytest.mark.parametrize("steps", [1, 7])
def test_an_lstm_cell_is_the_one_of_torch(steps):
    torch.manual_seed(steps)
    cell = nn.LSTMCell(4, 5)
    x = torch.randn(steps, 3, 4, requires_grad=True)

    def loop(step):
        state = (torch.zeros(3, 5), torch.zeros(3, 5))
        for row in x:
            state = step(row, state)
        return torch.cat(state)

    inputs = (x, *cell.parameters())
    expected, found = loop(cell), loop(deferred_lstm_cell(cell))
    torch.testing.assert_close(found, expected)
    above = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad(found, inputs, above), torch.autograd.grad(expected, inputs, above)
    ):
        torch.testing.assert_close(one, other)


def test_what_no_step_used_has_gradients_of_zero():
    values = torch.randn(4, 3, requires_grad=True)
    product, x = deferred_product(values), torch.randn(2, 4)
    product(x)  # its output leads nowhere
    (found,) = torch.autograd.grad(product(x).sum() * 0, values)
    assert not found.any()
    # a second pass over the same values starts anew
    (again,) = torch.autograd.grad(deferred_product(values)(x).sum(), values)
    torch.testing.assert_close(again, x.sum(0)[:, None].expand(4, 3))


def test_a_gradient_that_nobody_asked_for_is_not_kept():
    torch.manual_seed(2)
    values, x = torch.randn(4, 3, requires_grad=True), torch.randn(2, 4, requires_grad=True)
    total = deferred_product(values)(x).sum()
    torch.autograd.grad(total, x, retain_graph=True)
    (found,) = torch.autograd.grad(total, values)
    torch.testing.assert_close(found, x.detach().sum(0)[:, None].expand(4, 3))
