"""Stopping on request, and telling how training goes."""

import csv
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

from asr_attn.training.checkpoints import RunCheckpoints

LABELS = {
    "train/loss": "loss",
    "train/ctc_loss": "ctc",
    "train/attention_loss": "attention",
    "val/ctc_wer": "CTC WER",
    "val/wer": "WER",
}
"""Metrics that are reported, and what they are called on a terminal."""


class GracefulStop(pl.Callback):
    """On Ctrl-C or a termination signal: finish the batch, save the state, stop.

    A second Ctrl-C stops at once; training then resumes from the state saved last.

    Args:
        checkpoints: saves and stops.
    """

    def __init__(self, checkpoints: RunCheckpoints) -> None:
        self.checkpoints = checkpoints
        self._before: dict[int, Any] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._request)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.checkpoints.stop_requested:
            raise KeyboardInterrupt
        self.checkpoints.stop_requested = True
        print("\nsaving and stopping after this batch (again: stop at once)", file=sys.stderr)


class MetricsFile(pl.Callback):
    """Appends one row of figures per epoch to a CSV file.

    Args:
        path: of the file; rows of epochs that a resumed run does again are replaced.
    """

    HEADER = ("epoch", "step", "seconds", "learning_rate", *LABELS)

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the header, or drop rows that will be written again."""
        if not trainer.is_global_zero:
            return
        rows = []
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = [r for r in csv.DictReader(file) if int(r["epoch"]) < trainer.current_epoch]
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.HEADER)
            writer.writeheader()
            writer.writerows(rows)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the epoch."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Append a row."""
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "seconds": round(time.monotonic() - self._start, 2),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            **{name: float(metrics[name]) for name in LABELS if name in metrics},
        }
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.HEADER).writerow(row)


class EpochLines(pl.Callback):
    """One line per epoch on stderr, for where a progress bar cannot be drawn."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the epoch."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch's metrics."""
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        parts = [f"{short} {float(metrics[n]):.4f}" for n, short in LABELS.items() if n in metrics]
        print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {', '.join(parts)}"
            f" ({time.monotonic() - self._start:.1f} s)",
            file=sys.stderr,
            flush=True,
        )


def progress_callback() -> pl.Callback:
    """A rich progress bar on a terminal, a line per epoch elsewhere; both on stderr."""
    if sys.stderr.isatty():
        return RichProgressBar(leave=False, console_kwargs={"stderr": True})
    return EpochLines()
