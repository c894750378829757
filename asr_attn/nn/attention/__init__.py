"""Attention of a decoder over encoder memory: every mechanism by its name."""

from collections.abc import Callable
from typing import Any, cast

from torch import nn

from asr_attn.nn.attention.interface import (
    Attention,
    AttentionConfig,
    AttentionKeys,
    AttentionState,
)
from asr_attn.nn.attention.mixture import MixtureAttention, MixtureAttentionConfig
from asr_attn.nn.attention.monotonic import MonotonicAttention, MonotonicAttentionConfig
from asr_attn.nn.attention.soft import SoftAttention, SoftAttentionConfig

__all__ = [
    "ATTENTIONS",
    "Attention",
    "AttentionConfig",
    "AttentionKeys",
    "AttentionState",
    "MixtureAttention",
    "MixtureAttentionConfig",
    "MonotonicAttention",
    "MonotonicAttentionConfig",
    "SoftAttention",
    "SoftAttentionConfig",
    "make_attention",
]

ATTENTIONS: dict[str, tuple[Callable[[int, int, Any], nn.Module], AttentionConfig]] = {
    "dot": (SoftAttention, SoftAttentionConfig("dot", score="dot")),
    "scaled_dot": (SoftAttention, SoftAttentionConfig("scaled_dot", score="scaled_dot")),
    "general": (SoftAttention, SoftAttentionConfig("general", score="general")),
    "cosine": (SoftAttention, SoftAttentionConfig("cosine", score="cosine")),
    "additive": (SoftAttention, SoftAttentionConfig("additive", score="additive")),
    "location": (SoftAttention, SoftAttentionConfig("location")),
    "coverage": (SoftAttention, SoftAttentionConfig("coverage", score="coverage")),
    "smoothed": (SoftAttention, SoftAttentionConfig("smoothed", normalizer="sigmoid")),
    "sparsemax": (SoftAttention, SoftAttentionConfig("sparsemax", normalizer="sparsemax")),
    "entmax": (SoftAttention, SoftAttentionConfig("entmax", normalizer="entmax15")),
    "window": (SoftAttention, SoftAttentionConfig("window", window_back=8, window_ahead=24)),
    "forward": (SoftAttention, SoftAttentionConfig("forward", dynamics="forward")),
    "forward_agent": (
        SoftAttention,
        SoftAttentionConfig("forward_agent", dynamics="forward_agent"),
    ),
    "stepwise": (SoftAttention, SoftAttentionConfig("stepwise", dynamics="stepwise")),
    "gmm": (MixtureAttention, MixtureAttentionConfig("gmm")),
    "gmm_softplus": (
        MixtureAttention,
        MixtureAttentionConfig("gmm_softplus", variant="softplus"),
    ),
    "monotonic": (MonotonicAttention, MonotonicAttentionConfig("monotonic")),
    "mocha": (MonotonicAttention, MonotonicAttentionConfig("mocha", chunk=4)),
    "hard_gumbel": (SoftAttention, SoftAttentionConfig("hard_gumbel", draw="gumbel")),
    "hard_sampled": (SoftAttention, SoftAttentionConfig("hard_sampled", draw="score_function")),
}
"""Name of a mechanism: its class (called with query size, memory size, config) and its settings."""


def make_attention(query_size: int, memory_size: int, config: AttentionConfig) -> Attention:
    """Build a mechanism (an ``nn.Module``) for queries of width Q over memory of width D.

    Raises:
        ValueError: sizes that do not go together.
    """
    mechanism, _ = ATTENTIONS[config.name]
    return cast(Attention, mechanism(query_size, memory_size, config))
