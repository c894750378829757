"""Stopping on request, and telling how training goes."""

import csv
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

from asr_attn.data.batches import Batch
from asr_attn.data.datamodule import SpeechData
from asr_attn.files import atomic_path, blaming
from asr_attn.training.checkpoints import RunCheckpoints
from asr_attn.training.processes import in_main_process
from asr_attn.training.task import RecognizerTask
from asr_attn.training.time_left import TimeLeft, in_words

LABELS = {
    "train/loss": "loss",
    "train/ctc_loss": "ctc",
    "train/attention_loss": "attention",
    "val/ctc_wer": "CTC WER",
    "val/ctc_cer": "CTC CER",
    "val/wer": "WER",
    "val/cer": "CER",
}
"""Metrics that are reported on a terminal, and what they are called there."""
HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""The signal that the terminal is gone; Windows has none."""
ATTENTION_WORK = 1.8
"""About how much longer an epoch takes that trains attention, for one by CTC alone."""

METRICS = (
    "train/loss",
    "train/ctc_loss",
    "train/intermediate_ctc_loss",
    "train/ctc_consistency_loss",
    "train/attention_loss",
    "train/guided_attention_loss",
    "val/attention_entropy",
    "val/attention_diagonality",
    "val/attention_monotonicity",
    "val/attention_coverage",
    "val/attention_jump",
    "val/attention_edges",
    "val/attention_aligned",
    "val/ctc_wer",
    "val/ctc_cer",
    "val/wer",
    "val/cer",
)
"""Metrics in the CSV file; what those of attention mean is told in ``AttentionHealth``."""


class GracefulStop(pl.Callback):
    """On Ctrl-C, a termination signal or the end of the terminal: finish the batch, save, stop.

    A second Ctrl-C or termination signal stops at once; what was learnt since the last save is
    lost. A terminal that closes may say so more than once.

    Args:
        checkpoints: saves and stops.
    """

    def __init__(self, checkpoints: RunCheckpoints) -> None:
        self.checkpoints = checkpoints
        self._before: dict[int, Any] = {}
        self._process: int | None = None
        self._terminals: list[int] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals, also from Lightning.

        With several processes, its handler of termination waits for processes that wait for this.
        """
        self._process = os.getpid()
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        for number in (signal.SIGINT, signal.SIGTERM, HANGUP):
            # nohup has the end of the terminal ignored
            if number is not None and (
                number != HANGUP or signal.getsignal(number) != signal.SIG_IGN
            ):
                self._before[number] = signal.signal(number, self._request)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _request(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a process that reads audio: its parent will end it
            return
        if number == HANGUP:
            self._leave_terminals()
            self.checkpoints.stop_requested = True
            return
        if self.checkpoints.stop_requested:
            _note("stopped at once; what was learnt since the last save is lost\n")
            raise SystemExit(130)
        self.checkpoints.stop_requested = True
        _note("\nsaving and stopping after this batch (again: stop at once)\n")

    def _leave_terminals(self) -> None:
        """Write to nowhere what would go to a terminal, where it would fail now."""
        for number in self._terminals:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
        self._terminals = []


def _note(text: str) -> None:
    """Write from within a signal handler, where ``print`` may not be entered twice.

    The main process does: Ctrl-C reaches all of them.
    """
    if in_main_process():
        with suppress(OSError):  # nobody reads it any more
            os.write(2, text.encode())


class EpochFigures(pl.Callback):
    """Reports each epoch: a row of a CSV file, and a line on stderr where there is no bar.

    Args:
        path: of the CSV file; None writes none.
        lines: print lines.
    """

    HEADER = ("epoch", "step", "seconds", "speed", "learning_rate", *METRICS)
    """Columns of the file. ``seconds`` of the epoch, validation included; ``speed`` of the training
    alone, in seconds of audio per second."""

    def __init__(self, path: Path | None, lines: bool) -> None:
        self.path = path
        self.lines = lines
        self.time_left = TimeLeft()
        self._start = self._trained = time.monotonic()
        self._audio = 0.0
        self._validated = False

    def sizes(self, trainer: pl.Trainer) -> list[float]:
        """How much work each epoch is, in any unit."""
        data = cast(SpeechData, trainer.datamodule)  # type: ignore[attr-defined]
        task = cast(RecognizerTask, trainer.lightning_module)
        to_come = range(trainer.current_epoch, task.epochs)
        located = next((epoch + 1 for epoch in to_come if task.locates_words_after(epoch)), None)
        return [
            seconds * (ATTENTION_WORK if task.trains_attention(epoch) else 1.0)
            for epoch, seconds in enumerate(data.epoch_seconds(located))
        ]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the header; rows of epochs that a resumed run does again are dropped."""
        self._start_clock(trainer)  # also of an epoch that is resumed, which does not start
        if self.path is None or not trainer.is_global_zero:
            return
        rows = []
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = [r for r in csv.DictReader(file) if _before(r, trainer.current_epoch)]
        with (
            atomic_path(self.path) as scratch,
            scratch.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self.HEADER, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the epoch."""
        self._start_clock(trainer)

    def _start_clock(self, trainer: pl.Trainer) -> None:
        self._start = self._trained = time.monotonic()
        self._audio = 0.0
        self._validated = False
        every = trainer.check_val_every_n_epoch or 1
        self.time_left.begin_epoch(trainer.current_epoch, self.sizes(trainer), every)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count what was trained on; other processes train on about as much."""
        self.time_left.trained(batch_idx, int(trainer.num_training_batches))
        rate = cast(RecognizerTask, pl_module).speech.sample_rate
        self._audio += trainer.world_size * int(batch.lengths.sum()) / rate
        self._trained = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember that this epoch has error rates of its own."""
        self._validated = True

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
        speed = self._audio / max(self._trained - self._start, 1e-9)
        if self.lines:
            figures = ", ".join(
                f"{label} {metrics[name]:.4f}" for name, label in LABELS.items() if name in metrics
            )
            print(
                f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {figures} "
                f"({seconds:.1f} s, trained at {speed:.0f} x real time{self.left(trainer)})",
                file=sys.stderr,
                flush=True,
            )
        if self.path is not None:
            row = {
                "epoch": trainer.current_epoch,
                "step": trainer.global_step,
                "seconds": round(seconds, 2),
                "speed": round(speed, 1),
                "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
                **metrics,
            }
            with (
                blaming(self.path),
                self.path.open("a", newline="", encoding="utf-8") as file,
            ):
                csv.DictWriter(file, self.HEADER).writerow(row)

    def left(self, trainer: pl.Trainer) -> str:
        """The time to the end of the run, for the end of a line; nothing after the last epoch."""
        seconds = self.time_left.seconds()
        if seconds is None or trainer.current_epoch + 1 == trainer.max_epochs:
            return ""
        return f", {in_words(seconds)} left"


def _before(row: dict[str, str], epoch: int) -> bool:
    """Whether a row of the file is whole and of an earlier epoch."""
    return str(row.get("epoch")).isdecimal() and int(row["epoch"]) < epoch


class _Bar(RichProgressBar):
    """Lightning's bar with the names that people use, and the time to the end of the run."""

    def __init__(self, figures: EpochFigures) -> None:
        super().__init__(leave=False, console_kwargs={"stderr": True})
        self.figures = figures

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The loss of the step, the last validation's errors, and the time that is left."""
        shown = super().get_metrics(trainer, pl_module)
        names = {"train/loss_step": "loss", "val/wer": "WER", "val/cer": "CER"}
        seconds = self.figures.time_left.seconds()
        left = {} if seconds is None else {"left": in_words(seconds)}
        return {label: shown[name] for name, label in names.items() if name in shown} | left


def report_callbacks(csv_file: Path | None) -> list[pl.Callback]:
    """A rich progress bar on a terminal, a line per epoch elsewhere (both on stderr), the file."""
    terminal = sys.stderr.isatty()
    figures = EpochFigures(csv_file, lines=not terminal)
    return [*([_Bar(figures)] if terminal else []), figures]
