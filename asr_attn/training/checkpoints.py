"""Keeping what a run has learnt: state to resume from, and the best models."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint, Timer
from lightning.pytorch.plugins.io import TorchCheckpointIO

from asr_attn.checkpoint import MODEL_FILE, load_model, save_model
from asr_attn.errors import ConfigError
from asr_attn.files import atomic_path
from asr_attn.lm.neural_file import LM_FILE
from asr_attn.settings import CallbacksConfig, TrainerConfig
from asr_attn.training.processes import any_process
from asr_attn.training.task import RecognizerTask

RESUME_FILE = "last.ckpt"
BEST_FOLDER = "best"
RATES = ("wer", "cer")
"""Error rates on the validation set: of words and of characters."""
AVERAGED = "dev_wer_interval"
"""What ``info`` of the model file says when all of a run is done."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames: the state saved before stays until this is whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write the state of a run.

        Raises:
            InputError: it cannot be written.
        """
        with atomic_path(Path(path)) as scratch:
            try:
                # by Python's file: torch's own says nothing of why it could not write
                with scratch.open("wb") as file:
                    torch.save(checkpoint, file)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from error
                raise


def check_resume_file(path: Path, trainer: TrainerConfig, patience: int) -> None:
    """See that a run can go on from its saved state.

    Args:
        path: of the state.
        trainer: settings with which it is to go on.
        patience: ``callbacks.patience`` of the run.

    Raises:
        ConfigError: the file is damaged, or the run is finished.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        done = state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
        own = next(kept for kept in state["callbacks"].values() if "stale" in kept)
        stale, best = own["stale"], own.get("best")
        timer = state["callbacks"].get(Timer.__qualname__, {"time_elapsed": {}})
        seconds = timer["time_elapsed"].get("train", 0.0)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ConfigError(
            f"{path}: is damaged and cannot be resumed from; use the run's {MODEL_FILE}, or start "
            "a new run"
        ) from error
    run, epochs = path.parent, trainer.max_epochs
    limit = Timer(trainer.max_time).time_remaining()
    out_of_time = limit is not None and limit <= seconds
    out_of_patience = 0 < patience <= stale
    if done < epochs and not (out_of_time or out_of_patience):
        return
    if done > epochs:
        raise ConfigError(
            f"resume={run}: this run has done {done} epochs, more than "
            f"trainer.max_epochs={epochs}; with trainer.max_epochs={done} it ends here"
        )
    if _end_is_missing(run, measured=bool(best)):
        return
    if done >= epochs:
        raise ConfigError(
            f"resume={run}: this run has finished its {epochs} epochs; to train on, raise "
            "trainer.max_epochs"
        )
    if out_of_patience:
        raise ConfigError(
            f"resume={run}: this run has finished after {done} epochs, by "
            f"callbacks.patience={patience}; start a new run to train on"
        )
    raise ConfigError(
        f"resume={run}: this run has used its trainer.max_time={trainer.max_time}; to train on, "
        "give it more, as in trainer.max_time=DD:HH:MM:SS, or null for no limit"
    )


def _end_is_missing(run: Path, measured: bool) -> bool:
    """Whether a run was killed between its last epoch and the model file that it ends with.

    Args:
        run: its folder.
        measured: whether it has validated models, whose average is made last.
    """
    if measured:
        return not (run / MODEL_FILE).is_file() or AVERAGED not in load_model(run).info
    return not any((run / name).is_file() for name in (MODEL_FILE, LM_FILE))


class StopRequested(Exception):  # noqa: N818 - not an error
    """Training was asked to stop and has saved its state."""


@dataclass(frozen=True)
class Kept:
    """One of the best models so far, and its error rate on the validation set."""

    rate: float
    file: str
    epoch: int


class RunCheckpoints(Checkpoint):
    """Saves the state to resume from and the best models, and stops when nothing improves.

    ``monitor`` names the error rate that models are ranked by, "wer" or "cer".

    Args:
        folder: of the run.
        config: numbers.
        settled: share of the training from which on patience counts.
    """

    def __init__(self, folder: Path, config: CallbacksConfig, settled: float) -> None:
        self.folder = folder
        self.config = config
        self.settled = settled
        self.monitor = "wer"
        self.best: list[Kept] = []
        self._obsolete: list[Kept] = []
        self._stale = 0
        self._saved_within = False
        """Whether the state is saved within an epoch that ``trainer.max_time`` has cut short."""
        self._last_save = time.monotonic()
        self.stop_requested = False
        """Set to save and stop as soon as the state to resume from is a clean one."""

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs, as builtins."""
        return {
            "monitor": self.monitor,
            "best": [[k.rate, k.file, k.epoch] for k in self.best],
            "stale": self._stale,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave; states of older versions are ranked by WER."""
        self.monitor = state_dict.get("monitor", "wer")
        self.best = [Kept(*entry) for entry in state_dict["best"]]
        self._stale = state_dict["stale"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Train no further where the run had ended before it was interrupted.

        The folder is the main process's: another one may have made another name by its clock.
        """
        self.folder = trainer.strategy.broadcast(self.folder)
        out_of_patience = 0 < self.config.patience <= self._stale
        trainer.should_stop = trainer.should_stop or out_of_patience

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
        if trainer.is_last_batch:
            return
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            trainer.should_stop = False  # the timer sets it again after the next batch
            return
        due = time.monotonic() - self._last_save > 60 * self.config.save_minutes
        if not any_process(trainer, due or self.stop_requested or trainer.should_stop):
            return
        self.save_resume_state(trainer)
        self._saved_within = trainer.should_stop
        if any_process(trainer, self.stop_requested):
            raise StopRequested

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save at the end of every epoch, and stop if asked to.

        An epoch that ``trainer.max_time`` cuts short counts as over for Lightning. What is saved
        stays the state within it, so that a run that gets more time leaves nothing out.
        """
        if not self._saved_within:
            self.save_resume_state(trainer)
        if any_process(trainer, self.stop_requested):
            raise StopRequested

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the model if it is one of the best so far."""
        task = cast(RecognizerTask, pl_module)
        if trainer.sanity_checking or not task.attention_has_begun:
            return
        rate = float(trainer.callback_metrics[f"val/{self.monitor}"])
        improved = not self.best or rate < self.best[0].rate
        epoch = trainer.current_epoch
        self._keep(Kept(rate, f"epoch={epoch:04d}.safetensors", epoch), task, trainer)
        if epoch / task.epochs >= self.settled:
            self._stale = 0 if improved else self._stale + 1
            if self.config.patience and self._stale >= self.config.patience:
                trainer.should_stop = True

    def _keep(self, new: Kept, task: RecognizerTask, trainer: pl.Trainer) -> None:
        """File a model among the best; ties go to the later one, which has learnt for longer."""
        ranked = sorted([*self.best, new], key=lambda k: (k.rate, -k.epoch))
        self.best = ranked[: self.config.keep_best]
        self._obsolete += ranked[self.config.keep_best :]
        if new in self.best and trainer.is_global_zero:
            rates = {f"dev_{n}": float(trainer.callback_metrics[f"val/{n}"]) for n in RATES}
            chosen = {"epoch": new.epoch, "monitor": self.monitor, **rates}
            info = {**task.model.info, **chosen}
            path = self.folder / BEST_FOLDER / new.file
            save_model(path, replace(task.model, info=info))
            if self.best[0] == new:
                with atomic_path(self.folder / MODEL_FILE) as scratch:
                    shutil.copyfile(path, scratch)
