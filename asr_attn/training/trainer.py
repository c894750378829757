"""Lightning's trainer and what belongs to it, the same for all that is trained."""

import dataclasses
import errno
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException

from asr_attn.data.workers import dead_worker, worker_died
from asr_attn.errors import ConfigError, InputError, is_out_of_memory
from asr_attn.lm_settings import LmRunConfig
from asr_attn.nn.precision import bfloat16_pays
from asr_attn.settings import LoggerConfig, RunConfig, TrainerConfig
from asr_attn.shell import setting
from asr_attn.training.checkpoints import RESUME_FILE, AtomicCheckpointIO, StopRequested
from asr_attn.training.loggers import make_loggers
from asr_attn.training.processes import end_other_processes

C = TypeVar("C", RunConfig, LmRunConfig)


def optimizer_maker(
    settings: Mapping[str, Any],
) -> Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]:
    """What makes the optimizer of given parameters.

    Raises:
        ConfigError: settings that the optimizer does not take.
    """

    def make(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = instantiate(
            dict(settings), params=list(parameters), _convert_="all"
        )
        return optimizer

    try:
        make([torch.nn.Parameter(torch.zeros(1))])
    except Exception as error:  # whatever the optimizer named in the settings raises
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(f"optimizer: {reason}") from error
    return make


def with_precision(config: C) -> C:
    """The settings with ``trainer.precision=auto`` decided, so that a resumed run keeps it."""
    return replace(config, trainer=replace(config.trainer, precision=precision_for(config.trainer)))


def precision_for(config: TrainerConfig) -> str:
    """Lightning's name of the precision; ``auto`` takes bf16 where it is faster."""
    if config.precision != "auto":
        return config.precision
    if config.accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(False) else "32-true"
    if config.accelerator in ("mps", "auto") and torch.backends.mps.is_available():
        return "32-true"
    return "bf16-mixed" if bfloat16_pays() else "32-true"


def make_trainer(
    config: TrainerConfig, logger: LoggerConfig, folder: Path, callbacks: Sequence[pl.Callback]
) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers of a run.

    Raises:
        ConfigError: settings that Lightning does not take.
    """
    return _lightning_trainer(
        config,
        callbacks=list(callbacks),
        plugins=[AtomicCheckpointIO()],
        logger=make_loggers(logger, folder) or False,
        enable_checkpointing=True,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def is_main_process(config: TrainerConfig) -> bool:
    """Whether this process is the first of a run, or the only one.

    Raises:
        ConfigError: settings that Lightning does not take.
    """
    trainer = _lightning_trainer(
        config, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    return trainer.is_global_zero


def _lightning_trainer(config: TrainerConfig, **options: Any) -> pl.Trainer:
    settings = dataclasses.asdict(config)
    del settings["threads"]
    try:
        return pl.Trainer(**settings, **options, enable_model_summary=False)
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise ConfigError(f"trainer: {str(error).splitlines()[0]}") from error


@contextmanager
def failures_explained(trainer: pl.Trainer, folder: Path) -> Iterator[None]:
    """Around training: says what to do about a full disk, too little memory, and a dead worker.

    Processes that wait for one that fails here are ended.

    Raises:
        InputError: the disk is full, or memory is used up where no batch is to be split.
    """
    hook = threading.excepthook

    def quiet(thread: threading.ExceptHookArgs) -> None:
        if not _disk_is_full(thread.exc_value):  # TensorBoard writes in a thread
            hook(thread)

    threading.excepthook = quiet
    try:
        yield
    except StopRequested:
        raise
    except Exception as error:
        end_other_processes(trainer)
        if isinstance(error, ConfigError):
            raise
        if _disk_is_full(error):
            saved = " (what was saved last is whole)" if (folder / RESUME_FILE).exists() else ""
            raise InputError(
                f"{folder}: the disk is full; free some space, then go on with "
                + setting("resume", folder)
                + saved
            ) from error
        if worker_died(error):
            advice = f"go on with {setting('resume', folder)}"
            if not (folder / RESUME_FILE).exists():
                advice = f"nothing was saved yet; {advice}"
            raise dead_worker(advice) from error
        if is_out_of_memory(error):
            raise InputError(
                f"there is too little memory, and not for a batch alone; give it more, then go on "
                f"with {setting('resume', folder)}, or make the model smaller"
            ) from error
        raise
    finally:
        threading.excepthook = hook


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says so."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def quiet_lightning() -> None:
    """Keep Lightning from advertising, and from warning of what is meant here."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*num_workers.*bottleneck.*",
        ".*smaller than the logging interval.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*ended before the epoch ended.*",
        ".*already exists.*",
        ".*sync_dist=True.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*callbacks used to create the checkpoint need to be provided.*",
    ):
        warnings.filterwarnings("ignore", message)
