"""The LSTM decoder of Listen, Attend and Spell."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from asr_attn.models.decoders.interface import DecoderConfig, DecoderOutput, DecoderState
from asr_attn.nn.attention import AttentionConfig, AttentionKeys, AttentionState, make_attention
from asr_attn.nn.categorical import sample
from asr_attn.nn.deferred import LstmCell, deferred_lstm_cell, deferred_product
from asr_attn.nn.dropout import Dropout
from asr_attn.nn.precision import float32_on_cpu
from asr_attn.text.interface import BLANK, EOS


@dataclass(frozen=True)
class LstmDecoderConfig(DecoderConfig):
    """Settings of the LSTM decoder."""

    name: str = "lstm"
    hidden_size: int = 256
    """Width of the LSTM."""
    embedding_size: int = 64
    """Width of a token's embedding."""
    layers: int = 1
    """LSTM layers."""
    dropout: float = 0.2
    """Probability of dropout on embeddings and before the output."""
    shortcut: bool = False
    """Whether the context goes to the output by itself too, by weights that are those of the CTC
    head when attention begins to learn. From its first step on attention is then rewarded for
    looking where CTC hears the token; otherwise neither what to look at nor how to read it is
    known at first, and each has to wait for the other. It asks for a CTC that has learnt by then:
    training.ctc_warmup, or a model to start from."""

    def __post_init__(self) -> None:
        if min(self.hidden_size, self.embedding_size, self.layers) < 1:
            raise ValueError("decoder.hidden_size, embedding_size and layers must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"decoder.dropout must be at least 0 and below 1, not {self.dropout}")


@dataclass(frozen=True)
class LstmDecoderState:
    """State of the LSTM decoder.

    Attributes:
        hidden: (B, layers, D) outputs of the LSTM layers.
        cell: (B, layers, D) their cells.
        context: (B, M) what attention read in the step before.
        attention: what attention carries from step to step.
        keys: what attention needs of the memory.
    """

    hidden: Tensor
    cell: Tensor
    context: Tensor
    attention: AttentionState
    keys: AttentionKeys

    def select(self, index: Tensor) -> "LstmDecoderState":
        """Take the rows named by ``index`` (N,) of everything there is."""
        return LstmDecoderState(
            self.hidden[index],
            self.cell[index],
            self.context[index],
            self.attention.select(index),
            self.keys.select(index),
        )


class LstmDecoder(nn.Module):
    """LSTM decoder with soft attention (Chan et al. 2016, section 3.2).

    The LSTM reads the embedding of the token before and the context before; its output is the
    attention query; output and new context together give the distribution over the next token.

    Args:
        vocabulary_size: V.
        memory_size: D of the memory.
        attention: settings of the mechanism; queries have the width ``config.hidden_size``.
        config: sizes.
    """

    def __init__(
        self,
        vocabulary_size: int,
        memory_size: int,
        attention: AttentionConfig,
        config: LstmDecoderConfig,
    ) -> None:
        super().__init__()
        size = config.hidden_size
        self.config = config
        self.memory_size = memory_size
        self.attention = make_attention(size, memory_size, attention)
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        self.cells = nn.ModuleList(
            nn.LSTMCell(config.embedding_size + memory_size if i == 0 else size, size)
            for i in range(config.layers)
        )
        self.merge = nn.Linear(size + memory_size, size)
        self.output = nn.Linear(size, vocabulary_size)
        self.shortcut = nn.Linear(memory_size, vocabulary_size) if config.shortcut else None
        if self.shortcut is not None:
            nn.init.zeros_(self.shortcut.weight)
            nn.init.zeros_(self.shortcut.bias)
        self.dropout = Dropout(config.dropout)

    @torch.no_grad()
    def begin_with(self, ctc: nn.Linear) -> list[nn.Parameter]:
        """Read the context as the CTC head reads the memory, unless that was begun before.

        Returns:
            The weights that were set.
        """
        if self.shortcut is None or self.shortcut.weight.any():
            return []
        self.shortcut.weight.copy_(ctc.weight)
        self.shortcut.bias.copy_(ctc.bias)
        # there are no blanks to spell, and of the end of a sentence CTC knows nothing
        self.shortcut.weight[[BLANK, EOS]] = 0.0
        self.shortcut.bias[BLANK], self.shortcut.bias[EOS] = -30.0, 0.0
        return list(self.shortcut.parameters())

    def init_state(self, memory: Tensor, lengths: Tensor) -> LstmDecoderState:
        """Zeros for the LSTM, and the memory (B, S, D) prepared for attention."""
        with float32_on_cpu(memory.device):
            keys = self.attention.prepare(memory, lengths)
        zeros = memory.new_zeros(memory.size(0), len(self.cells), self.config.hidden_size)
        context = memory.new_zeros(memory.size(0), self.memory_size)
        return LstmDecoderState(zeros, zeros, context, self.attention.initial_state(keys), keys)

    def _advance(
        self, embedded: Tensor, state: LstmDecoderState, cells: Iterable[LstmCell]
    ) -> tuple[Tensor, Tensor, LstmDecoderState]:
        """One step from embeddings (B, E): features of the output (B, 2 parts), weights, state."""
        x = torch.cat([embedded, state.context.to(embedded.dtype)], dim=-1)
        hidden, cell = [], []
        for i, layer in enumerate(cells):
            x, c = layer(x, (state.hidden[:, i], state.cell[:, i]))
            hidden.append(x)
            cell.append(c)
        context, weights, attention = self.attention(x, state.keys, state.attention)
        new = LstmDecoderState(
            torch.stack(hidden, 1), torch.stack(cell, 1), context, attention, state.keys
        )
        return torch.cat([x, context.to(x.dtype)], dim=-1), weights, new

    def _logits(self, features: Tensor) -> Tensor:
        """Logits (..., V) of output features (..., D + M)."""
        features = self.dropout(features)
        logits: Tensor = self.output(self.dropout(torch.tanh(self.merge(features))))
        if self.shortcut is not None:
            logits = logits + self.shortcut(features[..., -self.memory_size :])
        return logits.float()

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, Tensor, LstmDecoderState]:
        """Read one token.

        Args:
            tokens: (B,) tokens of the step before.
            state: from ``init_state`` or the step before.

        Returns:
            log-probabilities (B, V), attention weights (B, H, S), new state.
        """
        with float32_on_cpu(tokens.device):
            features, weights, new = self._advance(
                self.dropout(self.embedding(tokens)), cast(LstmDecoderState, state), self.cells
            )
            return self._logits(features).log_softmax(dim=-1), weights, new

    def forward(
        self, memory: Tensor, lengths: Tensor, inputs: Tensor, sampling: float = 0.0
    ) -> DecoderOutput:
        """Read whole token sequences: as ``step`` does, with the output layer in one go.

        Args:
            memory: (B, S, D).
            lengths: (B,) memory steps.
            inputs: (B, U) tokens before each step, the first one being the start of the sentence.
            sampling: probability to read the model's own last draw in place of the given token
                (scheduled sampling, Bengio et al. 2015).
        """
        with float32_on_cpu(memory.device):
            return self._read(memory, lengths, inputs, sampling)

    def _read(
        self, memory: Tensor, lengths: Tensor, inputs: Tensor, sampling: float
    ) -> DecoderOutput:
        state = self.init_state(memory, lengths)
        cells: Iterable[LstmCell] = self.cells
        if torch.is_grad_enabled() and memory.device.type == "cpu":
            cells = [deferred_lstm_cell(cell) for cell in cast("list[nn.LSTMCell]", self.cells)]
            keys = replace(state.keys, read=deferred_product(state.keys.values))
            state = replace(state, keys=keys)
        embedded = self.dropout(self.embedding(inputs))
        features_all: list[Tensor] = []
        weights_all: list[Tensor] = []
        choices_all: list[Tensor] = []
        own = torch.rand(inputs.shape, device=inputs.device) < sampling if sampling > 0 else None
        draws = own.any(dim=0).tolist() if own is not None else [False] * inputs.size(1)
        for u in range(inputs.size(1)):
            given = embedded[:, u]
            if u > 0 and draws[u] and own is not None:
                with torch.no_grad():
                    tokens = sample(self._logits(features_all[-1]).softmax(dim=-1))
                drawn = self.dropout(self.embedding(tokens))
                given = torch.where(own[:, u, None], drawn, given)
            features, weights, state = self._advance(given, state, cells)
            features_all.append(features)
            weights_all.append(weights)
            choices_all.append(state.attention.choice)
        return DecoderOutput(
            self._logits(torch.stack(features_all, 1)),
            torch.stack(weights_all, 1),
            torch.stack(choices_all, 1),
        )
