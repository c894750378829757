"""The Lightning module: losses, validation and the learning rate of a recogniser."""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import Batch
from asr_attn.data.datamodule import SpeechData
from asr_attn.decoding.alignment import align, can_align, word_boundaries, word_tokens
from asr_attn.decoding.greedy import ctc_greedy_search, greedy_search
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.evaluation.error_rates import ErrorCounts, count_errors
from asr_attn.models.asr import AsrModel
from asr_attn.settings import ScheduleConfig, TrainingConfig
from asr_attn.training.loss import (
    attention_loss,
    ctc_loss,
    guided_attention_loss,
    monotonicity_loss,
    score_function_loss,
    targets_of,
)
from asr_attn.training.seeded_task import SeededTask


class RecognizerTask(SeededTask):
    """Trains and validates a recogniser.

    Args:
        model: what is trained.
        training: losses and their times.
        augmentation: masks over the features.
        schedule: learning rate.
        optimizer: makes the optimizer of the given parameters.
        seed: of the run.
        epochs: length of the training.
    """

    network: AsrModel

    def __init__(
        self,
        model: TrainedModel,
        training: TrainingConfig,
        augmentation: AugmentationConfig,
        schedule: ScheduleConfig,
        optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer],
        seed: int,
        epochs: int,
    ) -> None:
        super().__init__(schedule, optimizer, seed, epochs)
        self.model = model
        self.network = model.network
        self.training_config = training
        self.augmentation = augmentation
        self._word_counts = ErrorCounts()
        self._ctc_counts = ErrorCounts()

    @property
    def speech(self) -> SpeechData:
        """The data module of the trainer."""
        return cast(SpeechData, self.trainer.datamodule)  # type: ignore[attr-defined]

    @property
    def attention_has_begun(self) -> bool:
        """Whether the warm-up by CTC alone is over; it always is in the last epoch."""
        epoch = min(self.current_epoch, self.epochs - 1)
        return epoch == self.epochs - 1 or epoch / self.epochs >= self.training_config.ctc_warmup

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Joint loss of one batch."""
        config = self.training_config
        tokens = [self.model.tokenizer.encode(text) for text in batch.texts]
        memory, lengths = self.network.encode(batch.waveforms, batch.lengths, self.augmentation)
        # every parameter gets a gradient, if only zero: processes must agree on all of them
        unused: list[torch.nn.Module] = [self.network.ctc] * (config.ctc_weight == 0)
        unused += [self.network.decoder] * (not self.attention_has_begun)
        loss = sum(
            (0.0 * p.sum() for module in unused for p in module.parameters()),
            memory.new_zeros(()),
        )
        if config.ctc_weight > 0 or not self.attention_has_begun:
            ctc = ctc_loss(self.network.ctc_log_probs(memory), lengths, tokens)
            self._log("train/ctc_loss", ctc, len(tokens))
            loss = loss + (config.ctc_weight if self.attention_has_begun else 1.0) * ctc
        if self.attention_has_begun:
            inputs, targets = targets_of(tokens, self.device)
            begun = max(config.ctc_warmup, 1e-9)
            rise = (self.progress_at(batch_idx) - begun) / (1.0 - begun)
            output = self.network.speller(
                memory, lengths, inputs, config.scheduled_sampling * min(max(rise, 0.0), 1.0)
            )
            attention = attention_loss(output.logits, targets, config.label_smoothing)
            self._log("train/attention_loss", attention, len(tokens))
            loss = loss + (1.0 - config.ctc_weight) * attention
            counts = torch.tensor([len(row) + 1 for row in tokens], device=self.device)
            guidance = self._guidance(self.progress_at(batch_idx))
            if guidance > 0:
                loss = loss + guidance * guided_attention_loss(output.weights, counts, lengths)
            if config.monotonicity > 0:
                back = monotonicity_loss(output.weights, counts, lengths)
                loss = loss + config.monotonicity * back
            if output.choices.requires_grad:
                policy = score_function_loss(output.choices, output.logits, targets)
                loss = loss + config.score_function * policy
        self._log("train/loss", loss, len(tokens), bar=True)
        return loss

    def _guidance(self, progress: float) -> float:
        """Weight of the guided-attention loss, falling from its full value to 0."""
        config = self.training_config
        if progress >= config.guided_until:
            return 0.0
        return config.guided_attention * (1.0 - progress / config.guided_until)

    def _log(self, name: str, value: Tensor | float, size: int, bar: bool = False) -> None:
        self.log(name, value, batch_size=size, prog_bar=bar, on_step=bar, on_epoch=True)

    def on_validation_epoch_start(self) -> None:
        """Start counting errors."""
        self._word_counts = ErrorCounts()
        self._ctc_counts = ErrorCounts()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Recognise one batch greedily, by attention and by CTC."""
        tokenizer = self.model.tokenizer
        memory, lengths = self.network.encode(batch.waveforms, batch.lengths)
        if self.training_config.ctc_weight > 0:
            paths = ctc_greedy_search(self.network.ctc_log_probs(memory), lengths)
            self._ctc_counts += count_errors(batch.texts, [tokenizer.decode(p) for p in paths])
        if self.attention_has_begun:
            found = greedy_search(self.network.speller, memory, lengths, SearchConfig())
            texts = [tokenizer.decode(hypothesis.tokens) for hypothesis in found]
            self._word_counts += count_errors(batch.texts, texts)

    def on_validation_epoch_end(self) -> None:
        """Log error rates over all processes."""
        if self.training_config.ctc_weight > 0:
            self.log("val/ctc_wer", self._pooled_rate(self._ctc_counts), rank_zero_only=True)
        if self.attention_has_begun:
            rate = self._pooled_rate(self._word_counts)
            self.log("val/wer", rate, prog_bar=True, rank_zero_only=True)

    def _pooled_rate(self, counts: ErrorCounts) -> float:
        totals = torch.tensor([counts.errors, counts.total], dtype=torch.float64)
        if self.trainer.world_size > 1:
            totals = cast(
                Tensor, self.trainer.strategy.reduce(totals.to(self.device), reduce_op="sum")
            )
        return float(totals[0] / totals[1].clamp(min=1.0))

    def on_train_epoch_end(self) -> None:
        """Locate the words by CTC where ``training.align_at`` says so."""
        before = self.current_epoch / self.epochs
        after = (self.current_epoch + 1) / self.epochs
        if any(before < share <= after for share in self.training_config.align_at):
            self.speech.cuts = {**self.speech.cuts, **self._locate_words()}

    @torch.inference_mode()
    def _locate_words(self) -> dict[str, list[float]]:
        """Word boundaries in seconds of all training utterances that CTC can align."""
        self.network.eval()
        tokenizer = self.model.tokenizer
        found: dict[str, list[float]] = {}
        batches = self.speech.utterance_batches(
            self.speech.train, self.global_rank, self.trainer.world_size
        )
        for k in range(len(batches)):
            batch = batches[k]
            with self.trainer.precision_plugin.forward_context():
                memory, lengths = self.network.encode(
                    batch.waveforms.to(self.device), batch.lengths.to(self.device)
                )
                log_probs = self.network.ctc_log_probs(memory).cpu()
            rows = zip(batch.ids, batch.texts, log_probs, lengths.tolist(), batch.lengths.tolist())
            for name, text, row, steps, samples in rows:
                tokens = tokenizer.encode(text)
                if can_align(tokens, steps):
                    words = word_tokens(tokens, tokenizer)
                    edges = word_boundaries(align(row[:steps], tokens), words, steps)
                    duration = samples / self.speech.sample_rate
                    found[name] = [min(e / steps, 1.0) * duration for e in edges]
        self.network.train()
        if self.trainer.world_size > 1:
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, found)
            found = {name: cuts for part in parts for name, cuts in part.items()}
        return found
