"""The E-Branchformer encoder."""

from dataclasses import dataclass

from asr_attn.models.encoders.self_attentive import (
    ConvolvingEncoder,
    SelfAttentiveConfig,
    check_kernel,
)
from asr_attn.nn.branchformer import BranchformerLayer


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


class Branchformer(ConvolvingEncoder):
    """Two strided convolutions and E-Branchformer layers (Kim et al. 2023).

    Args:
        input_size: D of the features.
        config: settings.
    """

    def __init__(self, input_size: int, config: BranchformerConfig) -> None:
        layers = (
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
        super().__init__(input_size, config, layers)
