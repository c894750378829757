"""Stopping on request and telling how training goes."""

import signal
import sys
import time
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

from asr_attn.training.checkpoints import RunCheckpoints


class StopRequested(Exception):  # noqa: N818 - not an error
    """Training was asked to stop and has saved its state."""


class GracefulStop(pl.Callback):
    """On Ctrl-C or a termination signal: finish the batch, save the state, stop.

    A second Ctrl-C stops at once; training then resumes from the state saved last.

    Args:
        checkpoints: saves the state.
    """

    def __init__(self, checkpoints: RunCheckpoints) -> None:
        self.checkpoints = checkpoints
        self._requested = False
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
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True
        print("\nstopping after this batch and saving (again: stop at once)", file=sys.stderr)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Save and stop if asked to."""
        requested = self._requested
        if trainer.world_size > 1:
            requested = trainer.strategy.reduce_boolean_decision(requested, all=False)
        if requested:
            self.checkpoints.save_resume_state(trainer)
            raise StopRequested


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
        names = {
            "train/ctc_loss": "ctc",
            "train/attention_loss": "attention",
            "val/ctc_wer": "CTC WER",
            "val/wer": "WER",
        }
        parts = [f"{short} {float(metrics[n]):.4f}" for n, short in names.items() if n in metrics]
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
