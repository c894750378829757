"""The Conformer encoder."""

from dataclasses import dataclass

from torch import Tensor, nn

from asr_attn.models.encoders.self_attentive import Frontend, SelfAttentiveConfig, check_kernel
from asr_attn.nn.conformer import ConformerLayer
from asr_attn.nn.masking import zero_padding


@dataclass(frozen=True)
class ConformerConfig(SelfAttentiveConfig):
    """Settings of the Conformer encoder."""

    name: str = "conformer"
    kernel_size: int = 15
    """Memory steps that the convolution of a layer sees; odd."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kernel("kernel_size", self.kernel_size)


class Conformer(nn.Module):
    """Two strided convolutions and Conformer layers (Gulati et al. 2020).

    With ``causal`` or ``chunk`` the convolutions of the layers look back only; a window limits the
    attention alone.

    Args:
        input_size: D of the features.
        config: settings.
    """

    def __init__(self, input_size: int, config: ConformerConfig) -> None:
        super().__init__()
        self.output_size = config.hidden_size
        self.frontend = Frontend(input_size, config)
        self.reduction = self.frontend.reduction
        self.layers = nn.ModuleList(
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
