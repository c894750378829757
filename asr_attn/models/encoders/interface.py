"""What every encoder ("listener") offers: features in, memory out, shorter in time."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


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

    def __call__(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode ``features`` (B, T, D) of ``lengths`` (B,) frames.

        Returns:
            memory (B, S, output_size), zero where padded, and lengths (B,) in memory steps.
        """
        ...
