"""The LSTM language model."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr_attn.lm.neural_interface import NeuralLm, NeuralLmConfig
from asr_attn.nn.dropout import Dropout


@dataclass(frozen=True)
class LstmLmConfig(NeuralLmConfig):
    """Settings of the LSTM language model."""

    name: str = "lstm"
    hidden_size: int = 256
    """Width of every layer."""
    embedding_size: int = 128
    """Width of a token's embedding."""
    layers: int = 2
    """LSTM layers."""
    dropout: float = 0.2
    """Probability of dropout on embeddings, between layers and before the output."""

    def __post_init__(self) -> None:
        if min(self.hidden_size, self.embedding_size, self.layers) < 1:
            raise ValueError("model.hidden_size, embedding_size and layers must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout must be at least 0 and below 1, not {self.dropout}")


@dataclass(frozen=True)
class LstmLmState:
    """State of the LSTM language model.

    Attributes:
        hidden: (N, layers, D) outputs of the layers.
        cell: (N, layers, D) their cells.
    """

    hidden: Tensor
    cell: Tensor

    def select(self, index: Tensor) -> "LstmLmState":
        """Take the rows named by ``index`` (N,)."""
        return LstmLmState(self.hidden[index], self.cell[index])


class LstmLm(NeuralLm):
    """LSTM language model (Sundermeyer et al. 2012), with dropout as in Zaremba et al. 2014.

    Args:
        vocabulary_size: V.
        config: sizes.
    """

    def __init__(self, vocabulary_size: int, config: LstmLmConfig) -> None:
        super().__init__(vocabulary_size, config.hidden_size)
        size = config.hidden_size
        self.config = config
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        self.layers = nn.ModuleList(
            nn.LSTM(size if i else config.embedding_size, size, batch_first=True)
            for i in range(config.layers)
        )
        self.dropout = Dropout(config.dropout)

    def start(self, rows: int, device: torch.device) -> LstmLmState:
        """Zeros."""
        zeros = torch.zeros(rows, self.config.layers, self.config.hidden_size, device=device)
        return LstmLmState(zeros, zeros)

    def read(self, tokens: Tensor, state: LstmLmState) -> tuple[Tensor, LstmLmState]:
        """Read ``tokens`` (N, U): features (N, U, D) and new state."""
        x = self.dropout(self.embedding(tokens))
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # autocast casts the weights of an LSTM there, but not its input
            x = x.to(torch.get_autocast_dtype("cpu"))
        hidden, cell = [], []
        for i, layer in enumerate(self.layers):
            before = tuple(
                part[:, i].to(x.dtype)[None].contiguous() for part in (state.hidden, state.cell)
            )
            x, (h, c) = layer(x, before)
            x = self.dropout(x)
            hidden.append(h[0])
            cell.append(c[0])
        return x, LstmLmState(torch.stack(hidden, dim=1), torch.stack(cell, dim=1))
