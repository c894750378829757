"""Linear maps of a loop whose gradients are computed once, for all steps together."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

LstmCell: TypeAlias = Callable[[Tensor, tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]
"""From input (B, I), and hidden state and cell (B, O) each, to new ones."""


def deferred_linear(weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """A linear map for one loop over time.

    Autograd adds an outer product to the gradient of the weight at every step, which moves the
    whole weight through memory each time: in a decoder that took most of the time of training. Here
    each step only notes what it multiplied, and the gradient is one product of all that.

    Args:
        weight: (O, I).
        bias: (O,).

    Returns:
        A function from (B, I) to (B, O), for any number of calls within one forward pass.
    """
    steps = _Steps()
    token = _Collect.apply(weight, bias, steps)
    weight, bias = weight.detach(), bias.detach()

    def apply(x: Tensor) -> Tensor:
        output: Tensor = _Note.apply(x, weight, bias, token, steps)
        return output

    return apply


class _Steps:
    """What the steps of a loop multiplied, noted on the way back."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.gradients: list[Tensor] = []


class _Note(torch.autograd.Function):
    """A linear map that leaves the gradients of its weights to ``_Collect``."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, token: Tensor, steps: _Steps
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.steps = steps
        return nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        ctx.steps.inputs.append(x)
        ctx.steps.gradients.append(gradients[0])
        # of the token there is nothing to say: what counts is that it waits for all steps
        return gradients[0] @ weight, None, None, None, None


class _Collect(torch.autograd.Function):
    """Gives the token of a loop; on the way back it comes after all steps that were given it."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, steps: _Steps) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.steps = steps
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        steps: _Steps = ctx.steps
        if not steps.inputs:
            (weight,) = ctx.saved_tensors
            return torch.zeros_like(weight), weight.new_zeros(len(weight)), None
        inputs, found = torch.cat(steps.inputs), torch.cat(steps.gradients)
        steps.inputs.clear()
        steps.gradients.clear()
        return found.T @ inputs, found.sum(0), None


def deferred_product(values: Tensor) -> Callable[[Tensor], Tensor]:
    """Products with one batch of matrices in one loop over time, such as contexts of attention.

    Args:
        values: (..., S, D).

    Returns:
        A function from weights (..., 1, S) to (..., 1, D), for any number of calls within one
        forward pass. The gradient of the values is computed once, see ``deferred_linear``.
    """
    steps = _Steps()
    token = _CollectProducts.apply(values, steps)
    values = values.detach()

    def apply(weights: Tensor) -> Tensor:
        output: Tensor = _NoteProduct.apply(weights, values, token, steps)
        return output

    return apply


class _NoteProduct(torch.autograd.Function):
    """A product that leaves the gradient of its second factor to ``_CollectProducts``."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, token: Tensor, steps: _Steps) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.steps = steps
        return weights @ values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        weights, values = ctx.saved_tensors
        ctx.steps.inputs.append(weights)
        ctx.steps.gradients.append(gradients[0])
        return gradients[0] @ values.mT, None, None, None


class _CollectProducts(torch.autograd.Function):
    """As ``_Collect``."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, steps: _Steps) -> Tensor:
        ctx.save_for_backward(values)
        ctx.steps = steps
        return values.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        steps: _Steps = ctx.steps
        if not steps.inputs:
            return torch.zeros_like(ctx.saved_tensors[0]), None
        weights, found = torch.cat(steps.inputs, dim=-2), torch.cat(steps.gradients, dim=-2)
        steps.inputs.clear()
        steps.gradients.clear()
        return weights.mT @ found, None


def deferred_lstm_cell(cell: nn.LSTMCell) -> LstmCell:
    """An LSTM cell for one loop over time: as ``cell``, with its gradients computed at the end."""
    linear = deferred_linear(
        torch.cat([cell.weight_ih, cell.weight_hh], dim=1), cell.bias_ih + cell.bias_hh
    )

    def step(x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, memory = state
        gates = linear(torch.cat([x, hidden], dim=1))
        found: tuple[Tensor, Tensor] = _Gates.apply(gates, memory)
        return found

    return step


class _Gates(torch.autograd.Function):
    """The gates of an LSTM (Hochreiter and Schmidhuber 1997; torch.nn.LSTMCell for the order)."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        size = cell.size(1)
        both = gates[:, : 2 * size].sigmoid()
        put, keep = both.chunk(2, dim=1)
        new, show = gates[:, 2 * size : 3 * size].tanh(), gates[:, 3 * size :].sigmoid()
        memory = torch.addcmul(keep * cell, put, new)
        shown = memory.tanh()
        ctx.save_for_backward(both, new, show, cell, shown)
        return show * shown, memory

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        both, new, show, cell, shown = ctx.saved_tensors
        put, keep = both.chunk(2, dim=1)
        of_hidden, of_memory = gradients
        of_shown = of_hidden * show
        inside = torch.addcmul(of_memory, of_shown, 1 - shown * shown)
        found = torch.cat([inside * new, inside * cell, inside * put, of_hidden * shown], dim=1)
        size = cell.size(1)
        found[:, : 2 * size].mul_(both).mul_(1 - both)
        found[:, 2 * size : 3 * size].mul_(1 - new * new)
        found[:, 3 * size :].mul_(show).mul_(1 - show)
        return found, inside * keep
