"""What encoders made of self-attention share: their settings, and what is below their layers."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr_attn.models.encoders.interface import EncoderConfig, LayeredEncoder, Memory
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.masking import Span, attention_mask, zero_padding
from asr_attn.nn.positions import POSITIONS, add_sinusoids
from asr_attn.nn.subsampling import Conv2dSubsampling


@dataclass(frozen=True)
class SelfAttentiveConfig(EncoderConfig):
    """Settings of an encoder made of self-attention."""

    hidden_size: int = 144
    """Width D of every layer; even."""
    layers: int = 4
    """Layers above the convolutions that quarter the frames."""
    heads: int = 4
    """Heads of self-attention."""
    feedforward_size: int = 384
    """Inner width of the feed-forward networks."""
    channels: int = 32
    """Filters of each of the two convolutions that quarter the frames."""
    dropout: float = 0.1
    """Probability of dropout on the branches of a layer."""
    stochastic_depth: float = 0.0
    """Probability in training that an utterance skips the last layer; it falls evenly to 0 below
    the first (Huang et al. 2016)."""
    positions: str = "relative"
    """What tells self-attention the order: none, sinusoidal, relative or rotary."""
    window_back: int = -1
    """See only so many memory steps before a step, in each layer; -1: all."""
    window_ahead: int = -1
    """See only so many memory steps after it, in each layer; -1: all."""
    causal: bool = False
    """See no memory step after a step, in attention and in convolutions."""
    chunk: int = 0
    """See the memory in chunks of so many steps: a step sees its whole chunk in attention, and
    nothing after it; 0: no chunks."""
    left_chunks: int = -1
    """See only so many chunks before its own, in each layer; -1: all."""

    def __post_init__(self) -> None:
        if min(self.hidden_size, self.layers, self.heads) < 1:
            raise ValueError("encoder.hidden_size, layers and heads must be at least 1")
        if min(self.feedforward_size, self.channels) < 1:
            raise ValueError("encoder.feedforward_size and channels must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"encoder.dropout must be at least 0 and below 1, not {self.dropout}")
        if not 0 <= self.stochastic_depth < 1:
            raise ValueError(
                "encoder.stochastic_depth must be at least 0 and below 1, not "
                f"{self.stochastic_depth}"
            )
        if self.hidden_size % self.heads or self.hidden_size % 2:
            raise ValueError(
                f"encoder.hidden_size={self.hidden_size} must be even and a multiple of "
                f"encoder.heads={self.heads}"
            )
        self._check_positions()
        self._check_span()

    def _check_positions(self) -> None:
        if self.positions not in POSITIONS:
            raise ValueError(
                f"encoder.positions={self.positions!r} is not one of {', '.join(POSITIONS)}"
            )
        if self.positions == "rotary" and self.hidden_size // self.heads % 2:
            raise ValueError(
                "encoder.positions=rotary needs an even width per head, not "
                f"hidden_size / heads = {self.hidden_size // self.heads}"
            )

    def _check_span(self) -> None:
        if min(self.window_back, self.window_ahead, self.left_chunks) < -1 or self.chunk < 0:
            raise ValueError(
                "encoder.window_back, window_ahead and left_chunks must be at least -1, and "
                "encoder.chunk at least 0"
            )
        if self.causal and self.chunk:
            raise ValueError(
                f"encoder.causal=true and encoder.chunk={self.chunk} exclude each other: set "
                "causal=false to see a chunk at a time, or chunk=0 to see a step at a time"
            )
        if self.causal and self.window_ahead > 0:
            raise ValueError(
                f"encoder.causal=true sees nothing ahead, but window_ahead={self.window_ahead}: "
                "set one of them back"
            )
        if self.chunk and max(self.window_back, self.window_ahead) >= 0:
            raise ValueError(
                f"encoder.chunk={self.chunk} says what a step sees: leave window_back and "
                "window_ahead at -1 and set left_chunks"
            )
        if self.left_chunks >= 0 and not self.chunk:
            raise ValueError(f"encoder.left_chunks={self.left_chunks} needs encoder.chunk above 0")

    @property
    def span(self) -> Span:
        """What a step of self-attention sees."""
        ahead = 0 if self.causal else self.window_ahead
        return Span(self.window_back, ahead, self.chunk, self.left_chunks)

    @property
    def skipped(self) -> tuple[float, ...]:
        """Probability of each layer to be skipped."""
        return tuple(self.stochastic_depth * (i + 1) / self.layers for i in range(self.layers))

    @property
    def causal_convolution(self) -> bool:
        """Whether convolutions look back only: centred ones would see beyond a chunk's end."""
        return self.causal or self.chunk > 0


