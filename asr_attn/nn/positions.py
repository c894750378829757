"""Positions in self-attention: added to the input, relative in the energies, or as rotations."""

import math

import torch
from torch import Tensor, nn

POSITIONS = ("none", "sinusoidal", "relative", "rotary")
"""What tells self-attention the order: nothing, sinusoids added to the input (Vaswani et al. 2017),
relative positions (Dai et al. 2019) or rotations of queries and keys (Su et al. 2021)."""


def _angles(positions: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Angles (T, size / 2) of ``positions`` (T,): one frequency per pair, from 1 to 1 / 10000."""
    if size % 2:
        raise ValueError(f"positions need an even width, not {size}")
    dtype = torch.promote_types(dtype, torch.float32)
    pairs = torch.arange(0, size, 2, device=positions.device, dtype=dtype)
    frequencies = torch.exp(pairs * (-math.log(10000.0) / size))
    return positions.to(dtype)[:, None] * frequencies


def sinusoids(positions: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Sinusoids of Vaswani et al. 2017, section 3.5.

    Args:
        positions: (T,) of any sign.
        size: D, even.
        dtype: of the result.

    Returns:
        (T, D): sines in the even columns, cosines in the odd ones.
    """
    angles = _angles(positions, size, dtype)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2).to(dtype)


def add_sinusoids(x: Tensor) -> Tensor:
    """Add sinusoids of the steps 0, 1, ... to ``x`` (B, T, D)."""
    return x + sinusoids(torch.arange(x.size(1), device=x.device), x.size(2), x.dtype)


def rotate(x: Tensor) -> Tensor:
    """Rotate each pair of neighbouring columns by an angle that grows with the step.

    The product of a rotated query and a rotated key depends on their distance and not on where
    they are (RoFormer, Su et al. 2021, section 3.2.2).

    Args:
        x: (B, H, T, D), D even: queries or keys.

    Returns:
        (B, H, T, D).
    """
    angles = _angles(torch.arange(x.size(2), device=x.device), x.size(3), x.dtype)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    rotated = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1)
    return rotated.flatten(-2)


class RelativePositions(nn.Module):
    """Energies of the distance between query and key (Transformer-XL, Dai et al. 2019, 3.3).

    The energy of query i and key j is ``(q_i + u) · k_j + (q_i + v) · W r_{i-j}`` over the square
    root of the head's width: ``u`` and ``v`` are learnt per head, ``r`` are sinusoids.

    Args:
        size: D over all heads, even.
        heads: H.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.project = nn.Linear(size, size, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, 1, size // heads))
        self.position_bias = nn.Parameter(torch.zeros(heads, 1, size // heads))

    def forward(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Split the energies into a product with the keys and a bias.

        Args:
            query: (B, H, T, D / H).

        Returns:
            queries to be compared with the keys (B, H, T, D / H), and the scaled bias
            (B, H, T, T) to be added to the scaled energies.
        """
        _, heads, steps, width = query.shape
        distances = torch.arange(steps - 1, -steps, -1, device=query.device)
        table = sinusoids(distances, heads * width, self.project.weight.dtype)
        keys = self.project(table).view(-1, heads, width).permute(1, 2, 0)
        kind = query.dtype  # under autocast not that of the parameters
        energies = (query + self.position_bias.to(kind)) @ keys.to(kind)
        shifted = relative_shift(energies) / math.sqrt(width)
        return query + self.content_bias.to(kind), shifted


def relative_shift(energies: Tensor) -> Tensor:
    """From energies by distance to energies by key (Dai et al. 2019, appendix B).

    Args:
        energies: (B, H, T, 2 T - 1), the columns being the distances T - 1 down to 1 - T of a key
            before the query.

    Returns:
        (B, H, T, T), of each query and key.
    """
    batch, heads, steps, distances = energies.shape
    # with one more column, each row begins one distance earlier when read T numbers further on
    shifted = nn.functional.pad(energies, (1, 0)).view(batch, heads, distances + 1, steps)
    return shifted[:, :, 1:].reshape(batch, heads, steps, distances)[..., :steps]
