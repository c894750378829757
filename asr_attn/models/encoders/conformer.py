"""The Conformer encoder."""

from dataclasses import dataclass

from asr_attn.models.encoders.self_attentive import (
    ConvolvingEncoder,
    SelfAttentiveConfig,
    check_kernel,
)
from asr_attn.nn.conformer import ConformerLayer


@dataclass(frozen=True)
class ConformerConfig(SelfAttentiveConfig):
    """Settings of the Conformer encoder."""

    name: str = "conformer"
    kernel_size: int = 15
    """Memory steps that the convolution of a layer sees; odd."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kernel("kernel_size", self.kernel_size)


class Conformer(ConvolvingEncoder):
    """Two strided convolutions and Conformer layers (Gulati et al. 2020).

    Args:
        input_size: D of the features.
        config: settings.
    """

    def __init__(self, input_size: int, config: ConformerConfig) -> None:
        layers = (
            ConformerLayer(
                config.hidden_size,
                config.heads,
                config.feedforward_size,
                config.kernel_size,
                config.dropout,
                config.positions,
                config.causal_convolution,
            )
            for _ in range(config.layers)
        )
        super().__init__(input_size, config, layers)
