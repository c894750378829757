"""Keeping the best language model, and telling how its training goes."""

import csv
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

from asr_attn.files import blaming
from asr_attn.lm.neural_file import LM_FILE, save_lm
from asr_attn.lm.neural_perplexity import IGNORE
from asr_attn.lm.perplexity import perplexity_of
from asr_attn.lm_settings import LmCallbacksConfig
from asr_attn.settings import CallbacksConfig
from asr_attn.training.callbacks import EpochFigures
from asr_attn.training.checkpoints import RunCheckpoints
from asr_attn.training.lm_data import TokenBatch
from asr_attn.training.lm_task import LanguageModelTask
from asr_attn.training.time_left import in_words

METRICS = ("train/loss", "val/perplexity", "val/word_perplexity")
"""Metrics in the CSV file."""


class LmCheckpoints(RunCheckpoints):
    """Saves the state to resume from and the best model, and stops when nothing improves.

    Args:
        folder: of the run.
        config: numbers.
    """

    def __init__(self, folder: Path, config: LmCallbacksConfig) -> None:
        numbers = CallbacksConfig(patience=config.patience, save_minutes=config.save_minutes)
        super().__init__(folder, numbers, settled=0.0)
        self.perplexity = math.inf
        """Of the best model so far, of a token of the validation text."""
        self.word_perplexity = math.inf
        """Of a word of that text, by the same model."""
        self.diverged = False
        """Whether the perplexity of the last validation was not finite."""

    @property
    def measured(self) -> bool:
        """Whether there is a model that was validated."""
        return math.isfinite(self.perplexity)

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs, as builtins."""
        return {
            "perplexity": self.perplexity,
            "word_perplexity": self.word_perplexity,
            "stale": self._stale,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave."""
        self.perplexity = state_dict["perplexity"]
        self.word_perplexity = state_dict["word_perplexity"]
        self._stale = state_dict["stale"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the model if it is the best so far."""
        if trainer.sanity_checking:
            return
        perplexity, of_words = (float(trainer.callback_metrics[name]) for name in METRICS[1:])
        self.diverged = not math.isfinite(perplexity)
        improved = perplexity < self.perplexity
        self._stale = 0 if improved else self._stale + 1
        if improved:
            self.perplexity, self.word_perplexity = perplexity, of_words
            if trainer.is_global_zero:
                model = cast(LanguageModelTask, pl_module).model
                facts = {"epoch": trainer.current_epoch, "dev_perplexity": perplexity}
                save_lm(self.folder / LM_FILE, replace(model, info={**model.info, **facts}))
        if self.config.patience and self._stale >= self.config.patience:
            trainer.should_stop = True


class LmFigures(EpochFigures):
    """Reports each epoch: a row of a CSV file, and a line on stderr where there is no bar."""

    # a tuple of another length is another type
    HEADER = (  # type: ignore[assignment]
        "epoch",
        "step",
        "seconds",
        "speed",
        "learning_rate",
        *METRICS,
    )
    """Columns of the file. ``seconds`` of the epoch, validation included; ``speed`` of the training
    alone, in tokens per second."""

    def __init__(self, path: Path | None, lines: bool) -> None:
        super().__init__(path, lines)
        self._tokens = 0

    def sizes(self, trainer: pl.Trainer) -> list[float]:
        """All epochs are alike."""
        return [1.0] * (trainer.max_epochs or 1)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the epoch."""
        super().on_train_epoch_start(trainer, pl_module)
        self._tokens = 0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count what was trained on; other processes train on about as much."""
        self.time_left.trained(batch_idx, int(trainer.num_training_batches))
        targets = cast(TokenBatch, batch).targets
        self._tokens += trainer.world_size * int((targets != IGNORE).sum())
        self._trained = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch."""
        self.time_left.end_epoch(self._validated)
        if not trainer.is_global_zero:
            return
        metrics = {
            name: float(trainer.callback_metrics[name])
            for name in METRICS
            if name in trainer.callback_metrics and (self._validated or not name.startswith("val/"))
        }
        seconds = time.monotonic() - self._start
        speed = self._tokens / max(self._trained - self._start, 1e-9)
        if self.lines:
            figures = [f"perplexity {perplexity_of(metrics['train/loss']):.3f} in training"]
            if self._validated:
                figures.append(f"{metrics['val/perplexity']:.3f} on the validation set")
                figures.append(f"{metrics['val/word_perplexity']:.1f} of its words")
            print(
                f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {', '.join(figures)} "
                f"({seconds:.1f} s, trained at {speed:.0f} tokens/s{self.left(trainer)})",
                file=sys.stderr,
                flush=True,
            )
        if self.path is None:
            return
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(seconds, 2),
            "speed": round(speed, 1),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            **metrics,
        }
        with blaming(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.HEADER).writerow(row)


class _Bar(RichProgressBar):
    """Lightning's bar with the names that people use, and the time to the end of the run."""

    def __init__(self, figures: LmFigures) -> None:
        super().__init__(leave=False, console_kwargs={"stderr": True})
        self.figures = figures

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The loss of the step, the last validation's perplexity, and the time left."""
        shown = super().get_metrics(trainer, pl_module)
        names = {"train/loss_step": "loss", "val/perplexity": "perplexity"}
        seconds = self.figures.time_left.seconds()
        left = {} if seconds is None else {"left": in_words(seconds)}
        return {label: shown[name] for name, label in names.items() if name in shown} | left


def lm_report_callbacks(csv_file: Path | None) -> list[pl.Callback]:
    """A rich progress bar on a terminal, a line per epoch elsewhere (both on stderr), the file."""
    terminal = sys.stderr.isatty()
    figures = LmFigures(csv_file, lines=not terminal)
    return [*([_Bar(figures)] if terminal else []), figures]