class Frontend(nn.Module):
    """Quarter the frames by convolutions, tell positions, and make the mask of self-attention.

    Args:
        input_size: D of the features.
        config: settings.
    """

    def __init__(self, input_size: int, config: SelfAttentiveConfig) -> None:
        super().__init__()
        self.config = config
        self.subsampling = Conv2dSubsampling(input_size, config.hidden_size, config.channels)
        self.reduction = self.subsampling.reduction
        self.dropout = Dropout(config.dropout)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Prepare the input of the first layer.

        Args:
            features: (B, T, D).
            lengths: (B,) frames.

        Returns:
            (B, S, hidden_size), lengths (B,), and the mask, (B, 1, S) or (B, S, S).
        """
        x, lengths = self.subsampling(features, lengths)
        if self.config.positions == "sinusoidal":
            x = add_sinusoids(x)
        return self.dropout(x), lengths, attention_mask(lengths, x.size(1), self.config.span)


class ConvolvingEncoder(LayeredEncoder):
    """The frontend and layers that convolve as well as attend.

    With ``causal`` or ``chunk`` the convolutions of the layers look back only; a window limits the
    attention alone.

    Args:
        input_size: D of the features.
        config: settings.
        layers: each called with (B, S, D), lengths (B,) and the mask.
    """

    def __init__(
        self, input_size: int, config: SelfAttentiveConfig, layers: Iterable[nn.Module]
    ) -> None:
        super().__init__()
        self.output_size = config.hidden_size
        self.frontend = Frontend(input_size, config)
        self.reduction = self.frontend.reduction
        self.layers = nn.ModuleList(layers)
        self.depth = config.layers
        self.skipped = config.skipped

    def outputs(
        self, features: Tensor, lengths: Tensor, layers: Collection[int] = ()
    ) -> list[Memory]:
        """See ``Encoder.outputs``."""
        x, lengths, mask = self.frontend(features, lengths)
        taken = []
        for number, (layer, share) in enumerate(zip(self.layers, self.skipped, strict=True), 1):
            x = perhaps_skip(x, layer(x, lengths, mask), share if self.training else 0.0)
            if number in layers:
                taken.append((zero_padding(x, lengths), lengths))
        return [*taken, (zero_padding(x, lengths), lengths)]


def perhaps_skip(before: Tensor, after: Tensor, probability: float) -> Tensor:
    """Stochastic depth (Huang et al. 2016): undo what a layer did to some of the utterances.

    What it did to the others is scaled up, so that the expectation is what the layer does. The
    layer has been computed for all, so that its parameters always have a gradient.

    Args:
        before: (B, S, D) input of the layer.
        after: (B, S, D) its output.
        probability: of an utterance to skip the layer; with 0 all is as the layer left it.

    Returns:
        (B, S, D).
    """
    if probability == 0.0:
        return after
    kept = torch.rand(before.size(0), 1, 1, device=before.device) >= probability
    return before + (after - before) * (kept.to(after.dtype) / (1.0 - probability))


def check_kernel(key: str, size: int) -> None:
    """Raise ``ValueError`` unless a convolution can have a kernel of ``size`` steps."""
    if size < 1 or size % 2 == 0:
        raise ValueError(f"encoder.{key} must be odd and at least 1, not {size}")
