"""Values of the memory, cut into heads, and the contexts made of them."""

import torch
from torch import Tensor, nn

from asr_attn.nn.attention.interface import AttentionKeys
from asr_attn.nn.attention.scores import grouped, split_heads


class Values(nn.Module):
    """What every mechanism has in common: one head reads the memory as it is, several read parts.

    Several heads each have a projection of the memory, D / H wide, and their contexts side by side
    are projected once more (Vaswani et al. 2017, section 3.2.2).

    Args:
        memory_size: D, a multiple of the heads.
        heads: H.

    Raises:
        ValueError: the memory's width cannot be cut into the heads.
    """

    def __init__(self, memory_size: int, heads: int) -> None:
        super().__init__()
        if memory_size % heads:
            raise ValueError(
                f"attention.heads={heads} must divide the memory's width {memory_size}"
            )
        self.heads = heads
        self.project_in = nn.Linear(memory_size, memory_size) if heads > 1 else nn.Identity()
        self.project_out = nn.Linear(memory_size, memory_size) if heads > 1 else nn.Identity()

    def forward(self, memory: Tensor) -> Tensor:
        """Values (B, H, S, D / H) of the memory (B, S, D)."""
        return split_heads(self.project_in(memory), self.heads)

    def context(self, weights: Tensor, keys: AttentionKeys) -> Tensor:
        """Contexts (N, D) of weights (N, H, S)."""
        together = grouped(weights.to(keys.values.dtype), len(keys.values))
        together = together.transpose(1, 2)
        if keys.read is not None:
            summed = keys.read(together)
        else:
            summed = torch.matmul(together, keys.values)  # (B, H, N / B, D / H)
        context: Tensor = self.project_out(summed.transpose(1, 2).flatten(2).flatten(0, 1))
        return context
