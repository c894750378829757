"""Depthwise convolution over time that is exact on padded batches."""

from torch import Tensor, nn

from asr_attn.nn.masking import zero_padding


class DepthwiseConv(nn.Module):
    """A convolution over time of each feature on its own.

    Args:
        size: D.
        kernel_size: steps seen by one output step; odd.
        causal: see the steps up to the output's own instead of as many before as after it.
    """

    def __init__(self, size: int, kernel_size: int, causal: bool = False) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and at least 1, not {kernel_size}")
        self.conv = nn.Conv1d(size, size, kernel_size, groups=size)
        half = kernel_size // 2
        self.around = (2 * half, 0) if causal else (half, half)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Convolve ``x`` (B, T, D), whose padded steps count as zeros; (B, T, D)."""
        x = nn.functional.pad(zero_padding(x, lengths).transpose(1, 2), self.around)
        convolved: Tensor = self.conv(x).transpose(1, 2)
        return convolved
