"""Layers that shorten a sequence; each returns ``(output, lengths)``."""

from torch import Tensor, nn

from asr_attn.nn.masking import zero_padding


class ConvSubsampling(nn.Module):
    """A strided convolution over time with layer norm and GELU.

    Args:
        input_size: D of the input.
        output_size: D of the output.
        kernel_size: frames seen by one output step; odd.
        stride: input frames per output step.
    """

    def __init__(self, input_size: int, output_size: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, not {kernel_size}")
        self.stride = stride
        self.conv = nn.Conv1d(
            input_size, output_size, kernel_size, stride=stride, padding=kernel_size // 2
        )
        self.norm = nn.LayerNorm(output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shorten ``x`` (B, T, input_size) to (B, ceil(T / stride), output_size).

        Padded input frames count as the zeros that the convolution pads with anyway, so that a
        sequence gives the same alone and in a batch.
        """
        x = self.conv(zero_padding(x, lengths).transpose(1, 2)).transpose(1, 2)
        lengths = (lengths + self.stride - 1) // self.stride
        return zero_padding(nn.functional.gelu(self.norm(x)), lengths), lengths


def join_pairs(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Halve a sequence by joining neighbours: the pyramid of Chan et al. 2016, section 3.1.

    Args:
        x: (B, T, D), zero where padded.
        lengths: (B,).

    Returns:
        (B, ceil(T / 2), 2 D) and the new lengths; an odd last frame is joined to zeros.
    """
    if x.size(1) % 2:
        x = nn.functional.pad(x, (0, 0, 0, 1))
    return x.reshape(x.size(0), x.size(1) // 2, 2 * x.size(2)), (lengths + 1) // 2


class Conv2dSubsampling(nn.Module):
    """Shorten a sequence by two strided convolutions over time and frequency (Dong et al. 2018).

    Each also halves the bands. With the strides of 2 that the paper has, output step t sees the
    frames 4 t - 3 to 4 t + 3: none after the four that it stands for.

    Args:
        input_size: D of the input.
        output_size: D of the output.
        channels: filters of each convolution.
        strides: frames per step of each convolution.

    Attributes:
        reduction: input frames per output step.
    """

    def __init__(
        self, input_size: int, output_size: int, channels: int, strides: tuple[int, int] = (2, 2)
    ) -> None:
        super().__init__()
        self.strides = strides
        self.reduction = strides[0] * strides[1]
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, channels, kernel_size=3, stride=(stride, 2), padding=1)
            for inputs, stride in zip((1, channels), strides, strict=True)
        )
        self.project = nn.Linear(channels * _quarter(input_size), output_size)
        self.norm = nn.LayerNorm(output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shorten ``x`` (B, T, input_size) to (B, S, output_size), zero where padded."""
        x = x[:, None]
        for conv, stride in zip(self.convs, self.strides, strict=True):
            x = nn.functional.relu(conv(_zero_frames(x, lengths)))
            lengths = (lengths + stride - 1) // stride
        x = self.norm(self.project(_flatten_channels(x)))
        return zero_padding(x, lengths), lengths


class VggBlock(nn.Module):
    """Two 3x3 convolutions and max pooling by 2 over time and frequency (Hori et al. 2017).

    Padded frames are zero before each convolution, as what the convolution pads with, and before
    pooling, where zero is the least that ReLU gives.

    Args:
        input_channels: C of the input.
        output_channels: C of the output.
    """

    def __init__(self, input_channels: int, output_channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, output_channels, kernel_size=3, padding=1)
            for inputs in (input_channels, output_channels)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Halve ``x`` (B, C, T, D), zero where padded, to (B, C, ceil(T / 2), ceil(D / 2))."""
        for conv in self.convs:
            x = _zero_frames(nn.functional.relu(conv(x)), lengths)
        return nn.functional.max_pool2d(x, 2, ceil_mode=True), (lengths + 1) // 2


class VggSubsampling(nn.Module):
    """Quarter a sequence by two VGG blocks (Hori et al. 2017).

    Args:
        input_size: D of the input.
        channels: filters of the first block; the second has twice as many.

    Attributes:
        output_size: D of the output.
    """

    reduction = 4

    def __init__(self, input_size: int, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([VggBlock(1, channels), VggBlock(channels, 2 * channels)])
        self.output_size = 2 * channels * _quarter(input_size)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shorten ``x`` (B, T, input_size) to (B, ceil(T / 4), output_size), zero where padded."""
        x = zero_padding(x, lengths)[:, None]
        for block in self.blocks:
            x, lengths = block(x, lengths)
        return _flatten_channels(x), lengths


def _quarter(size: int) -> int:
    """Bands that are left of ``size`` after two halvings."""
    return (size + 3) // 4


def _zero_frames(x: Tensor, lengths: Tensor) -> Tensor:
    """Set the padded frames of ``x`` (B, C, T, D) to zero."""
    return zero_padding(x.transpose(1, 2), lengths).transpose(1, 2)


def _flatten_channels(x: Tensor) -> Tensor:
    """From (B, C, T, D) to (B, T, C D)."""
    return x.transpose(1, 2).flatten(2)
