"""Bidirectional LSTM layers that are exact on padded batches without packing."""

import torch
from torch import Tensor, nn

from asr_attn.nn.masking import reverse_padded, zero_padding


class BidirectionalLSTM(nn.Module):
    """One bidirectional LSTM layer (Graves and Schmidhuber 2005).

    The backward direction runs over sequences reversed by their own lengths. That gives what
    packing gives at the price of padding, which on a CPU is several times cheaper.

    Args:
        input_size: D of the input.
        output_size: D of the output; each direction has half of it.
    """

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        if output_size % 2:
            raise ValueError(f"output_size must be even, not {output_size}")
        self.left_to_right = nn.LSTM(input_size, output_size // 2, batch_first=True)
        self.right_to_left = nn.LSTM(input_size, output_size // 2, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Read ``x`` (B, T, input_size) both ways; (B, T, output_size), zero where padded."""
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # autocast casts the weights of an LSTM there, but not its input, and oneDNN has no
            # kernel for two types
            x = x.to(torch.get_autocast_dtype("cpu"))
        forward, _ = self.left_to_right(x)
        backward, _ = self.right_to_left(reverse_padded(x, lengths))
        both = torch.cat([forward, reverse_padded(backward, lengths)], dim=-1)
        return zero_padding(both, lengths)
