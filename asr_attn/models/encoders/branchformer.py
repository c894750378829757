"""The E-Branchformer encoder."""

from dataclasses import dataclass

from torch import Tensor, nn

from asr_attn.models.encoders.self_attentive import Frontend, SelfAttentiveConfig, check_kernel
from asr_attn.nn.branchformer import BranchformerLayer
from asr_attn.nn.masking import zero_padding


@dataclass(frozen=True)
class BranchformerConfig(SelfAttentiveConfig):
    """Settings of the E-Branchformer encoder."""

    name: str = "branchformer"
    gating_size: int = 432
    """Inner width of the convolutional gating MLP; even."""
    kernel_size: int = 15
    """Memory steps that its gates see; odd."""
    merge_kernel_size: int = 3
    """Memory steps that the convolution sees that merges the branches; odd."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kernel("kernel_size", self.kernel_size)
        check_kernel("merge_kernel_size", self.merge_kernel_size)
        if self.gating_size < 2 or self.gating_size % 2:
            raise ValueError(f"encoder.gating_size must be even, not {self.gating_size}")


class Branchformer(nn.Module):
    """Two strided convolutions and E-Branchformer layers (Kim et al. 2023).

    With ``causal`` or ``chunk`` the convolutions of the layers look back only; a window limits the
    attention alone.

    Args:
        input_size: D of the features.
        config: settings.
    """

    def __init__(self, input_size: int, config: BranchformerConfig) -> None:
        super().__init__()
        self.output_size = config.hidden_size
        self.frontend = Frontend(input_size, config)
        self.reduction = self.frontend.reduction
        self.layers = nn.ModuleList(
            BranchformerLayer(
                config.hidden_size,
                config.heads,
                config.feedforward_size,
                config.gating_size,
                config.kernel_size,
                config.merge_kernel_size,
                config.dropout,
                config.positions,
                config.causal_convolution,
            )
            for _ in range(config.layers)
        )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode.

        Args:
            features: (B, T, D).
            lengths: (B,) frames.

        Returns:
            memory (B, S, hidden_size), zero where padded, and lengths (B,).
        """
        x, lengths, mask = self.frontend(features, lengths)
        for layer in self.layers:
            x = layer(x, lengths, mask)
        return zero_padding(x, lengths), lengths
