"""Multi-head attention of a decoder's layers (Vaswani et al. 2017), whose keys and values are data.

What is projected once and compared with many queries goes in and comes out, so that one method
reads a whole sequence at once or one step after another.
"""

import math

import torch
from torch import Tensor, nn

from asr_attn.nn.attention.interface import at_least_float32
from asr_attn.nn.attention.scores import split_heads
from asr_attn.nn.dropout import Dropout

KeysValues = tuple[Tensor, Tensor]
"""Keys (B, H, S, D / H) and values (B, H, S, D / H) of S steps."""


class CausalSelfAttention(nn.Module):
    """Scaled dot-product attention of each step to itself and the steps before, by torch's kernel.

    Args:
        size: D, a multiple of ``heads``.
        heads: H.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        if size % heads:
            raise ValueError(f"size {size} must be a multiple of heads {heads}")
        self.heads = heads
        self.project_in = nn.Linear(size, 3 * size)
        self.project_out = nn.Linear(size, size)

    def forward(self, x: Tensor, past: KeysValues) -> tuple[Tensor, KeysValues]:
        """Attend from new steps.

        Args:
            x: (B, U, D) the new steps.
            past: of the steps before them; of no steps at the beginning.

        Returns:
            (B, U, D), and keys and values of the steps before and the new ones.
        """
        query, key, value = (split_heads(y, self.heads) for y in self.project_in(x).chunk(3, -1))
        keys = torch.cat([past[0].to(key.dtype), key], dim=2)
        values = torch.cat([past[1].to(value.dtype), value], dim=2)
        new, steps = x.size(1), keys.size(2)
        seen = None  # one new step sees all there is
        if new > 1:
            seen = torch.ones(new, steps, dtype=torch.bool, device=x.device).tril(steps - new)
        context = nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=seen)
        return self.project_out(_join_heads(context)), (keys, values)


class CrossAttention(nn.Module):
    """Scaled dot-product attention of each step to a memory, with its weights.

    Args:
        size: D of the steps and of the values, a multiple of ``heads``.
        memory_size: D of the memory.
        score_size: A, the width where queries and keys are compared, a multiple of ``heads``.
        heads: H.
        dropout: probability on the weights.
    """

    def __init__(
        self, size: int, memory_size: int, score_size: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        if size % heads or score_size % heads:
            raise ValueError(f"sizes {size} and {score_size} must be multiples of heads {heads}")
        self.heads = heads
        self.project_query = nn.Linear(size, score_size)
        # a bias of keys would add the same to all energies of a query, which softmax ignores
        self.project_keys = nn.Linear(memory_size, score_size, bias=False)
        self.project_values = nn.Linear(memory_size, size)
        self.project_out = nn.Linear(size, size)
        self.dropout = Dropout(dropout)

    def prepare(self, memory: Tensor) -> KeysValues:
        """Project the memory (B, S, D) once: keys (B, H, S, A / H), values (B, H, S, D / H)."""
        keys = split_heads(self.project_keys(memory), self.heads)
        return keys, split_heads(self.project_values(memory), self.heads)

    def forward(self, x: Tensor, memory: KeysValues, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            x: (B, U, D).
            memory: from ``prepare``.
            mask: (B, S) bool, True where a memory step is real.

        Returns:
            (B, U, D), and weights (B, H, U, S) that sum to one over the real memory steps.
        """
        keys, values = memory
        query = split_heads(self.project_query(x), self.heads) / math.sqrt(keys.size(-1))
        energies = torch.matmul(query, keys.transpose(2, 3))
        energies = energies.to(at_least_float32(energies.dtype))
        weights = energies.masked_fill(~mask[:, None, None, :], -torch.inf).softmax(dim=-1)
        context = torch.matmul(self.dropout(weights).to(values.dtype), values)
        return self.project_out(_join_heads(context)), weights


def _join_heads(x: Tensor) -> Tensor:
    """Put the heads of ``x`` (B, H, U, D / H) side by side: (B, U, D)."""
    return x.transpose(1, 2).flatten(2)
