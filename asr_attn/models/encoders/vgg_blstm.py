"""Convolutions in the manner of VGG below bidirectional LSTM layers."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, nn

from asr_attn.models.encoders.interface import EncoderConfig, LayeredEncoder, Memory
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.masking import zero_padding
from asr_attn.nn.recurrent import BidirectionalLSTM
from asr_attn.nn.subsampling import VggSubsampling


@dataclass(frozen=True)
class VggBlstmConfig(EncoderConfig):
    """Settings of the VGG-BLSTM encoder."""

    name: str = "vgg_blstm"
    channels: int = 32
    """Filters of the first VGG block; the second has twice as many."""
    hidden_size: int = 192
    """Width D of every bidirectional LSTM layer, half of it each way; even."""
    layers: int = 3
    """Bidirectional LSTM layers."""
    dropout: float = 0.1
    """Probability of dropout between layers."""

    def __post_init__(self) -> None:
        if min(self.channels, self.layers) < 1:
            raise ValueError("encoder.channels and layers must be at least 1")
        if self.hidden_size < 2 or self.hidden_size % 2:
            raise ValueError(f"encoder.hidden_size must be even, not {self.hidden_size}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"encoder.dropout must be at least 0 and below 1, not {self.dropout}")


class VggBlstm(LayeredEncoder):
    """Two VGG blocks, which quarter the frames, and bidirectional LSTM layers (Hori et al. 2017).

    A layer norm follows each LSTM layer.

    Args:
        input_size: D of the features.
        config: sizes.
    """

    def __init__(self, input_size: int, config: VggBlstmConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.output_size = size
        self.subsampling = VggSubsampling(input_size, config.channels)
        self.reduction = self.subsampling.reduction
        self.depth = config.layers
        self.recurrent = nn.ModuleList(
            BidirectionalLSTM(self.subsampling.output_size if i == 0 else size, size)
            for i in range(config.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(config.layers))
        self.dropout = Dropout(config.dropout)

    def outputs(
        self, features: Tensor, lengths: Tensor, layers: Collection[int] = ()
    ) -> list[Memory]:
        """See ``Encoder.outputs``."""
        x, lengths = self.subsampling(features, lengths)
        taken = []
        for number, (layer, norm) in enumerate(zip(self.recurrent, self.norms, strict=True), 1):
            x = zero_padding(self.dropout(norm(layer(x, lengths))), lengths)
            if number in layers:
                taken.append((x, lengths))
        return [*taken, (x, lengths)]
