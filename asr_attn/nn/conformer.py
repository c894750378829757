"""The Conformer layer: self-attention and convolution between two half feed-forward networks."""

from torch import Tensor, nn

from asr_attn.nn.convolution import DepthwiseConv
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.multihead import MultiHeadSelfAttention


def feedforward(size: int, inner_size: int, dropout: float) -> nn.Sequential:
    """A feed-forward network with its norm before and dropout after; (..., size) to the same."""
    return nn.Sequential(
        nn.LayerNorm(size),
        nn.Linear(size, inner_size),
        nn.SiLU(),
        Dropout(dropout),
        nn.Linear(inner_size, size),
        Dropout(dropout),
    )


class ConvolutionModule(nn.Module):
    """The Conformer's convolution module (Gulati et al. 2020, section 2.2).

    Padded steps are zeroed before the depthwise convolution, and a layer norm follows it in place
    of the paper's batch norm, so that neither the padding nor the rest of a batch changes what is
    computed for an utterance.

    Args:
        size: D.
        kernel_size: steps that the depthwise convolution sees; odd.
        dropout: probability after the module.
        causal: let the convolution see no later steps.
    """

    def __init__(self, size: int, kernel_size: int, dropout: float, causal: bool = False) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(size)
        self.project_in = nn.Linear(size, 2 * size)
        self.depthwise = DepthwiseConv(size, kernel_size, causal)
        self.norm_depthwise = nn.LayerNorm(size)
        self.project_out = nn.Linear(size, size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Convolve ``x`` (B, T, D) of ``lengths`` (B,); (B, T, D)."""
        x = nn.functional.glu(self.project_in(self.norm_in(x)), dim=-1)
        x = self.norm_depthwise(self.depthwise(x, lengths))
        convolved: Tensor = self.dropout(self.project_out(nn.functional.silu(x)))
        return convolved


class ConformerLayer(nn.Module):
    """Half a feed-forward network, self-attention, convolution, the other half, norm.

    The Conformer block of Gulati et al. 2020, section 2.4.

    Args:
        size: D.
        heads: H.
        feedforward_size: D inside the feed-forward networks.
        kernel_size: steps that the convolution sees; odd.
        dropout: probability on each branch.
        positions: one of ``POSITIONS``.
        causal: let the convolution see no later steps.
    """

    def __init__(
        self,
        size: int,
        heads: int,
        feedforward_size: int,
        kernel_size: int,
        dropout: float,
        positions: str = "relative",
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.feedforward_first = feedforward(size, feedforward_size, dropout)
        self.norm_attention = nn.LayerNorm(size)
        self.attention = MultiHeadSelfAttention(size, heads, positions)
        self.convolution = ConvolutionModule(size, kernel_size, dropout, causal)
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
        x = x + self.dropout(self.attention(self.norm_attention(x), mask))
        x = x + self.convolution(x, lengths)
        x = x + 0.5 * self.feedforward_last(x)
        normed: Tensor = self.norm(x)
        return normed
