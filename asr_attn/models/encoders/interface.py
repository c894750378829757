"""What every encoder ("listener") offers: features in, memory out, shorter in time."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

Memory = tuple[Tensor, Tensor]
"""Memory (B, S, D), zero where padded, and lengths (B,) in memory steps."""


@dataclass(frozen=True)
class EncoderConfig:
    """Settings of an encoder."""

    name: str


class Encoder(Protocol):
    """The interface of every encoder."""

    @property
    def output_size(self) -> int:
        """Width D of the memory."""
        ...

    @property
    def reduction(self) -> int:
        """Feature frames per memory step."""
        ...

    @property
    def depth(self) -> int:
        """Number of layers whose outputs can be had."""
        ...

    def __call__(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode ``features`` (B, T, D) of ``lengths`` (B,) frames.

        Returns:
            memory (B, S, output_size), zero where padded, and lengths (B,) in memory steps.
        """
        ...

    def outputs(
        self, features: Tensor, lengths: Tensor, layers: Collection[int] = ()
    ) -> list[Memory]:
        """Encode, and show what is in between.

        Args:
            features: (B, T, D).
            lengths: (B,) frames.
            layers: numbers of layers, from 1 to ``depth``.

        Returns:
            The output of each of these layers, as if it were the last, from the lowest to the
            highest; then the memory. All are output_size wide; a low layer may have more steps.
        """
        ...


class LayeredEncoder(nn.Module):
    """An encoder whose ``forward`` gives the last of its ``outputs``."""

    depth: int

    def outputs(
        self, features: Tensor, lengths: Tensor, layers: Collection[int] = ()
    ) -> list[Memory]:
        """See ``Encoder.outputs``."""
        raise NotImplementedError

    def forward(self, features: Tensor, lengths: Tensor) -> Memory:
        """Encode.

        Args:
            features: (B, T, D).
            lengths: (B,) frames.

        Returns:
            memory (B, S, output_size), zero where padded, and lengths (B,).
        """
        return self.outputs(features, lengths)[-1]
