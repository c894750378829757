"""A small padded batch that the tests of attention share."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor


@dataclass(frozen=True)
class Example:
    """Queries (U, B, 4) over memory (B, S, 6), whose padding holds garbage."""

    queries: Tensor
    memory: Tensor
    lengths: Tensor

    def to(self, dtype: torch.dtype) -> "Example":
        return Example(self.queries.to(dtype), self.memory.to(dtype), self.lengths)


@pytest.fixture
def example() -> Example:
    torch.manual_seed(1)
    lengths = torch.tensor([7, 4, 1])
    memory = torch.randn(3, 7, 6, dtype=torch.float64)
    for row, length in zip(memory, lengths.tolist(), strict=True):
        row[length:] = 1e3  # attention promises not to look there
    return Example(torch.randn(4, 3, 4, dtype=torch.float64), memory, lengths)
