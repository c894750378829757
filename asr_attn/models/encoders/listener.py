"""The default listener: convolution, pyramidal bidirectional LSTM layers, self-attention."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, nn

from asr_attn.models.encoders.interface import EncoderConfig, LayeredEncoder, Memory
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.masking import attention_mask, zero_padding
from asr_attn.nn.multihead import TransformerLayer
from asr_attn.nn.recurrent import BidirectionalLSTM
from asr_attn.nn.subsampling import Conv2dSubsampling, ConvSubsampling, join_pairs


@dataclass(frozen=True)
class ListenerConfig(EncoderConfig):
    """Settings of the default listener."""

    name: str = "listener"
    hidden_size: int = 192
    """Width D of every layer; a bidirectional LSTM has half of it each way."""
    channels: int = 0
    """Above 0, two convolutions of so many filters over time and frequency, which know a sound
    again that is a little higher or lower, are in place of one over time alone."""
    kernel_size: int = 5
    """Frames seen by one step of the convolution over time alone; odd."""
    stride: int = 2
    """Frames per step of the convolution."""
    recurrent_layers: int = 3
    """Bidirectional LSTM layers."""
    halvings: int = 1
    """How many of them, from the second on, first join neighbouring steps into one."""
    attention_layers: int = 2
    """Self-attention layers after the LSTM layers."""
    heads: int = 4
    """Heads of self-attention."""
    feedforward_size: int = 512
    """Inner width of the self-attention layers' feed-forward network."""
    dropout: float = 0.1
    """Probability of dropout between layers."""

    def __post_init__(self) -> None:
        if min(self.hidden_size, self.heads, self.feedforward_size, self.kernel_size) < 1:
            raise ValueError(
                "encoder.hidden_size, heads, feedforward_size and kernel_size must be at least 1"
            )
        if min(self.attention_layers, self.channels) < 0:
            raise ValueError("encoder.attention_layers and channels must not be negative")
        if self.hidden_size % 2 or self.hidden_size % self.heads:
            raise ValueError(
                f"encoder.hidden_size={self.hidden_size} must be even and a multiple of "
                f"encoder.heads={self.heads}"
            )
        if self.recurrent_layers < 1 or not 0 <= self.halvings < self.recurrent_layers:
            raise ValueError(
                "an encoder needs 0 <= halvings < recurrent_layers, not "
                f"halvings={self.halvings}, recurrent_layers={self.recurrent_layers}"
            )
        if self.kernel_size % 2 == 0 or self.stride < 1:
            raise ValueError("encoder.kernel_size must be odd and encoder.stride at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"encoder.dropout must be at least 0 and below 1, not {self.dropout}")

    @property
    def reduction(self) -> int:
        """Feature frames per memory step."""
        return int(self.stride * 2**self.halvings)


class Listener(LayeredEncoder):
    """Convolution, pyramidal bidirectional LSTM layers, self-attention.

    The listener of Listen, Attend and Spell (Chan et al. 2016) with a strided convolution below,
    which is cheaper than the lowest halvings of its pyramid, and self-attention above, which lets
    every step see the whole utterance.

    Args:
        input_size: D of the features.
        config: sizes.
    """

    def __init__(self, input_size: int, config: ListenerConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.output_size = size
        self.reduction = config.reduction
        self.depth = config.recurrent_layers + config.attention_layers
        self.halvings = config.halvings
        self.subsampling: nn.Module
        if config.channels:
            # the first alone shortens, so that both are cheap
            strides = (config.stride, 1)
            self.subsampling = Conv2dSubsampling(input_size, size, config.channels, strides)
        else:
            self.subsampling = ConvSubsampling(input_size, size, config.kernel_size, config.stride)
        self.recurrent = nn.ModuleList(
            BidirectionalLSTM(2 * size if 1 <= i <= config.halvings else size, size)
            for i in range(config.recurrent_layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(config.recurrent_layers))
        self.layers = nn.ModuleList(
            TransformerLayer(size, config.heads, config.feedforward_size, config.dropout)
            for _ in range(config.attention_layers)
        )
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(config.dropout)

    def outputs(
        self, features: Tensor, lengths: Tensor, layers: Collection[int] = ()
    ) -> list[Memory]:
        """See ``Encoder.outputs``; the LSTM layers are counted first."""
        x, lengths = self.subsampling(features, lengths)
        taken = []
        for i, (layer, norm) in enumerate(zip(self.recurrent, self.norms, strict=True)):
            if 1 <= i <= self.halvings:
                x, lengths = join_pairs(x, lengths)
            x = zero_padding(self.dropout(norm(layer(x, lengths))), lengths)
            if i + 1 in layers:
                taken.append((zero_padding(self.norm(x), lengths), lengths))
        mask = attention_mask(lengths, x.size(1))
        for number, transformer in enumerate(self.layers, start=len(self.recurrent) + 1):
            x = transformer(x, mask)
            if number in layers:
                taken.append((zero_padding(self.norm(x), lengths), lengths))
        return [*taken, (zero_padding(self.norm(x), lengths), lengths)]
