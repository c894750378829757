"""Gradients that are computed first and handed to Lightning afterwards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from asr_attn.data.batches import Batch
from asr_attn.training.skipping import Cause
from asr_attn.training.splitting import BatchSplitter, DoesNotFitError, rows_of

TOTAL = "train/loss"
"""The loss that is differentiated."""


def gradients_of(loss: Tensor, parameters: Sequence[Parameter]) -> list[Tensor | None]:
    """Gradients of a loss; None for parameters that it does not depend on.

    The parameters' own ``grad`` stays as it is, also when this runs out of memory half-way.
    """
    # the formats were chosen on the way forward; autocast must not choose again on the way back
    with torch.autocast(loss.device.type, enabled=False):
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
    # casts of the weights that belong to this pass alone
    torch.clear_autocast_cache()
    return list(found)


class GradientSum:
    """The gradients of the parts of a batch, added up."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = parameters
        self._sums: list[Tensor | None] = [None] * len(parameters)

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Add what one part gives."""
        for i, gradient in enumerate(gradients):
            if gradient is not None:
                before = self._sums[i]
                self._sums[i] = gradient if before is None else before + gradient

    def total(self) -> list[Tensor]:
        """The sums; zero for parameters that no part depends on."""
        return [
            torch.zeros_like(parameter) if found is None else found
            for parameter, found in zip(self.parameters, self._sums)
        ]


class _Deliver(torch.autograd.Function):
    """A loss whose gradients are known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor], *_: Parameter) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *scales: Tensor) -> Any:
        gradients, ctx.gradients = ctx.gradients, None
        # not in place: two parameters that are added up have one and the same gradient
        return (None, None, *(gradient * scales[0] for gradient in gradients))


def loss_with_gradients(
    value: Tensor, gradients: list[Tensor], parameters: Sequence[Parameter]
) -> Tensor:
    """A loss that hands out the given gradients when Lightning asks it for them, once.

    Args:
        value: () of the loss.
        gradients: one for each parameter.
        parameters: what the loss is to depend on.
    """
    loss = _Deliver.apply(value.detach(), gradients, *parameters)
    return cast(Tensor, loss)


@dataclass(frozen=True)
class ComputedStep:
    """What a batch gives.

    Attributes:
        losses: by name, () each; empty for an empty batch.
        gradients: one for each parameter; not finite if there is a cause.
        cause: why no step must be made of it; None if there is no reason.
    """

    losses: Mapping[str, Tensor]
    gradients: list[Tensor]
    cause: Cause | None = None


def compute_step(
    batch: Batch,
    losses_of: Callable[[Batch, range], Mapping[str, Tensor]],
    splitter: BatchSplitter,
    parameters: Sequence[Parameter],
) -> ComputedStep:
    """Losses and gradients of a batch, in parts where memory asks for it.

    Args:
        batch: of any size.
        losses_of: what some utterances and their places in the batch add to the losses of the whole
            batch; the one called ``TOTAL`` is differentiated.
        splitter: knows what fits.
        parameters: of the network.
    """

    def work(part: Batch, rows: range) -> tuple[Mapping[str, Tensor], list[Tensor | None]]:
        losses = losses_of(part, rows)
        gradients = gradients_of(losses[TOTAL], parameters)
        return {name: loss.detach() for name, loss in losses.items()}, gradients

    losses: dict[str, Tensor] = {}
    sums = GradientSum(parameters)
    try:
        for found, gradients in splitter.run(batch, work):
            losses = {name: losses[name] + found[name] if losses else found[name] for name in found}
            sums.add(gradients)
    except DoesNotFitError as error:
        return ComputedStep(losses, _nothing_finite(parameters), Cause([error.name], str(error)))
    total = sums.total()
    if not losses or _all_finite(losses[TOTAL], total):
        return ComputedStep(losses, total)
    return ComputedStep(
        losses, _nothing_finite(parameters), Cause(_blamed(batch, work) or batch.ids)
    )


def _all_finite(loss: Tensor, gradients: Sequence[Tensor]) -> bool:
    # the norm is what clipping looks at: it may be infinite where no single number is
    norm = torch.nn.utils.get_total_norm(gradients)
    return bool(loss.isfinite() & norm.isfinite())


def _nothing_finite(parameters: Sequence[Parameter]) -> list[Tensor]:
    return [torch.full_like(parameter, torch.nan) for parameter in parameters]


def _blamed(
    batch: Batch, work: Callable[[Batch, range], tuple[Mapping[str, Tensor], list[Tensor | None]]]
) -> list[str]:
    """Ids of the utterances whose loss or gradient alone is not finite either."""
    names = []
    for i, name in enumerate(batch.ids):
        rows = range(i, i + 1)
        losses, gradients = work(rows_of(batch, rows), rows)
        if not _all_finite(losses[TOTAL], [g for g in gradients if g is not None]):
            names.append(name)
    return names
