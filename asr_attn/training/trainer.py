"""Lightning's trainer and what belongs to it, the same for all that is trained."""

import dataclasses
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from asr_attn.errors import ConfigError
from asr_attn.lm_settings import LmRunConfig
from asr_attn.settings import LoggerConfig, RunConfig, TrainerConfig
from asr_attn.training.checkpoints import AtomicCheckpointIO

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
    """Lightning's name of the precision; ``auto`` takes bf16 where hardware multiplies it."""
    if config.precision != "auto":
        return config.precision
    if config.accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(False) else "32-true"
    if config.accelerator in ("mps", "auto") and torch.backends.mps.is_available():
        return "32-true"
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16-mixed" if fast else "32-true"


def make_trainer(
    config: TrainerConfig, logger: LoggerConfig, folder: Path, callbacks: Sequence[pl.Callback]
) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers of a run.

    Raises:
        ConfigError: settings that Lightning does not take.
    """
    loggers = make_loggers(logger, folder)
    options = dataclasses.asdict(config)
    del options["threads"]
    try:
        return pl.Trainer(
            **options,
            callbacks=list(callbacks),
            plugins=[AtomicCheckpointIO()],
            logger=loggers or False,
            enable_checkpointing=True,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise ConfigError(f"trainer: {str(error).splitlines()[0]}") from error


def make_loggers(config: LoggerConfig, folder: Path) -> list[Logger]:
    """Where figures go beside ``metrics.csv``; a run is named as its folder.

    Raises:
        ConfigError: a package is missing, or the service does not take the run.
    """
    loggers: list[Logger] = []
    if config.tensorboard:
        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    try:
        if config.mlflow is not None:
            loggers.append(
                MLFlowLogger(
                    experiment_name="asr_attn", run_name=folder.name, tracking_uri=config.mlflow
                )
            )
        if config.wandb is not None:
            loggers.append(
                WandbLogger(name=folder.name, save_dir=str(folder), project=config.wandb)
            )
    except ModuleNotFoundError as error:
        name = "wandb" if "wandb" in str(error) else "mlflow"
        raise ConfigError(
            f"logger.{name}: needs the package {name}; pip install {name}, or leave it out"
        ) from error
    return loggers


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
    ):
        warnings.filterwarnings("ignore", message)
