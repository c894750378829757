"""Scores: how well a query fits each step of the memory, as energies (N, H, S).

With several heads, query and keys are cut into as many equal parts, and each head scores its own.
Of N queries, N / B in a row share the keys of one of B utterances; in training N is B.
"""

import math

import torch
from torch import Tensor, nn

from asr_attn.nn.attention.interface import AttentionState


class Score(nn.Module):
    """Scores by products of projected queries and keys (Luong et al. 2015, "dot").

    Args:
        query_size: Q.
        memory_size: D.
        size: A, over all heads.
        heads: H.
    """

    def __init__(self, query_size: int, memory_size: int, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project_query = nn.Linear(query_size, size, bias=False)
        self.project_memory = nn.Linear(memory_size, size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """What is compared, of the memory (B, S, D): (B, H, S, A / H)."""
        return split_heads(self.project_memory(memory), self.heads)

    def query(self, query: Tensor) -> Tensor:
        """What is compared, of the query (N, Q): (N, H, A / H)."""
        projected: Tensor = self.project_query(query)
        return projected.reshape(len(query), self.heads, -1)

    def forward(self, query: Tensor, keys: Tensor, state: AttentionState) -> Tensor:
        """Energies (N, H, S) of ``query`` (N, Q) with ``keys`` (B, H, S, A / H)."""
        queries = self.query(query).unflatten(0, (len(keys), -1))  # (B, N / B, H, A / H)
        energies = torch.matmul(keys, queries.permute(0, 2, 3, 1))
        return energies.permute(0, 3, 1, 2).flatten(0, 1)


class ScaledDotScore(Score):
    """Products divided by the square root of their length (Vaswani et al. 2017, equation 1)."""

    def forward(self, query: Tensor, keys: Tensor, state: AttentionState) -> Tensor:
        """Energies (N, H, S)."""
        return super().forward(query, keys, state) / math.sqrt(keys.size(-1))


class GeneralScore(Score):
    """A bilinear form, ``query . W memory_s`` (Luong et al. 2015, "general").

    The query is used as it is, so A is Q.
    """

    def __init__(self, query_size: int, memory_size: int, size: int, heads: int) -> None:
        super().__init__(query_size, memory_size, query_size, heads)
        self.project_query = nn.Identity()  # type: ignore[assignment]


class CosineScore(Score):
    """The cosine of the angle between query and key, times a learnt sharpness (Graves 2014)."""

    def __init__(self, query_size: int, memory_size: int, size: int, heads: int) -> None:
        super().__init__(query_size, memory_size, size, heads)
        self.log_sharpness = nn.Parameter(torch.full((heads,), math.log(10.0)))

    def keys(self, memory: Tensor) -> Tensor:
        """Keys of length one."""
        return nn.functional.normalize(super().keys(memory), dim=-1)

    def query(self, query: Tensor) -> Tensor:
        """Queries of length one."""
        return nn.functional.normalize(super().query(query), dim=-1)

    def forward(self, query: Tensor, keys: Tensor, state: AttentionState) -> Tensor:
        """Energies (N, H, S)."""
        return super().forward(query, keys, state) * self.log_sharpness.exp()[:, None]


class AdditiveScore(Score):
    """``w . tanh(W query + V memory_s + b)`` (Bahdanau et al. 2015, appendix A.1.2)."""

    def __init__(self, query_size: int, memory_size: int, size: int, heads: int) -> None:
        super().__init__(query_size, memory_size, size, heads)
        self.project_memory = nn.Linear(memory_size, size)
        bound = (size / heads) ** -0.5
        self.energy = nn.Parameter(torch.empty(heads, size // heads).uniform_(-bound, bound))

    def past(self, state: AttentionState) -> Tensor | None:
        """What earlier steps add inside the tanh: (N, H, S, A / H), or nothing."""
        return None

    def forward(self, query: Tensor, keys: Tensor, state: AttentionState) -> Tensor:
        """Energies (N, H, S)."""
        queries = self.query(query)[:, :, None, :].unflatten(0, (len(keys), -1))
        hidden = queries + keys[:, None]  # (B, N / B, H, S, A / H)
        past = self.past(state)
        if past is not None:
            past = past.view_as(hidden)
            # the largest tensors of a search: it needs no gradient, so it makes no more of them
            hidden = hidden + past if torch.is_grad_enabled() else hidden.add_(past)
        hidden = hidden.tanh() if torch.is_grad_enabled() else hidden.tanh_()
        return torch.matmul(hidden, self.energy[:, :, None]).squeeze(-1).flatten(0, 1)


class LocationScore(AdditiveScore):
    """Additive, with filters over the weights of earlier steps (Chorowski et al. 2015, equation 8).

    ``w . tanh(W query + V memory_s + U (F * past)_s + b)``, where ``past`` has two channels: the
    weights of the step before, and the sum over all earlier steps, which tells apart what was
    already read on long audio.

    Args:
        query_size: Q.
        memory_size: D.
        size: A.
        heads: H.
        channels: filters of each head.
        kernel_size: memory steps that a filter sees; odd.
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        size: int,
        heads: int,
        channels: int,
        kernel_size: int,
    ) -> None:
        super().__init__(query_size, memory_size, size, heads)
        self.filters = nn.Conv1d(
            2 * heads,
            channels * heads,
            kernel_size,
            padding=kernel_size // 2,
            groups=heads,
            bias=False,
        )
        bound = channels**-0.5
        self.project_location = nn.Parameter(
            torch.empty(heads, channels, size // heads).uniform_(-bound, bound)
        )

    def past(self, state: AttentionState) -> Tensor:
        """What the filters see, projected: (N, H, S, A / H)."""
        seen = torch.stack([state.previous, state.total], dim=2).flatten(1, 2)
        filtered = self.filters(seen).unflatten(1, (self.heads, -1))
        return torch.matmul(filtered.transpose(2, 3), self.project_location)


class CoverageScore(AdditiveScore):
    """Additive, with the sum of the weights so far (Tu et al. 2016; See et al. 2017, equation 11).

    ``w . tanh(W query + V memory_s + c total_s + b)``.
    """

    def __init__(self, query_size: int, memory_size: int, size: int, heads: int) -> None:
        super().__init__(query_size, memory_size, size, heads)
        self.project_coverage = nn.Parameter(torch.empty(heads, 1, size // heads).uniform_(-1, 1))

    def past(self, state: AttentionState) -> Tensor:
        """The coverage, projected: (N, H, S, A / H)."""
        return state.total[..., None] * self.project_coverage


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Cut the last axis of ``x`` (B, S, A) into heads: (B, H, S, A / H)."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


SCORES: dict[str, type[Score]] = {
    "dot": Score,
    "scaled_dot": ScaledDotScore,
    "general": GeneralScore,
    "cosine": CosineScore,
    "additive": AdditiveScore,
    "location": LocationScore,
    "coverage": CoverageScore,
}
"""Name of a score: its class."""
