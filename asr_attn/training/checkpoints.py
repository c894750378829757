"""Keeping what a run has learnt: state to resume from, the best models, and their average."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from asr_attn.checkpoint import MODEL_FILE, TrainedModel, load_model, save_model
from asr_attn.files import atomic_path
from asr_attn.settings import CallbacksConfig
from asr_attn.training.task import RecognizerTask

RESUME_FILE = "last.ckpt"
BEST_FOLDER = "best"


@dataclass(frozen=True)
class Kept:
    """One of the best models so far."""

    wer: float
    file: str
    epoch: int


class StopRequested(Exception):  # noqa: N818 - not an error
    """Training was asked to stop and has saved its state."""


class RunCheckpoints(Checkpoint):
    """Saves the state to resume from and the best models, and stops when nothing improves.

    Args:
        folder: of the run.
        model: the model that is trained.
        config: numbers.
        settled: share of the training from which on patience counts.
    """

    def __init__(
        self, folder: Path, model: TrainedModel, config: CallbacksConfig, settled: float
    ) -> None:
        self.folder = folder
        self.model = model
        self.config = config
        self.settled = settled
        self.best: list[Kept] = []
        self._stale = 0
        self._last_save = time.monotonic()
        self.stop_requested = False
        """Set to save and stop as soon as the state to resume from is a clean one."""

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs, as builtins."""
        return {
            "best": [[k.wer, k.file, k.epoch] for k in self.best],
            "stale": self._stale,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave."""
        self.best = [Kept(*entry) for entry in state_dict["best"]]
        self._stale = state_dict["stale"]

    def save_resume_state(self, trainer: pl.Trainer) -> None:
        """Write the state to resume from; the one before stays until this one is whole."""
        path = self.folder / RESUME_FILE
        if trainer.is_global_zero:
            with atomic_path(path) as scratch:
                trainer.save_checkpoint(scratch)
        else:
            trainer.save_checkpoint(path)  # writes nothing here, but all processes must meet
        self._last_save = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Save now and then within long epochs, and stop if asked to.

        Not after the last batch: what belongs to the epoch's end would be left undone.
        """
        if trainer.is_last_batch:
            return
        stop = self._stop_agreed(trainer)
        due = time.monotonic() - self._last_save > 60 * self.config.save_minutes
        if trainer.world_size > 1:
            due = trainer.strategy.broadcast(due)
        if due or stop:
            self.save_resume_state(trainer)
        if stop:
            raise StopRequested

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of every epoch, and stop if asked to."""
        self.save_resume_state(trainer)
        if self._stop_agreed(trainer):
            raise StopRequested

    def _stop_agreed(self, trainer: pl.Trainer) -> bool:
        """Whether any process was asked to stop."""
        if trainer.world_size > 1:
            return bool(trainer.strategy.reduce_boolean_decision(self.stop_requested, all=False))
        return self.stop_requested

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the model if it is one of the best so far."""
        metrics = trainer.callback_metrics
        name = "val/wer" if "val/wer" in metrics else "val/ctc_wer"
        assert isinstance(pl_module, RecognizerTask)
        if trainer.sanity_checking or name not in metrics:
            return
        if not pl_module.attention_has_begun and pl_module.training_config.ctc_weight < 1:
            return
        wer = float(metrics[name])
        improved = not self.best or wer < self.best[0].wer
        if trainer.current_epoch / pl_module.epochs >= self.settled:
            self._stale = 0 if improved else self._stale + 1
            if self.config.patience and self._stale >= self.config.patience:
                trainer.should_stop = True
        if trainer.is_global_zero:
            self._keep(
                Kept(wer, f"epoch={trainer.current_epoch:04d}.safetensors", trainer.current_epoch)
            )

    def _keep(self, new: Kept) -> None:
        """File a model among the best; ties go to the later one, which has learnt for longer."""
        ranked = sorted([*self.best, new], key=lambda k: (k.wer, -k.epoch))
        kept, dropped = ranked[: self.config.keep_best], ranked[self.config.keep_best :]
        if new in kept:
            info = {**self.model.info, "epoch": new.epoch, "dev_wer": new.wer}
            path = self.folder / BEST_FOLDER / new.file
            save_model(path, replace(self.model, info=info))
            if kept[0] == new:
                with atomic_path(self.folder / MODEL_FILE) as scratch:
                    shutil.copyfile(path, scratch)
        self.best = kept
        for entry in dropped:
            (self.folder / BEST_FOLDER / entry.file).unlink(missing_ok=True)


def average_models(paths: list[Path]) -> dict[str, torch.Tensor]:
    """Mean of the weights of several models of one kind."""
    states = [load_model(path).network.state_dict() for path in paths]
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
