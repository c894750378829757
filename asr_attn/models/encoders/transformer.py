"""The Transformer encoder above convolutional subsampling."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, nn

from asr_attn.models.encoders.interface import LayeredEncoder, Memory
from asr_attn.models.encoders.self_attentive import Frontend, SelfAttentiveConfig, perhaps_skip
from asr_attn.nn.masking import zero_padding
from asr_attn.nn.multihead import TransformerLayer


@dataclass(frozen=True)
class TransformerConfig(SelfAttentiveConfig):
    """Settings of the Transformer encoder."""

    name: str = "transformer"
    layers: int = 6
    """Layers above the convolutions that quarter the frames."""
    feedforward_size: int = 576
    """Inner width of the feed-forward networks."""
    positions: str = "sinusoidal"
    """What tells self-attention the order: none, sinusoidal, relative or rotary."""


class Transformer(LayeredEncoder):
    """Two strided convolutions and Transformer layers (Speech-Transformer, Dong et al. 2018).

    The layers have their norms before the branches.

    Args:
        input_size: D of the features.
        config: settings.
    """

    def __init__(self, input_size: int, config: TransformerConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.output_size = size
        self.frontend = Frontend(input_size, config)
        self.reduction = self.frontend.reduction
        self.depth = config.layers
        self.skipped = config.skipped
        self.layers = nn.ModuleList(
            TransformerLayer(
                size, config.heads, config.feedforward_size, config.dropout, config.positions
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(size)

    def outputs(
        self, features: Tensor, lengths: Tensor, layers: Collection[int] = ()
    ) -> list[Memory]:
        """See ``Encoder.outputs``."""
        x, lengths, mask = self.frontend(features, lengths)
        taken = []
        for number, (layer, share) in enumerate(zip(self.layers, self.skipped, strict=True), 1):
            x = perhaps_skip(x, layer(x, mask), share if self.training else 0.0)
            if number in layers:
                taken.append((zero_padding(self.norm(x), lengths), lengths))
        return [*taken, (zero_padding(self.norm(x), lengths), lengths)]
