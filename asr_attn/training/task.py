"""The Lightning module: losses, validation and the learning rate of a recogniser."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import Batch
from asr_attn.data.datamodule import SpeechData
from asr_attn.decoding.greedy import ctc_greedy_search, greedy_search
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.evaluation.error_rates import ErrorCounts, count_errors
from asr_attn.models.asr import AsrModel
from asr_attn.settings import ScheduleConfig, TrainingConfig
from asr_attn.text.tokenizer import SubwordTokenizer, SymbolTokenizer
from asr_attn.training.averaging import AveragedTask
from asr_attn.training.gradients import TOTAL, compute_step, loss_with_gradients
from asr_attn.training.incidents import report
from asr_attn.training.locating import words_in
from asr_attn.training.loss import (
    GUIDED_SECONDS,
    attention_elsewhere_loss,
    attention_loss,
    ctc_consistency_loss,
    ctc_loss,
    guided_attention_loss,
    heard_steps,
    intermediate_layers,
    monotonicity_loss,
    score_function_loss,
    targets_of,
)
from asr_attn.training.processes import of_all_processes
from asr_attn.training.schedule import attention_progress, guidance_at, masks_at
from asr_attn.training.splitting import BatchSplitter


class RecognizerTask(AveragedTask):
    """Trains and validates a recogniser.

    Args:
        model: what is trained.
        training: losses and their times.
        augmentation: masks over the features.
        schedule: learning rate.
        optimizer: makes the optimizer of the given parameters.
        seed: of the run.
        epochs: length of the training.
        sampling: how strongly the ways to cut training texts are varied; 0 does not.
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
        sampling: float = 0.0,
    ) -> None:
        super().__init__(schedule, optimizer, seed, epochs, training.ema)
        self.model = model
        self.sampling = sampling
        self.network = model.network
        self.training_config = training
        self.middle_layers = intermediate_layers(training, model.network.encoder_depth)
        self.augmentation = augmentation
        self._errors: dict[str, ErrorCounts] = {}
        rate = model.features.sample_rate
        self.memory = {
            name: BatchSplitter(rate, partial(self._tell_limit, name))
            for name in ("training", "validation")
        }
        """What fits in memory: gradients take more of it than recognition."""

    def _tell_limit(self, name: str, seconds: float, limit: float) -> None:
        """Report that a batch of so many seconds did not fit, and how many are tried from now."""
        report(
            self.trainer,
            "memory",
            f"a batch of {seconds:.1f} s of audio, padding included, did not fit in memory; from "
            f"now on {name} computes at most {limit:.1f} s at once, and the results stay those of "
            "whole batches (a lower data.loading.batch_seconds saves the attempts)",
            use=name,
            seconds=round(seconds, 3),
            limit=round(limit, 3),
        )

    @property
    def speech(self) -> SpeechData:
        """The data module of the trainer."""
        return cast(SpeechData, self.trainer.datamodule)  # type: ignore[attr-defined]

    @property
    def attention_has_begun(self) -> bool:
        """Whether the warm-up by CTC alone is over; it always is in the last epoch."""
        return self.trains_attention(self.current_epoch)

    def trains_attention(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, is not of the warm-up by CTC alone."""
        return epoch >= self.epochs - 1 or epoch / self.epochs >= self.training_config.ctc_warmup

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the tokenizer, facts and what was learnt of memory to the state to resume from."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["info"] = dict(self.model.info)
        checkpoint["tokenizer"] = self.model.tokenizer.to_dict()
        checkpoint["skipped"] = self.skipped.state_dict()
        limits = {name: splitter.limit for name, splitter in self.memory.items()}
        checkpoint["memory_limits"] = of_all_processes(self.trainer, limits)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what ``on_save_checkpoint`` gave; states of older versions lack some of it."""
        super().on_load_checkpoint(checkpoint)
        self.model = replace(self.model, info=checkpoint.get("info", self.model.info))
        if "memory_limits" not in checkpoint:
            return
        self.skipped.load_state_dict(checkpoint["skipped"])
        limits: list[dict[str, float]] = checkpoint["memory_limits"]
        if len(limits) == self.trainer.world_size:
            limits = [limits[self.global_rank]]
        for name, splitter in self.memory.items():
            splitter.limit = min(found[name] for found in limits)

    def on_train_epoch_start(self) -> None:
        """Let attention begin with what CTC has learnt."""
        if self.attention_has_begun and self.training_config.ctc_weight > 0:
            begun = self.network.begin_attention()
            if self.average is not None:
                self.average.restart(begun)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Joint loss of one batch; its gradient is computed here, and handed out afterwards.

        A batch that runs out of memory, forward or backward, is computed in parts. With the
        gradients at hand when Lightning asks for them, all else stays its own: accumulation,
        precision, the mean over processes, clipping and the step. Manual optimisation would have to
        do each of these again; and a backward pass that breaks off after it began to share its
        gradients would leave the other processes waiting. The price is that gradients are shared
        when all of them are there, and not while the last are being computed.

        A batch that no step can be made of gives gradients that are not finite: by the mean over
        processes all of them learn of it.
        """
        tokens = self._tokens_of(batch.texts)

        def losses_of(part: Batch, rows: range) -> dict[str, Tensor]:
            if len(rows) < len(batch.ids):
                self.seed_step(batch_idx, rows.start, rows.stop)
            return self._losses(part, tokens, rows, batch_idx)

        parameters = list(self.network.parameters())
        step = compute_step(batch, losses_of, self.memory["training"], parameters)
        if step.cause is None:
            for name, value in step.losses.items():
                self._log(name, value, len(batch.ids), bar=name == TOTAL)
        else:
            self._cause = self._cause.joined(step.cause)
        value = step.losses.get(TOTAL, torch.zeros((), device=self.device))
        return loss_with_gradients(value, step.gradients, parameters)

    def _losses(
        self, batch: Batch, all_tokens: Sequence[list[int]], rows: range, batch_idx: int
    ) -> dict[str, Tensor]:
        """What utterances of a batch add to the losses of the whole batch.

        The losses are means over the tokens of the whole batch, so the sums over its parts are
        those of the whole. The policy gradient of hard attention alone is another one in parts: its
        baseline is the mean of the utterances that are computed together.

        Args:
            batch: some utterances of a batch.
            all_tokens: of all utterances of that batch.
            rows: places of the utterances in it.
            batch_idx: number of the batch in its epoch.
        """
        config = self.training_config
        tokens = [all_tokens[i] for i in rows]
        texts = max(sum(map(len, tokens)), 1) / max(sum(map(len, all_tokens)), 1)
        ends = sum(len(row) + 1 for row in tokens) / sum(len(row) + 1 for row in all_tokens)
        augmentation = masks_at(self.progress_at(batch_idx), self.augmentation)
        views = 2 if config.ctc_consistency else 1
        *middle, (memory, lengths) = self.network.encode_layers(
            batch.waveforms, batch.lengths, self.middle_layers, augmentation, views
        )
        losses: dict[str, Tensor] = {}
        loss = memory.new_zeros(())
        if config.ctc_weight > 0 or not self.attention_has_begun:
            log_probs, of_views = self.network.ctc_log_probs(memory), tokens * views
            ctc = texts * ctc_loss(log_probs, lengths, of_views)
            losses["train/ctc_loss"] = ctc
            for states, steps in middle:
                below = texts * ctc_loss(self.network.ctc_log_probs(states), steps, of_views)
                losses["train/intermediate_ctc_loss"] = below
                ctc = torch.lerp(ctc, below, config.intermediate_ctc)
            if config.ctc_consistency:
                apart = texts * ctc_consistency_loss(log_probs, lengths, of_views)
                losses["train/ctc_consistency_loss"] = apart
                ctc = ctc + config.ctc_consistency * apart
            loss = loss + (config.ctc_weight if self.attention_has_begun else 1.0) * ctc
        if self.attention_has_begun:
            memory, lengths = memory[: len(tokens)], lengths[: len(tokens)]
            inputs, targets = targets_of(tokens, self.device)
            progress = attention_progress(self.progress_at(batch_idx), config.ctc_warmup)
            output = self.network.speller(
                memory, lengths, inputs, config.scheduled_sampling * progress
            )
            attention = ends * attention_loss(output.logits, targets, config.label_smoothing)
            losses["train/attention_loss"] = attention
            loss = loss + (1.0 - config.ctc_weight) * attention
            counts = torch.tensor([len(row) + 1 for row in tokens], device=self.device)
            guidance = guidance_at(progress, config)
            if guidance > 0:
                if config.guided_by == "ctc":
                    places = heard_steps(log_probs[: len(tokens)], lengths, tokens)
                    width = GUIDED_SECONDS / self.network.seconds_per_step
                    guided = attention_elsewhere_loss(output.weights, places, counts, width)
                else:
                    guided = guided_attention_loss(output.weights, counts, lengths)
                losses["train/guided_attention_loss"] = ends * guided
                loss = loss + guidance * ends * guided
            if config.monotonicity > 0:
                back = texts * monotonicity_loss(output.weights, counts, lengths)
                loss = loss + config.monotonicity * back
            if output.choices.requires_grad:
                policy = ends * score_function_loss(output.choices, output.logits, targets)
                loss = loss + config.score_function * policy
        return {TOTAL: loss, **losses}

    def _tokens_of(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of training texts, cut in another way at each step if ``sampling`` says so."""
        tokenizer = self.model.tokenizer
        if not self.sampling or not isinstance(tokenizer, SubwordTokenizer | SymbolTokenizer):
            return [tokenizer.encode(text) for text in texts]
        # torch was seeded for this step; nothing is taken from its numbers
        random = np.random.default_rng(torch.initial_seed())
        return [tokenizer.sample(text, self.sampling, random) for text in texts]

    def _log(self, name: str, value: Tensor | float, size: int, bar: bool = False) -> None:
        self.log(name, value, batch_size=size, prog_bar=bar, on_step=bar, on_epoch=True)

    def on_validation_epoch_start(self) -> None:
        """Start counting errors."""
        names = ["ctc_wer", "ctc_cer"] if self.training_config.ctc_weight > 0 else []
        names += ["wer", "cer"] if self.attention_has_begun else []
        self._errors = {name: ErrorCounts() for name in names}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Recognise one batch greedily, by attention and by CTC."""
        for errors in self.memory["validation"].run(batch, self._recognition_errors):
            for name, counts in errors.items():
                self._errors[name] += counts

    def _recognition_errors(self, batch: Batch, _: range) -> dict[str, ErrorCounts]:
        """Errors by CTC and by attention, of words and of characters; none of what is not trained.

        Returns:
            Counts by the names that the rates are logged with.
        """
        decode = self.model.tokenizer.decode
        found: dict[str, list[str]] = {}
        memory, lengths = self.network.encode(batch.waveforms, batch.lengths)
        if "ctc_wer" in self._errors:
            paths = ctc_greedy_search(self.network.ctc_log_probs(memory), lengths)
            found["ctc_"] = [decode(path) for path in paths]
        if "wer" in self._errors:
            hypotheses = greedy_search(self.network.speller, memory, lengths, SearchConfig())
            found[""] = [decode(hypothesis.tokens) for hypothesis in hypotheses]
        return {
            f"{by}{'cer' if characters else 'wer'}": count_errors(
                batch.texts, texts, characters=characters
            )
            for by, texts in found.items()
            for characters in (False, True)
        }

    def on_validation_epoch_end(self) -> None:
        """Log error rates over all processes."""
        for name, counts in self._errors.items():
            shown = name in ("wer", "cer")
            rate = self._pooled_rate(counts)
            self.log(f"val/{name}", rate, prog_bar=shown, rank_zero_only=True)

    def _pooled_rate(self, counts: ErrorCounts) -> float:
        totals = torch.tensor([counts.errors, counts.total], dtype=torch.float64)
        if self.trainer.world_size > 1:
            totals = cast(
                Tensor, self.trainer.strategy.reduce(totals.to(self.device), reduce_op="sum")
            )
        return float(totals[0] / totals[1].clamp(min=1.0))

    def on_train_epoch_end(self) -> None:
        """Locate the words by CTC where ``training.align_at`` says so."""
        if self.locates_words_after(self.current_epoch):
            self.speech.cuts = {**self.speech.cuts, **self._locate_words()}

    def locates_words_after(self, epoch: int) -> bool:
        """Whether words are located at the end of an epoch (from 0)."""
        before, after = epoch / self.epochs, (epoch + 1) / self.epochs
        return any(before < share <= after for share in self.training_config.align_at)

    @torch.inference_mode()
    def _locate_words(self) -> dict[str, list[float]]:
        """Word boundaries in seconds of all training utterances that CTC can align."""
        self.network.eval()
        found: dict[str, list[float]] = {}
        batches = self.speech.utterance_batches(
            self.speech.train, self.global_rank, self.trainer.world_size
        )
        for k in range(len(batches)):
            batch = batches[k]
            self.speech.note_faults("train", batch)
            for cuts in self.memory["validation"].run(batch, self._words_in):
                found |= cuts
        self.network.train()
        parts = of_all_processes(self.trainer, found)
        return {name: cuts for part in parts for name, cuts in part.items()}

    def _words_in(self, batch: Batch, _: range) -> dict[str, list[float]]:
        """Word boundaries in seconds of the utterances of a batch that CTC can align."""
        with self.trainer.precision_plugin.forward_context():
            return words_in(self.model, batch)
