"""Watching over attention during training: figures, pictures, and notes in plain words."""

from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl

from asr_attn.evaluation.attention_diagnosis import EpochRecord, diagnose
from asr_attn.evaluation.attention_health import AttentionHealth, attention_health, pooled
from asr_attn.training.pictures import attention_of, draw_pictures
from asr_attn.training.processes import note
from asr_attn.training.task import RecognizerTask

UTTERANCES = 8
"""Validation utterances that the figures are made of, if not more of them are drawn."""


class AttentionMonitor(pl.Callback):
    """Measures and draws the attention over the first validation utterances at each validation.

    The decoder reads the utterances' own texts, so that the figures tell how attention fares and
    not how recognition does. They are logged (see ``ATTENTION_METRICS`` in ``callbacks``), and what
    they mean is said on stderr, each finding once.

    Args:
        folder: where the pictures go, one per utterance and validation.
        pictures: how many utterances are drawn.
        settled: share of the training that learns from short examples alone.
    """

    def __init__(self, folder: Path, pictures: int, settled: float) -> None:
        self.folder = folder
        self.pictures = pictures
        self.settled = settled
        self.records: list[EpochRecord] = []
        """Of all validations since attention began. The CTC loss of an epoch that was interrupted
        and resumed is the mean of what was left of it."""
        self._began: int | None = None
        self._said: list[str] = []
        self._latest: AttentionHealth | None = None

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs, as builtins."""
        return {
            "records": [record.to_dict() for record in self.records],
            "began": self._began,
            "said": self._said,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave."""
        self.records = [EpochRecord.from_dict(record) for record in state_dict["records"]]
        self._began = state_dict["began"]
        self._said = list(state_dict["said"])

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember when attention began to learn."""
        if self._began is None and cast(RecognizerTask, pl_module).attention_has_begun:
            self._began = trainer.current_epoch

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure, log and draw, once attention is being trained."""
        task = cast(RecognizerTask, pl_module)
        utterances = task.speech.readable_dev[: max(self.pictures, UTTERANCES)]
        if trainer.sanity_checking or not trainer.is_global_zero or not task.attention_has_begun:
            return
        attention = attention_of(task, utterances)
        draw_pictures(trainer, self.folder, utterances[: self.pictures], attention)
        measured = [
            attention_health(a.weights, a.seconds_per_step, a.speech)
            for utterance, a in zip(utterances, attention)
            if utterance.text
        ]
        if not measured:
            return
        self._latest = pooled(measured)
        for name, value in figures_of(self._latest).items():
            pl_module.log(f"val/attention_{name}", value, rank_zero_only=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """File the figures beside the losses of the epoch, and say what is new."""
        if self._latest is None:
            return
        task, epoch = cast(RecognizerTask, pl_module), trainer.current_epoch
        metrics = trainer.callback_metrics
        began = epoch if self._began is None else self._began
        losses = {
            key: float(metrics[name]) if name in metrics else None
            for key, name in (("ctc_loss", "train/ctc_loss"), ("wer", "val/wer"))
        }
        progress = (epoch + 1) / task.epochs
        self.records.append(EpochRecord(epoch, epoch + 1 - began, progress, self._latest, **losses))
        self._latest = None
        for kind, sentence in diagnose(self.records, self.settled).items():
            if kind not in self._said:
                self._said.append(kind)
                note(sentence)


def figures_of(health: AttentionHealth) -> dict[str, float]:
    """The figures that are logged, by name: ``val/attention_NAME``."""
    return {
        "entropy": health.entropy,
        "diagonality": health.diagonality,
        "monotonicity": health.monotonicity,
        "coverage": health.coverage,
        "jump": health.longest_jump,
        "edges": health.edges,
        "aligned": float(health.aligned),
    }
