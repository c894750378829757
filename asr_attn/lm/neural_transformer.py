"""The Transformer language model."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr_attn.lm.neural_interface import NeuralLm, NeuralLmConfig
from asr_attn.nn.cached_attention import CausalSelfAttention, KeysValues
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.positions import sinusoids
from asr_attn.nn.precision import float32_on_cpu


@dataclass(frozen=True)
class TransformerLmConfig(NeuralLmConfig):
    """Settings of the Transformer language model."""

    name: str = "transformer"
    hidden_size: int = 256
    """Width D of every layer; even, and a multiple of the heads."""
    layers: int = 4
    """Layers of self-attention and a feed-forward network."""
    heads: int = 4
    """Heads of self-attention."""
    feedforward_size: int = 1024
    """Inner width of the feed-forward networks."""
    dropout: float = 0.1
    """Probability of dropout on embeddings and on the branches of a layer."""

    def __post_init__(self) -> None:
        if min(self.hidden_size, self.layers, self.heads, self.feedforward_size) < 1:
            raise ValueError(
                "model.hidden_size, layers, heads and feedforward_size must be at least 1"
            )
        if self.hidden_size % self.heads or self.hidden_size % 2:
            raise ValueError(
                f"model.hidden_size={self.hidden_size} must be even and a multiple of "
                f"model.heads={self.heads}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout must be at least 0 and below 1, not {self.dropout}")


@dataclass(frozen=True)
class TransformerLmState:
    """State of the Transformer language model of L layers, after U tokens.

    Attributes:
        layers: L pairs of self-attention's keys and values of the tokens, each (N, H, U, D / H).
    """

    layers: tuple[KeysValues, ...]

    @property
    def position(self) -> int:
        """How many tokens were read."""
        return self.layers[0][0].size(2)

    def select(self, index: Tensor) -> "TransformerLmState":
        """Take the rows named by ``index`` (N,)."""
        return TransformerLmState(
            tuple((keys[index], values[index]) for keys, values in self.layers)
        )


class TransformerLmLayer(nn.Module):
    """Causal self-attention and feed-forward: norm before and residual around each.

    Args:
        config: sizes.
    """

    def __init__(self, config: TransformerLmConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.norm_attention = nn.LayerNorm(size)
        self.attention = CausalSelfAttention(size, config.heads)
        self.norm_feedforward = nn.LayerNorm(size)
        self.feedforward = nn.Sequential(
            nn.Linear(size, config.feedforward_size),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(config.feedforward_size, size),
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, past: KeysValues) -> tuple[Tensor, KeysValues]:
        """Transform new steps (N, U, D); keys and values grow by those of the new steps."""
        with float32_on_cpu(x.device):
            branch, past = self.attention(self.norm_attention(x), past)
        x = x + self.dropout(branch)
        x = x + self.dropout(self.feedforward(self.norm_feedforward(x)))
        return x, past


class TransformerLm(NeuralLm):
    """Causal Transformer with the norms before the branches (Radford et al. 2019).

    Positions are sinusoids, which have no greatest length.

    Args:
        vocabulary_size: V.
        config: sizes.
    """

    def __init__(self, vocabulary_size: int, config: TransformerLmConfig) -> None:
        super().__init__(vocabulary_size, config.hidden_size)
        size = config.hidden_size
        self.config = config
        self.embedding = nn.Embedding(vocabulary_size, size)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)  # one after it is scaled
        self.layers = nn.ModuleList(TransformerLmLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(config.dropout)

    def start(self, rows: int, device: torch.device) -> TransformerLmState:
        """No tokens read."""
        heads, size = self.config.heads, self.config.hidden_size
        nothing = torch.zeros(rows, heads, 0, size // heads, device=device)
        return TransformerLmState(((nothing, nothing),) * self.config.layers)

    def read(self, tokens: Tensor, state: TransformerLmState) -> tuple[Tensor, TransformerLmState]:
        """Read ``tokens`` (N, U): features (N, U, D) and new state."""
        size, position = self.config.hidden_size, state.position
        positions = torch.arange(position, position + tokens.size(1), device=tokens.device)
        x = self.embedding(tokens) * math.sqrt(size)
        x = self.dropout(x + sinusoids(positions, size, x.dtype))
        grown = []
        for layer, past in zip(self.layers, state.layers, strict=True):
            x, kept = layer(x, past)
            grown.append(kept)
        return self.norm(x), TransformerLmState(tuple(grown))
