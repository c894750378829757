"""Where figures go beside ``metrics.csv``: TensorBoard, MLflow, Weights & Biases."""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from asr_attn.errors import ConfigError
from asr_attn.settings import LoggerConfig
from asr_attn.training.processes import note

EXPERIMENT = "asr_attn"
"""Name of the experiment in MLflow."""
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""MLflow waits minutes for a server that is away, unless the environment says otherwise."""


class PatientMlflow(MLFlowLogger):
    """A logger without which training goes on when its server fails."""

    _failed = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send figures; after a failure, none any more."""
        if self._failed:
            return
        try:
            super().log_metrics(metrics, step)
        except Exception as error:  # whatever a server or the way to it may do
            self._failed = True
            note(f"logger.mlflow: {_sentence(error)}; no more figures are sent there")

    def finalize(self, status: str = "success") -> None:
        """Mark the end of the run."""
        if self._failed:
            return
        try:
            super().finalize(status)
        except Exception as error:
            note(f"logger.mlflow: {_sentence(error)}; the end of the run is not marked there")


def reach_loggers(config: LoggerConfig, folder: Path) -> None:
    """Make sure that what gets figures takes them, before a run begins in ``folder``.

    Raises:
        ConfigError: a package is missing, a server does not answer, nobody is logged in, or
            TensorBoard has no name for the folder.
    """
    if config.tensorboard:
        _refuse_undecodable(folder)
    if config.mlflow is not None:
        client = _package("mlflow", "mlflow.tracking").MlflowClient
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        try:
            client(config.mlflow).get_experiment_by_name(EXPERIMENT)
        except Exception as error:
            raise ConfigError(f"logger.mlflow={config.mlflow}: {_mlflow_advice(error)}") from error
    if config.wandb is not None:
        wandb = _package("wandb", "wandb")
        try:
            wandb.login(verify=True)
        except Exception as error:
            raise ConfigError(
                f"logger.wandb={config.wandb}: {_sentence(error)}; or set the environment variable "
                "WANDB_MODE=offline and send the figures later by `wandb sync`, or leave "
                "logger.wandb out"
            ) from error


def _refuse_undecodable(folder: Path) -> None:
    """Refuse a folder whose name is not UTF-8: TensorBoard cannot write to it."""
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"logger.tensorboard: cannot write to {folder}, a name that is not UTF-8; choose "
            "another run_dir, or set logger.tensorboard=false"
        ) from error


def _mlflow_advice(error: Exception) -> str:
    if "MLFLOW_ALLOW_FILE_STORE" in str(error):
        return (
            "this version of MLflow keeps no runs in folders unless the environment variable "
            "MLFLOW_ALLOW_FILE_STORE is true; name a database, as in "
            "logger.mlflow=sqlite:///mlruns.db"
        )
    return (
        f"cannot be used: {_sentence(error)}; see that the server runs (`mlflow server`) and that "
        "the address is right, or leave logger.mlflow out"
    )


def make_loggers(config: LoggerConfig, folder: Path) -> list[Logger]:
    """The loggers of a run, which is named as its folder."""
    loggers: list[Logger] = []
    if config.tensorboard:
        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    if config.mlflow is not None:
        _package("mlflow", "mlflow")
        loggers.append(
            PatientMlflow(
                experiment_name=EXPERIMENT, run_name=folder.name, tracking_uri=config.mlflow
            )
        )
    if config.wandb is not None:
        _package("wandb", "wandb")
        loggers.append(WandbLogger(name=folder.name, save_dir=str(folder), project=config.wandb))
    return loggers


def begin_runs(trainer: pl.Trainer) -> None:
    """Begin the run at the services; they may still refuse it.

    Raises:
        ConfigError: one does.
    """
    for logger in trainer.loggers:
        if isinstance(logger, MLFlowLogger | WandbLogger):
            try:
                _ = logger.experiment
            except Exception as error:
                name = "mlflow" if isinstance(logger, MLFlowLogger) else "wandb"
                raise ConfigError(
                    f"logger.{name}: {_sentence(error)}; mend that, or leave logger.{name} out"
                ) from error


def _package(name: str, module: str) -> Any:
    """A module of a package that need not be there.

    Raises:
        ConfigError: it is not.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"logger.{name}: needs the package {error.name}; pip install {error.name}, or leave "
            f"logger.{name} out"
        ) from error


def _sentence(error: Exception) -> str:
    """The beginning of what a library says."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(". ")
