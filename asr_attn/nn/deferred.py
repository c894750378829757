"""Products of a loop whose gradients are computed once, for all steps together."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

LstmCell: TypeAlias = Callable[[Tensor, tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]
"""From input (B, I), and hidden state and cell (B, O) each, to new ones."""


def deferred_product(values: Tensor) -> Callable[[Tensor], Tensor]:
    """Products with the same matrices at every step of a loop: weights of a layer, or a memory.

    Autograd adds an outer product to the gradient of the matrices at every step, which moves all of
    it through memory each time. Here each step only notes what it multiplied, and the gradient is
    one product of all that.

    Args:
        values: (..., S, D).

    Returns:
        A function from (..., N, S) to (..., N, D), for any number of calls within one forward pass.
    """
    steps = _Steps()
    token = _Collect.apply(values, steps)
    values = values.detach()

    def apply(weights: Tensor) -> Tensor:
        output: Tensor = _Note.apply(weights, values, token, steps)
        return output

    return apply


def backward_pass() -> int:
    """A number of the pass that autograd is making back through a graph."""
    return int(torch._C._current_graph_task_id())


class _Steps:
    """What the steps of a loop multiplied, noted on the way back."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self._backward_pass = -1

    def note(self, inputs: Tensor, gradients: Tensor) -> None:
        """Add what a step multiplied, and the gradient of what came of it."""
        if self._backward_pass != backward_pass():
            # the last one did not ask for the gradient, so nobody has collected its notes
            self.inputs.clear()
            self.gradients.clear()
            self._backward_pass = backward_pass()
        self.inputs.append(inputs)
        self.gradients.append(gradients)


class _Note(torch.autograd.Function):
    """A product that leaves the gradient of its second factor to ``_Collect``."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, token: Tensor, steps: _Steps) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.steps = steps
        return weights @ values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        weights, values = ctx.saved_tensors
        ctx.steps.note(weights, gradients[0])
        # of the token there is nothing to say: what counts is that it waits for all steps
        return gradients[0] @ values.mT, None, None, None


class _Collect(torch.autograd.Function):
    """Gives the token of a loop; on the way back it comes after all steps that were given it."""

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
    bias = cell.bias_ih + cell.bias_hh
    product = deferred_product(torch.cat([cell.weight_ih, cell.weight_hh], dim=1).T)

    def step(x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, memory = state
        gates = product(torch.cat([x, hidden], dim=1)) + bias
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
