"""Scores: how well a query fits each step of the memory, as energies (N, H, S).

With several heads, query and keys are cut into as many equal parts, and each head scores its own.
Of N queries, N / B in a row share the keys of one of B utterances; in training N is B.
"""

import math

import torch
from torch import Tensor, nn

from asr_attn.nn.attention.additive import EnergyLoop, Spans, additive_energies
from asr_attn.nn.attention.filters import filtered
from asr_attn.nn.attention.interface import AttentionKeys, AttentionState
from asr_attn.nn.precision import unmixed_on_cpu


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

    def loop(self, keys: Tensor) -> EnergyLoop | None:
        """What computes the steps of a training pass with ``keys`` (B, H, S, A / H), if need be."""
        return None

    def forward(
        self,
        query: Tensor,
        keys: AttentionKeys,
        state: AttentionState,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """Energies.

        Args:
            query: (N, Q).
            keys: of them ``keys.keys`` are compared.
            state: what earlier steps left.
            allowed: (N, H, S) or (N, 1, S) where energies count; elsewhere they may be anything
                finite. None: everywhere.

        Returns:
            (N, H, S).
        """
        queries = grouped(self.query(query), len(keys.keys))  # (B, N / B, H, A / H)
        energies = torch.matmul(keys.keys, queries.permute(0, 2, 3, 1))
        return energies.permute(0, 3, 1, 2).flatten(0, 1)


class ScaledDotScore(Score):
    """Products divided by the square root of their length (Vaswani et al. 2017, equation 1)."""

    def query(self, query: Tensor) -> Tensor:
        """Queries divided by the square root of their length."""
        queries = super().query(query)
        return queries / math.sqrt(queries.size(-1))


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
        """Queries as long as the sharpness."""
        queries = nn.functional.normalize(super().query(query), dim=-1)
        return queries * self.log_sharpness.exp()[:, None]


class AdditiveScore(Score):
    """``w . tanh(W query + V memory_s + b)`` (Bahdanau et al. 2015, appendix A.1.2).

    Computed as ``w . (2 sigmoid(2 x) - 1)``, which is the same: on some CPUs torch's sigmoid takes
    a sixth of the time of its tanh, and this is where most of the time of a search goes.
    """

    def __init__(self, query_size: int, memory_size: int, size: int, heads: int) -> None:
        super().__init__(query_size, memory_size, size, heads)
        self.project_memory = nn.Linear(memory_size, size)
        bound = (size / heads) ** -0.5
        self.energy = nn.Parameter(torch.empty(heads, size // heads).uniform_(-bound, bound))

    def keys(self, memory: Tensor) -> Tensor:
        """Twice the projected memory (B, S, D): (B, H, S, A / H)."""
        return 2.0 * super().keys(memory)

    def loop(self, keys: Tensor) -> EnergyLoop | None:
        """On a CPU, where steps of a training pass are computed in another way."""
        if torch.is_grad_enabled() and keys.device.type == "cpu":
            return EnergyLoop(keys, self.energy)
        return None

    def past(self, state: AttentionState) -> tuple[Tensor, Tensor] | None:
        """What earlier steps add inside the tanh, or nothing.

        Returns:
            features (N, H, S, C) and their weights (H, C, A / H).
        """
        return None

    def forward(
        self,
        query: Tensor,
        keys: AttentionKeys,
        state: AttentionState,
        allowed: Tensor | None = None,
    ) -> Tensor:
        """Energies (N, H, S)."""
        queries = 2.0 * self.query(query)  # (N, H, A / H)
        past = self.past(state)
        grad = torch.is_grad_enabled()
        if not unmixed_on_cpu(query.device) or (grad and keys.loop is None):
            hidden = grouped(queries[:, :, None], len(keys.keys)) + keys.keys[:, None]
            if past is not None:
                hidden = hidden + torch.matmul(past[0], 2.0 * past[1]).view_as(hidden)
            products = torch.matmul(hidden.sigmoid(), self.energy[:, :, None])
            energies = products.flatten(0, 1).squeeze(-1)
        else:
            # the query is one more feature, the same at every step
            weights = queries[:, :, None]
            features = queries.new_ones(*weights.shape[:2], keys.keys.size(2), 1)
            if past is not None:
                features = torch.cat([past[0], features], dim=-1)
                shared = (2.0 * past[1]).expand(len(queries), -1, -1, -1)
                weights = torch.cat([shared, weights], dim=2)
            spans = spans_of(allowed, len(queries), keys.keys.size(2))
            if grad and keys.loop is not None:
                energies = keys.loop(features, weights, spans)
            else:
                energies = additive_energies(
                    keys.keys, keys.each, features, weights, self.energy, spans
                )
        return 2.0 * energies - self.energy.sum(dim=-1)[:, None]


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
        return filtered(seen, self.filters.weight, self.heads), self.project_location


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


def spans_of(allowed: Tensor | None, rows: int, steps: int) -> Spans:
    """The stretch of memory in which ``allowed`` (N, H, S) has all that any head may look at.

    It is the whole memory of steps S where ``allowed`` is None, or has nothing for one of the rows.
    """
    if allowed is None:
        return [(0, steps)] * rows
    somewhere = allowed.any(dim=1).to(torch.uint8)
    first, after = somewhere.argmax(dim=-1), somewhere.flip(-1).argmax(dim=-1)
    return list(zip(first.tolist(), (steps - after).tolist(), strict=True))


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
