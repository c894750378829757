"""The Transformer decoder."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from asr_attn.models.decoders.interface import DecoderConfig, DecoderOutput, DecoderState
from asr_attn.nn.attention import AttentionConfig, SoftAttentionConfig
from asr_attn.nn.attention.interface import at_least_float32
from asr_attn.nn.cached_attention import CausalSelfAttention, CrossAttention, KeysValues
from asr_attn.nn.categorical import sample
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.masking import padding_mask
from asr_attn.nn.positions import sinusoids
from asr_attn.nn.precision import float32_on_cpu


@dataclass(frozen=True)
class TransformerDecoderConfig(DecoderConfig):
    """Settings of the Transformer decoder."""

    name: str = "transformer"
    hidden_size: int = 256
    """Width D of every layer; even, and a multiple of both the heads here and attention.heads."""
    layers: int = 3
    """Layers of self-attention, attention to the memory and a feed-forward network."""
    heads: int = 4
    """Heads of self-attention; attention to the memory has attention.heads."""
    feedforward_size: int = 1024
    """Inner width of the feed-forward networks."""
    dropout: float = 0.1
    """Probability of dropout on embeddings and on the branches of a layer."""

    def __post_init__(self) -> None:
        if min(self.hidden_size, self.layers, self.heads, self.feedforward_size) < 1:
            raise ValueError(
                "decoder.hidden_size, layers, heads and feedforward_size must be at least 1"
            )
        if self.hidden_size % self.heads or self.hidden_size % 2:
            raise ValueError(
                f"decoder.hidden_size={self.hidden_size} must be even and a multiple of "
                f"decoder.heads={self.heads}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"decoder.dropout must be at least 0 and below 1, not {self.dropout}")


SCALED_DOT = {
    "score": "scaled_dot",
    "normalizer": "softmax",
    "temperature": 1.0,
    "window_back": -1,
    "window_ahead": -1,
    "dynamics": "none",
    "draw": "none",
}
"""The settings of attention that the layers of a Transformer decoder have room for."""


def check_attention(attention: AttentionConfig, config: TransformerDecoderConfig) -> None:
    """Refuse what cannot be the attention to the memory of a Transformer decoder.

    Raises:
        ValueError: attention other than scaled dot products, or heads that do not fit.
    """
    reason = (
        "model/decoder=transformer attends to the whole memory by scaled dot products in every "
        "layer, so"
    )
    wrong = [key for key, value in SCALED_DOT.items() if getattr(attention, key, None) != value]
    other_name = "score" in wrong and attention.name != "scaled_dot"
    if not isinstance(attention, SoftAttentionConfig) or other_name:
        raise ValueError(
            f"{reason} model/attention={attention.name} has no part in it; set "
            "model/attention=scaled_dot model.attention.heads=4, or model/decoder=lstm"
        )
    if wrong:
        found = " ".join(f"model.attention.{key}={getattr(attention, key)}" for key in wrong)
        fitting = " ".join(f"model.attention.{key}={SCALED_DOT[key]}" for key in wrong)
        raise ValueError(
            f"{reason} {found} has no part in it; set {fitting}, or model/decoder=lstm"
        )
    if config.hidden_size % attention.heads:
        raise ValueError(
            f"decoder.hidden_size={config.hidden_size} must be a multiple of "
            f"attention.heads={attention.heads}; change one of them"
        )


@dataclass(frozen=True)
class TransformerDecoderState:
    """State of the Transformer decoder of L layers, after U tokens.

    Attributes:
        keys: (B, L, decoder.heads, U, width) self-attention's keys of the tokens.
        values: (B, L, decoder.heads, U, width) its values of them.
        memory_keys: (B, L, attention.heads, S, width) keys of the memory.
        memory_values: (B, L, attention.heads, S, width) values of the memory.
        mask: (B, S) bool, True where a memory step is real.
    """

    keys: Tensor
    values: Tensor
    memory_keys: Tensor
    memory_values: Tensor
    mask: Tensor

    @property
    def position(self) -> int:
        """How many tokens were read."""
        return self.keys.size(3)

    def select(self, index: Tensor) -> "TransformerDecoderState":
        """Take the rows named by ``index`` (N,) of everything there is."""
        return TransformerDecoderState(
            self.keys[index],
            self.values[index],
            self.memory_keys[index],
            self.memory_values[index],
            self.mask[index],
        )


class TransformerDecoderLayer(nn.Module):
    """Self-attention, attention to the memory, feed-forward: norm before and residual around each.

    Args:
        memory_size: D of the memory.
        attention: settings of attention to the memory.
        config: sizes.
    """

    def __init__(
        self, memory_size: int, attention: SoftAttentionConfig, config: TransformerDecoderConfig
    ) -> None:
        super().__init__()
        size = config.hidden_size
        self.norm_self = nn.LayerNorm(size)
        self.self_attention = CausalSelfAttention(size, config.heads)
        self.norm_cross = nn.LayerNorm(size)
        self.cross_attention = CrossAttention(
            size, memory_size, attention.size, attention.heads, attention.dropout
        )
        self.norm_feedforward = nn.LayerNorm(size)
        self.feedforward = nn.Sequential(
            nn.Linear(size, config.feedforward_size),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(config.feedforward_size, size),
        )
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Tensor, past: KeysValues, memory: KeysValues, mask: Tensor
    ) -> tuple[Tensor, Tensor, KeysValues]:
        """Transform new steps.

        Args:
            x: (B, U, D).
            past: self-attention's keys and values of the steps before.
            memory: from ``prepare`` of the cross-attention.
            mask: (B, S) bool, True where a memory step is real.

        Returns:
            (B, U, D), weights over the memory (B, H, U, S), and self-attention's keys and values
            with those of the new steps.
        """
        branch, past = self.self_attention(self.norm_self(x), past)
        x = x + self.dropout(branch)
        branch, weights = self.cross_attention(self.norm_cross(x), memory, mask)
        x = x + self.dropout(branch)
        x = x + self.dropout(self.feedforward(self.norm_feedforward(x)))
        return x, weights, past


class TransformerDecoder(nn.Module):
    """Transformer decoder (Vaswani et al. 2017) with the norms before the branches.

    Args:
        vocabulary_size: V.
        memory_size: D of the memory.
        attention: settings of the attention to the memory, which every layer has: scaled dot
            products, with any heads, size and dropout.
        config: sizes.

    Raises:
        ValueError: attention that is not of that kind, or sizes that do not go together.
    """

    def __init__(
        self,
        vocabulary_size: int,
        memory_size: int,
        attention: AttentionConfig,
        config: TransformerDecoderConfig,
    ) -> None:
        super().__init__()
        check_attention(attention, config)
        size = config.hidden_size
        self.config = config
        self.embedding = nn.Embedding(vocabulary_size, size)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)  # one after it is scaled
        self.layers = nn.ModuleList(
            TransformerDecoderLayer(memory_size, cast(SoftAttentionConfig, attention), config)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(size)
        self.output = nn.Linear(size, vocabulary_size)
        self.dropout = Dropout(config.dropout)

    def init_state(self, memory: Tensor, lengths: Tensor) -> TransformerDecoderState:
        """No tokens read, and the memory (B, S, D) projected for every layer."""
        with float32_on_cpu(memory.device):
            pairs = [
                cast(TransformerDecoderLayer, layer).cross_attention.prepare(memory)
                for layer in self.layers
            ]
        size, heads = self.config.hidden_size, self.config.heads
        nothing = memory.new_zeros(len(memory), self.config.layers, heads, 0, size // heads)
        return TransformerDecoderState(
            nothing,
            nothing,
            torch.stack([keys for keys, _ in pairs], dim=1),
            torch.stack([values for _, values in pairs], dim=1),
            padding_mask(lengths, memory.size(1)),
        )

    def step(
        self, tokens: Tensor, state: DecoderState
    ) -> tuple[Tensor, Tensor, TransformerDecoderState]:
        """Read one token.

        Args:
            tokens: (B,) tokens of the step before.
            state: from ``init_state`` or the step before.

        Returns:
            log-probabilities (B, V), attention weights (B, H, S) of every layer's heads, those of
            the first layer first, new state.
        """
        with float32_on_cpu(tokens.device):
            logits, weights, new = self._read(tokens[:, None], cast(TransformerDecoderState, state))
        return logits[:, 0].log_softmax(dim=-1), weights[:, 0], new

    def forward(
        self, memory: Tensor, lengths: Tensor, inputs: Tensor, sampling: float = 0.0
    ) -> DecoderOutput:
        """Read whole token sequences, all steps at once.

        With ``sampling``, a first pass over the given tokens tells what the model would draw after
        each of them, and the second reads some of these draws (Mihaylova and Martins 2019).

        Args:
            memory: (B, S, D).
            lengths: (B,) memory steps.
            inputs: (B, U) tokens before each step, the first one being the start of the sentence.
            sampling: probability to read the model's own draw in place of the given token.
        """
        with float32_on_cpu(memory.device):
            if sampling > 0:
                inputs = self._mix(memory, lengths, inputs, sampling)
            logits, weights, _ = self._read(inputs, self.init_state(memory, lengths))
        return DecoderOutput(logits, weights, weights.new_zeros(weights.shape[:3]))

    def _read(
        self, tokens: Tensor, state: TransformerDecoderState
    ) -> tuple[Tensor, Tensor, TransformerDecoderState]:
        """Read ``tokens`` (B, U): logits (B, U, V), weights (B, U, H, S), new state."""
        size, start = self.config.hidden_size, state.position
        positions = torch.arange(start, start + tokens.size(1), device=tokens.device)
        x = self.embedding(tokens) * math.sqrt(size)
        x = self.dropout(x + sinusoids(positions, size, x.dtype))
        pasts = zip(state.keys.unbind(1), state.values.unbind(1))
        memories = zip(state.memory_keys.unbind(1), state.memory_values.unbind(1))
        weights, grown = [], []
        for layer, past, memory in zip(self.layers, pasts, memories, strict=True):
            x, attended, kept = layer(x, past, memory, state.mask)
            weights.append(attended)
            grown.append(kept)
        new = TransformerDecoderState(
            torch.stack([keys for keys, _ in grown], dim=1),
            torch.stack([values for _, values in grown], dim=1),
            state.memory_keys,
            state.memory_values,
            state.mask,
        )
        logits = self.output(self.norm(x))
        logits = logits.to(at_least_float32(logits.dtype))
        return logits, torch.cat(weights, dim=1).transpose(1, 2), new

    @torch.no_grad()
    def _mix(self, memory: Tensor, lengths: Tensor, inputs: Tensor, sampling: float) -> Tensor:
        """Tokens (B, U) to read: ``inputs``, or what the model draws after those before them."""
        own = torch.rand(inputs.shape, device=inputs.device) < sampling
        own[:, 0] = False
        if not own.any():
            return inputs
        with _without_dropout(self):
            logits, _, _ = self._read(inputs[:, :-1], self.init_state(memory, lengths))
        drawn = sample(logits.softmax(dim=-1))
        return torch.where(own, torch.cat([inputs[:, :1], drawn], dim=1), inputs)


@contextmanager
def _without_dropout(module: nn.Module) -> Iterator[None]:
    """Set ``module`` to evaluation for a while, and each part of it back to what it was."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
