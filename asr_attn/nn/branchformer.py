"""The E-Branchformer layer: self-attention beside a gated convolution (Kim et al. 2023)."""

import torch
from torch import Tensor, nn

from asr_attn.nn.conformer import feedforward
from asr_attn.nn.convolution import DepthwiseConv
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.multihead import MultiHeadSelfAttention


class ConvolutionalGatingMlp(nn.Module):
    """A feed-forward network half of which, convolved over time, gates the other half (cgMLP).

    The MLP of Sakuma et al. 2022, the local branch of Branchformer (Peng et al. 2022). The gates
    start at one.

    Args:
        size: D.
        inner_size: D inside, before it is halved; even.
        kernel_size: steps that a gate sees; odd.
        dropout: probability on what is gated.
        causal: let gates see no later steps.
    """

    def __init__(
        self, size: int, inner_size: int, kernel_size: int, dropout: float, causal: bool = False
    ) -> None:
        super().__init__()
        if inner_size % 2:
            raise ValueError(f"inner_size must be even, not {inner_size}")
        self.project_in = nn.Linear(size, inner_size)
        self.norm = nn.LayerNorm(inner_size // 2)
        self.depthwise = DepthwiseConv(inner_size // 2, kernel_size, causal)
        nn.init.normal_(self.depthwise.conv.weight, std=1e-6)
        nn.init.ones_(self.depthwise.conv.get_parameter("bias"))
        self.project_out = nn.Linear(inner_size // 2, size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Transform ``x`` (B, T, D) of ``lengths`` (B,); (B, T, D)."""
        value, gate = nn.functional.gelu(self.project_in(x)).chunk(2, dim=-1)
        gated = self.dropout(value * self.depthwise(self.norm(gate), lengths))
        out: Tensor = self.project_out(gated)
        return out


class Merge(nn.Module):
    """Join two branches: side by side, a depthwise convolution of both added, a linear layer.

    The enhanced merging of Kim et al. 2023.

    Args:
        size: D of each branch and of the output.
        kernel_size: steps that the convolution sees; odd.
        causal: let it see no later steps.
    """

    def __init__(self, size: int, kernel_size: int, causal: bool = False) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(2 * size, kernel_size, causal)
        self.project = nn.Linear(2 * size, size)

    def forward(self, one: Tensor, other: Tensor, lengths: Tensor) -> Tensor:
        """Join branches (B, T, D) of ``lengths`` (B,); (B, T, D)."""
        both = torch.cat([one, other], dim=-1)
        merged: Tensor = self.project(both + self.depthwise(both, lengths))
        return merged


class BranchformerLayer(nn.Module):
    """Half a feed-forward network, two branches merged, the other half, norm.

    The E-Branchformer block of Kim et al. 2023: one branch is self-attention, which sees far, the
    other a convolutional gating MLP, which sees near.

    Args:
        size: D.
        heads: H.
        feedforward_size: D inside the feed-forward networks.
        gating_size: D inside the convolutional gating MLP; even.
        kernel_size: steps that its gates see; odd.
        merge_kernel_size: steps that the merging convolution sees; odd.
        dropout: probability on each branch.
        positions: one of ``POSITIONS``.
        causal: let the convolutions see no later steps.
    """

    def __init__(
        self,
        size: int,
        heads: int,
        feedforward_size: int,
        gating_size: int,
        kernel_size: int,
        merge_kernel_size: int,
        dropout: float,
        positions: str = "relative",
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.feedforward_first = feedforward(size, feedforward_size, dropout)
        self.norm_attention = nn.LayerNorm(size)
        self.attention = MultiHeadSelfAttention(size, heads, positions)
        self.norm_gating = nn.LayerNorm(size)
        self.gating = ConvolutionalGatingMlp(size, gating_size, kernel_size, dropout, causal)
        self.merge = Merge(size, merge_kernel_size, causal)
        self.feedforward_last = feedforward(size, feedforward_size, dropout)
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """Transform.

        Args:
            x: (B, T, D).
            lengths: (B,).
            mask: from ``attention_mask``, (B, 1, T) or (B, T, T).

        Returns:
            (B, T, D).
        """
        x = x + 0.5 * self.feedforward_first(x)
        far = self.dropout(self.attention(self.norm_attention(x), mask))
        near = self.dropout(self.gating(self.norm_gating(x), lengths))
        x = x + self.dropout(self.merge(far, near, lengths))
        x = x + 0.5 * self.feedforward_last(x)
        normed: Tensor = self.norm(x)
        return normed
