"""The Lightning module of a neural language model: loss, perplexity and the learning rate."""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor

from asr_attn.errors import InputError
from asr_attn.lm.neural import NeuralLm, TrainedLm
from asr_attn.lm.neural_perplexity import IGNORE, predicted
from asr_attn.settings import ScheduleConfig
from asr_attn.text.tokenizer import EOS, UNK
from asr_attn.training.lm_data import TEXT_CHANGED, TokenBatch
from asr_attn.training.seeded_task import SeededTask


class LanguageModelTask(SeededTask):
    """Trains and validates a neural language model.

    Args:
        model: what is trained.
        schedule: learning rate.
        optimizer: makes the optimizer of the given parameters.
        seed: of the run.
        epochs: length of the training.
    """

    network: NeuralLm

    def __init__(
        self,
        model: TrainedLm,
        schedule: ScheduleConfig,
        optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer],
        seed: int,
        epochs: int,
    ) -> None:
        super().__init__(schedule, optimizer, seed, epochs)
        self.model = model
        self.network = model.network
        self._sums = torch.zeros(4, dtype=torch.float64)
        """Log-probability and number of known tokens, log-probability of all, number of words."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the tokens to the state to resume from."""
        checkpoint["tokenizer"] = self.model.tokenizer.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make sure that the tokens are those of before.

        Raises:
            InputError: they are not.
        """
        if checkpoint["tokenizer"] != self.model.tokenizer.to_dict():
            raise InputError(TEXT_CHANGED)

    def training_step(self, batch: TokenBatch, batch_idx: int) -> Tensor:
        """Cross entropy per token of one batch, ends of sentence included."""
        logits = self.network(batch.inputs)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORE
        )
        size = int((batch.targets != IGNORE).sum())
        self.log("train/loss", loss, batch_size=size, prog_bar=True, on_step=True, on_epoch=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start summing up."""
        self._sums = torch.zeros(4, dtype=torch.float64)

    def validation_step(self, batch: TokenBatch, batch_idx: int) -> None:
        """Score one batch, in float32 as models are used."""
        with torch.autocast(self.device.type, enabled=False):
            read, log_probs = predicted(self.network, batch.inputs, batch.targets)
        known = read != UNK
        figures = [
            float(log_probs[known].sum()),
            float(known.sum()),
            float(log_probs.sum()),
            float(batch.words + (read == EOS).sum()),
        ]
        self._sums += torch.tensor(figures, dtype=torch.float64)

    def on_validation_epoch_end(self) -> None:
        """Log perplexities over all processes: of known tokens, and of words by all tokens.

        Both count the ends of sentences.
        """
        sums = self._sums
        if self.trainer.world_size > 1:
            sums = cast(Tensor, self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum"))
        perplexities = (-sums[0::2] / sums[1::2].clamp(min=1.0)).exp()
        for name, value in zip(("val/perplexity", "val/word_perplexity"), perplexities.tolist()):
            self.log(name, value, prog_bar=True, rank_zero_only=True)
