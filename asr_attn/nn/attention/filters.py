"""Filters over the weights of earlier steps."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from asr_attn.nn.precision import float32_on_cpu, unmixed_on_cpu


def filtered(seen: Tensor, weight: Tensor, heads: int) -> Tensor:
    """A convolution of the same length, of each head by itself.

    In training on a CPU it is a product of matrices: so few channels take torch's convolution
    twice the time.

    Args:
        seen: (N, H I, S).
        weight: (H C, I, K), K odd.
        heads: H.

    Returns:
        (N, H, S, C).
    """
    if torch.is_grad_enabled() and unmixed_on_cpu(seen.device):
        found: Tensor = _Filtered.apply(seen.view(len(seen), heads, -1, seen.size(2)), weight)
        return found
    found = nn.functional.conv1d(seen, weight, padding=weight.size(2) // 2, groups=heads)
    return found.reshape(len(seen), heads, -1, seen.size(2)).transpose(2, 3)


class _Filtered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, seen: Tensor, weight: Tensor) -> Tensor:
        batch, heads, _, steps = seen.shape
        windows = _windows(seen.transpose(0, 1), weight.size(2))
        own = weight.view(heads, -1, windows.size(2))
        ctx.save_for_backward(seen, weight)
        return torch.bmm(windows, own.mT).view(heads, batch, steps, -1).transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        seen, weight = ctx.saved_tensors
        with float32_on_cpu(seen.device):
            # the windows again: kept, they would be most of what a step keeps
            windows = _windows(seen.transpose(0, 1), weight.size(2))
            batch, heads, channels, steps = seen.shape
            width = weight.size(2)
            given = gradients[0].transpose(0, 1)  # (H, N, S, C)
            of_weight = torch.bmm(given.reshape(heads, batch * steps, -1).mT, windows).view_as(
                weight
            )
            # what each window has of each step; a step is at another place in every window it is in
            around = nn.functional.pad(given, (0, 0, width // 2, width // 2))
            own = weight.flip(2).view(heads, -1, channels * width)
            shape = (heads, batch, steps + width - 1, channels, width)
            parts = torch.bmm(around.flatten(1, 2), own).view(shape)
            head, row, step, channel, place = parts.stride()
            aligned = parts.as_strided(
                (batch, heads, channels, steps, width), (row, head, channel, step, step + place)
            )
            return aligned.sum(dim=-1), of_weight


def _windows(seen: Tensor, width: int) -> Tensor:
    """Of ``seen`` (H, N, I, S) what a filter sees at each step: (H, N S, I K)."""
    padded = nn.functional.pad(seen, (width // 2, width // 2))
    windows = padded.unfold(3, width, 1).transpose(2, 3)  # (H, N, S, I, K)
    return windows.flatten(3).flatten(1, 2)
