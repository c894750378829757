"""Multi-head self-attention and the Transformer layer made of it (Vaswani et al. 2017)."""

import torch
from torch import Tensor, nn

from asr_attn.nn.dropout import Dropout
from asr_attn.nn.positions import POSITIONS, RelativePositions, rotate
from asr_attn.nn.precision import float32_on_cpu


class MultiHeadSelfAttention(nn.Module):
    """Scaled dot-product attention of a sequence to itself, by torch's fused kernel.

    Relative positions reach the kernel as its additive mask. On a CPU torch has no fused gradient
    of that mask, so training with them takes its unfused path there.

    Args:
        size: D, a multiple of ``heads``.
        heads: H.
        positions: one of ``POSITIONS``; sinusoids are added to the input outside of this module.
    """

    def __init__(self, size: int, heads: int, positions: str = "none") -> None:
        super().__init__()
        if size % heads:
            raise ValueError(f"size {size} must be a multiple of heads {heads}")
        if positions not in POSITIONS:
            raise ValueError(f"positions {positions!r} is not one of {', '.join(POSITIONS)}")
        self.heads = heads
        self.rotary = positions == "rotary"
        self.project_in = nn.Linear(size, 3 * size)
        self.project_out = nn.Linear(size, size)
        self.relative = RelativePositions(size, heads) if positions == "relative" else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attend.

        Args:
            x: (B, T, D).
            mask: from ``attention_mask``, (B, 1, T) or (B, T, T).

        Returns:
            (B, T, D).
        """
        batch, steps, size = x.shape
        qkv = self.project_in(x).view(batch, steps, 3, self.heads, size // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        if x.device.type == "cpu" and query.dtype == torch.bfloat16:
            query, key, value = query.float(), key.float(), value.float()
        with float32_on_cpu(x.device):
            context = self._attend(query, key, value, mask[:, None])
        merged: Tensor = self.project_out(context.transpose(1, 2).reshape(batch, steps, size))
        return merged

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """Context (B, H, T, D / H) of each query, under ``mask`` (B, 1, 1 or T, T)."""
        if self.rotary:
            query, key = rotate(query), rotate(key)
        if self.relative is not None:
            query, bias = self.relative(query)
            mask = bias.masked_fill(~mask, -torch.inf)
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward network, each with norm before and residual around.

    Dropout is on the two branches, not inside the attention, where it would leave torch's fused
    kernel.

    Args:
        size: D.
        heads: H.
        feedforward_size: D inside the feed-forward network.
        dropout: probability on each branch.
        positions: one of ``POSITIONS``.
    """

    def __init__(
        self,
        size: int,
        heads: int,
        feedforward_size: int,
        dropout: float,
        positions: str = "none",
    ) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(size)
        self.attention = MultiHeadSelfAttention(size, heads, positions)
        self.norm_feedforward = nn.LayerNorm(size)
        self.feedforward = nn.Sequential(
            nn.Linear(size, feedforward_size),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(feedforward_size, size),
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Transform.

        Args:
            x: (B, T, D).
            mask: from ``attention_mask``, (B, 1, T) or (B, T, T).

        Returns:
            (B, T, D).
        """
        x = x + self.dropout(self.attention(self.norm_attention(x), mask))
        x = x + self.dropout(self.feedforward(self.norm_feedforward(x)))
        return x  # noqa: RET504 - an expression of submodules would be untyped
