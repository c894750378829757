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
