"""Keeping what a run has learnt: state to resume from, the best models, and their average."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from asr_attn.checkpoint import MODEL_FILE, load_model, save_model
from asr_attn.errors import ConfigError
from asr_attn.files import atomic_path
from asr_attn.settings import CallbacksConfig
from asr_attn.training.task import RecognizerTask

RESUME_FILE = "last.ckpt"
BEST_FOLDER = "best"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames: the state saved before stays until this is whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write the state of a run."""
        with atomic_path(Path(path)) as scratch:
            torch.save(checkpoint, scratch)


def check_resume_file(path: Path, epochs: int) -> None:
    """See that a run can go on from its saved state.

    Raises:
        ConfigError: the file is missing or damaged, or the run is finished.
    """
    if not path.is_file():
        raise ConfigError(
            f"resume={path.parent}: there is no {path.name} in it; name the folder of a run that "
            "was stopped, or start a new run without resume"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        done = state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ConfigError(
            f"{path}: is damaged and cannot be resumed from; use the run's {MODEL_FILE}, or start "
            "a new run"
        ) from error
    if done >= epochs:
        raise ConfigError(
            f"resume={path.parent}: this run has finished its {epochs} epochs; to train on, raise "
            "trainer.max_epochs"
        )


class StopRequested(Exception):  # noqa: N818 - not an error
    """Training was asked to stop and has saved its state."""


@dataclass(frozen=True)
class Kept:
    """One of the best models so far."""

    wer: float
    file: str
    epoch: int


class RunCheckpoints(Checkpoint):
    """Saves the state to resume from and the best models, and stops when nothing improves.

    Args:
        folder: of the run.
        config: numbers.
        settled: share of the training from which on patience counts.
    """

    def __init__(self, folder: Path, config: CallbacksConfig, settled: float) -> None:
        self.folder = folder
        self.config = config
        self.settled = settled
        self.best: list[Kept] = []
        self._obsolete: list[Kept] = []
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
        """Write the state to resume from, and only then delete models it does not name."""
        trainer.save_checkpoint(self.folder / RESUME_FILE)
        if trainer.is_global_zero:
            for entry in self._obsolete:
                (self.folder / BEST_FOLDER / entry.file).unlink(missing_ok=True)
        self._obsolete = []
        self._last_save = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save now and then within long epochs, and stop if asked to.

        Not between batches of one optimizer step, whose gradients would be lost, and not after
        the last batch: what belongs to the epoch's end would be left undone.
        """
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        due = time.monotonic() - self._last_save > 60 * self.config.save_minutes
        if not _any_process(trainer, due or self.stop_requested):
            return
        self.save_resume_state(trainer)
        if _any_process(trainer, self.stop_requested):
            raise StopRequested

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of every epoch, and stop if asked to."""
        self.save_resume_state(trainer)
        if _any_process(trainer, self.stop_requested):
            raise StopRequested

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the model if it is one of the best so far."""
        task = cast(RecognizerTask, pl_module)
        if trainer.sanity_checking or not task.attention_has_begun:
            return
        wer = float(trainer.callback_metrics["val/wer"])
        improved = not self.best or wer < self.best[0].wer
        epoch = trainer.current_epoch
        self._keep(Kept(wer, f"epoch={epoch:04d}.safetensors", epoch), task, trainer)
        if epoch / task.epochs >= self.settled:
            self._stale = 0 if improved else self._stale + 1
            if self.config.patience and self._stale >= self.config.patience:
                trainer.should_stop = True

    def _keep(self, new: Kept, task: RecognizerTask, trainer: pl.Trainer) -> None:
        """File a model among the best; ties go to the later one, which has learnt for longer."""
        ranked = sorted([*self.best, new], key=lambda k: (k.wer, -k.epoch))
        self.best = ranked[: self.config.keep_best]
        self._obsolete += ranked[self.config.keep_best :]
        if new in self.best and trainer.is_global_zero:
            info = {**task.model.info, "epoch": new.epoch, "dev_wer": new.wer}
            path = self.folder / BEST_FOLDER / new.file
            save_model(path, replace(task.model, info=info))
            if self.best[0] == new:
                with atomic_path(self.folder / MODEL_FILE) as scratch:
                    shutil.copyfile(path, scratch)


def _any_process(trainer: pl.Trainer, flag: bool) -> bool:
    """Whether ``flag`` is set in any process."""
    if trainer.world_size == 1:
        return flag
    return bool(trainer.strategy.reduce_boolean_decision(flag, all=False))


def average_models(paths: list[Path]) -> dict[str, torch.Tensor]:
    """Mean of the weights of several models of one kind."""
    states = [load_model(path).network.state_dict() for path in paths]
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
