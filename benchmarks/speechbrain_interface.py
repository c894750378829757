"""What `speechbrain_baseline.py` needs of a system of SpeechBrain's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from speechbrain.nnet.losses import ctc_loss
from speechbrain.processing.features import InputNormalization
from torch import Tensor, nn

RATE = 16000
BLANK = 0
"""Of CTC in both; also what token sequences are padded with."""


@dataclass(frozen=True)
class Padded:
    """Sequences as SpeechBrain has them.

    Attributes:
        data: (B, longest), zero where padded.
        shares: (B,) lengths as shares of the longest.
    """

    data: Tensor
    shares: Tensor


def pad(rows: Sequence[Tensor]) -> Padded:
    """Pad sequences of different length."""
    data = nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    return Padded(data, torch.tensor([len(row) / data.size(1) for row in rows]))


class System(nn.Module):
    """What both systems share.

    Attributes:
        bos: start of a sentence.
        eos: its end.
        shuffled: whether batches are made anew and mixed at each epoch, or sorted by length.
        accumulate: batches per update.
        kept: how many of the best models are averaged in the end.
        search_every: epochs between word error rates of the dev set.
        chosen_by: what the best models are chosen by.
        beam: width of the published search.
    """

    bos: int
    eos: int
    shuffled: bool
    accumulate: int
    kept: int
    search_every: int
    chosen_by: str
    beam: int

    features: nn.Module
    normalize: InputNormalization
    ctc: nn.Module
    output: nn.Module

    def make_optimizer(self) -> torch.optim.Optimizer:
        """As published."""
        raise NotImplementedError

    def before_update(self, optimizer: torch.optim.Optimizer, share: float) -> None:
        """Set the learning rate, where it changes at each update; ``share`` of the time is over."""

    def after_epoch(self, optimizer: torch.optim.Optimizer, share: float, wer: float) -> None:
        """Set the learning rate, where it depends on the error rate of the dev set."""

    def state(self) -> dict[str, Any]:
        """What goes on besides weights: of the statistics of features and the learning rate."""
        return {"normalize": self.normalize._statistics_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state`` gave."""
        self.normalize._load_statistics_dict(state["normalize"])

    def encode(self, waves: Padded) -> Tensor:
        """The memory (B, S, D), without changes to the sound."""
        raise NotImplementedError

    def losses(self, waves: Padded, tokens: Sequence[Sequence[int]], share: float) -> Tensor:
        """The loss of a training batch, its sound being varied, when a share of the time is over.

        Args:
            waves: the sound.
            tokens: B sequences of ids, without start and end.
            share: from 0 to 1.
        """
        raise NotImplementedError

    def log_probs(self, memory: Tensor, waves: Padded, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities (B, U + 1, V) of the tokens and the end, each after those before."""
        raise NotImplementedError

    def searcher(self, beam: int | None, ratio: float = 1.0) -> Any:
        """SpeechBrain's search, greedy without a beam, of at most ``ratio`` × S tokens."""
        raise NotImplementedError

    def inputs(self, tokens: Sequence[Sequence[int]]) -> Padded:
        """What the decoder reads: the start and the tokens."""
        return pad([torch.tensor([self.bos, *row]) for row in tokens])

    def targets(self, tokens: Sequence[Sequence[int]]) -> Padded:
        """What it is to write: the tokens and the end."""
        return pad([torch.tensor([*row, self.eos]) for row in tokens])

    def _ctc_loss(
        self, memory: Tensor, waves: Padded, tokens: Sequence[Sequence[int]], reduction: str
    ) -> Tensor:
        texts = pad([torch.tensor(row, dtype=torch.long) for row in tokens])
        paths = self.ctc(memory).log_softmax(dim=-1)
        loss: Tensor = ctc_loss(
            paths, texts.data, waves.shares, texts.shares, BLANK, reduction=reduction
        )
        return loss
