"""The listener of Listen, Attend and Spell: a pyramid of bidirectional LSTM layers."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, nn

from asr_attn.models.encoders.interface import EncoderConfig, LayeredEncoder, Memory
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.masking import zero_padding
from asr_attn.nn.recurrent import BidirectionalLSTM
from asr_attn.nn.subsampling import join_pairs


@dataclass(frozen=True)
class PyramidConfig(EncoderConfig):
    """Settings of the pyramidal listener."""

    name: str = "pyramid"
    hidden_size: int = 192
    """Width D of every layer, half of it each way; even."""
    halvings: int = 3
    """Bidirectional LSTM layers above the first; each first joins neighbouring steps into one."""
    dropout: float = 0.1
    """Probability of dropout after each layer."""

    def __post_init__(self) -> None:
        if self.hidden_size < 2 or self.hidden_size % 2:
            raise ValueError(f"encoder.hidden_size must be even, not {self.hidden_size}")
        if self.halvings < 0:
            raise ValueError(f"encoder.halvings must not be negative, but is {self.halvings}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"encoder.dropout must be at least 0 and below 1, not {self.dropout}")


class Pyramid(LayeredEncoder):
    """The listener of Chan et al. 2016, section 3.1: each upper layer reads pairs of steps.

    Args:
        input_size: D of the features.
        config: sizes.
    """

    def __init__(self, input_size: int, config: PyramidConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.output_size = size
        self.reduction = 2**config.halvings
        self.depth = config.halvings + 1
        self.layers = nn.ModuleList(
            BidirectionalLSTM(input_size if i == 0 else 2 * size, size)
            for i in range(config.halvings + 1)
        )
        self.dropout = Dropout(config.dropout)

    def outputs(
        self, features: Tensor, lengths: Tensor, layers: Collection[int] = ()
    ) -> list[Memory]:
        """See ``Encoder.outputs``."""
        x = zero_padding(features, lengths)
        taken = []
        for i, layer in enumerate(self.layers):
            if i > 0:
                x, lengths = join_pairs(x, lengths)
            x = self.dropout(layer(x, lengths))
            if i + 1 in layers:
                taken.append((x, lengths))
        return [*taken, (x, lengths)]
