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
        queries = grouped(self.query(query), len(keys))  # (B, N / B, H, A / H)
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
    """``w . tanh(W query + V memory_s + b)`` (Bahdanau et al. 2015, appendix A.1.2).

    Computed as ``w . (2 sigmoid(2 x) - 1)``, which is the same: torch's sigmoid takes a sixth of
    the time of its tanh on a CPU, and this is where most of the time of a search goes.
    """

    def __init__(self, query_size: int, memory_size: int, size: int, heads: int) -> None:
        super().__init__(query_size, memory_size, size, heads)
        self.project_memory = nn.Linear(memory_size, size)
        bound = (size / heads) ** -0.5
        self.energy = nn.Parameter(torch.empty(heads, size // heads).uniform_(-bound, bound))

    def keys(self, memory: Tensor) -> Tensor:
        """Twice the projected memory (B, S, D): (B, H, S, A / H)."""
        return 2.0 * super().keys(memory)

    def past(self, state: AttentionState) -> tuple[Tensor, Tensor] | None:
        """What earlier steps add inside the tanh, or nothing.

        Returns:
            features (N, H, S, C) and their weights (H, C, A / H).
        """
        return None

    def forward(self, query: Tensor, keys: Tensor, state: AttentionState) -> Tensor:
        """Energies (N, H, S)."""
        queries = 2.0 * self.query(query)[:, :, None, :]  # (N, H, 1, A / H)
        past = self.past(state)
        if torch.is_grad_enabled() or query.device.type != "cpu":
            hidden = grouped(queries, len(keys)) + keys[:, None]
            if past is not None:
                hidden = hidden + torch.matmul(past[0], 2.0 * past[1]).view_as(hidden)
            products = torch.matmul(hidden.sigmoid(), self.energy[:, :, None]).flatten(0, 1)
        else:
            products = self._one_by_one(queries, keys, past)
        return 2.0 * products.squeeze(-1) - self.energy.sum(dim=-1)[:, None]

    def _one_by_one(
        self, queries: Tensor, keys: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Products ``w . sigmoid(2 x)`` of one hypothesis after the other.

        What is inside the sigmoid is the largest tensor of a search by far; that of one hypothesis
        stays in the processor's cache, which makes it several times as fast.

        Args:
            queries: (N, H, 1, A / H), doubled.
            keys: (B, H, S, A / H), doubled.
            past: as from ``past``.

        Returns:
            (N, H, S, 1).
        """
        each = len(queries) // len(keys)
        if past is not None:  # the query is one more feature, the same at every step
            features = nn.functional.pad(past[0], (0, 1), value=1.0)
            weights = (2.0 * past[1]).expand(len(queries), -1, -1, -1)
            weights = torch.cat([weights, queries], dim=2)
        energy = self.energy[:, :, None]
        products = []
        for row in range(len(queries)):
            own = keys[row // each]
            if past is None:
                hidden = own + queries[row]
            else:
                hidden = torch.baddbmm(own, features[row], weights[row])
            products.append(torch.bmm(hidden.sigmoid_(), energy))
        return torch.stack(products)


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

    def past(self, state: AttentionState) -> tuple[Tensor, Tensor]:
        """What the filters see."""
        seen = torch.stack([state.previous, state.total], dim=2).flatten(1, 2)
        filtered = self.filters(seen).unflatten(1, (self.heads, -1))
        return filtered.transpose(2, 3), self.project_location


class CoverageScore(AdditiveScore):
    """Additive, with the sum of the weights so far (Tu et al. 2016; See et al. 2017, equation 11).

    ``w . tanh(W query + V memory_s + c total_s + b)``.
    """

    def __init__(self, query_size: int, memory_size: int, size: int, heads: int) -> None:
        super().__init__(query_size, memory_size, size, heads)
        self.project_coverage = nn.Parameter(torch.empty(heads, 1, size // heads).uniform_(-1, 1))

    def past(self, state: AttentionState) -> tuple[Tensor, Tensor]:
        """The coverage."""
        return state.total[..., None], self.project_coverage


def grouped(x: Tensor, utterances: int) -> Tensor:
    """Hypotheses (N, ...) by the B ``utterances`` they belong to: (B, N / B, ...)."""
    return x.reshape(utterances, -1, *x.shape[1:])


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
