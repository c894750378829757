"""One training run, from settings to a model file."""

import dataclasses
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from asr_attn.checkpoint import MODEL_FILE, load_model
from asr_attn.config import CONFIG_FILE, load_settings, save_settings
from asr_attn.data.datamodule import SpeechData
from asr_attn.data.manifest import Utterance
from asr_attn.errors import ConfigError
from asr_attn.evaluation.error_rates import ErrorCounts
from asr_attn.settings import RunConfig, TrainerConfig
from asr_attn.training.callbacks import GracefulStop, MetricsFile, progress_callback
from asr_attn.training.checkpoints import RESUME_FILE, RunCheckpoints, StopRequested
from asr_attn.training.faults import check_data, ctc_warning
from asr_attn.training.finish import average_best, errors_on
from asr_attn.training.pictures import AttentionPictures
from asr_attn.training.preparation import load_data, load_manifest, new_model
from asr_attn.training.task import RecognizerTask

RESUME_MAY_CHANGE = ("max_epochs", "accelerator", "devices", "num_nodes", "strategy", "threads")
"""Settings of the trainer that may differ when a run is resumed."""


@dataclass(frozen=True)
class RunResult:
    """What came of a run.

    Attributes:
        folder: of the run.
        model: model file; None when there is none yet.
        dev_wer: its word error rate on the validation set; None when not known.
        test: its errors on the test set; None without one.
        stopped: True when the run was asked to stop and can be resumed.
        main_process: False in the further processes of a distributed run.
    """

    folder: Path
    model: Path | None = None
    dev_wer: float | None = None
    test: ErrorCounts | None = None
    stopped: bool = False
    main_process: bool = True


def fit(config: RunConfig) -> RunResult:
    """Train.

    Args:
        config: settings; with ``resume`` set, those of the run it names are used instead.

    Raises:
        InputError: settings or data that cannot be trained on.
    """
    folder = Path(config.resume or config.run_dir)
    if config.resume:
        config = resumed_settings(config, folder)
    elif (folder / CONFIG_FILE).exists() and "LOCAL_RANK" not in os.environ:
        raise ConfigError(
            f"run_dir={folder}: holds a run already; choose another folder, or go on with that "
            f"run by resume={folder}"
        )
    _quiet_lightning()
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    task, data = set_up(config)
    settled = max([config.training.ctc_warmup, *(s.until for s in config.data.loading.curriculum)])
    checkpoints = RunCheckpoints(folder, task.model, config.callbacks, settled)
    trainer = make_trainer(config, folder, checkpoints, data.dev)
    if trainer.is_global_zero and not config.resume:
        folder.mkdir(parents=True, exist_ok=True)
        save_settings(folder / CONFIG_FILE, config)
    result = RunResult(folder, main_process=trainer.is_global_zero)
    try:
        trainer.fit(
            task,
            datamodule=data,
            ckpt_path=folder / RESUME_FILE if config.resume else None,
            weights_only=True if config.resume else None,
        )
    except StopRequested:
        return replace(result, model=_existing(folder / MODEL_FILE), stopped=True)
    if not checkpoints.best or not trainer.is_global_zero:
        return result
    dev_wer = average_best(folder, checkpoints, data.dev)
    result = replace(result, model=folder / MODEL_FILE, dev_wer=dev_wer)
    if config.data.test is None:
        return result
    test = load_manifest("test", config.data, config.tokenizer.normalizer)
    return replace(result, test=errors_on(load_model(folder), test, config.search))


def set_up(config: RunConfig) -> tuple[RecognizerTask, SpeechData]:
    """What is trained, and on what."""
    train, dev = load_data(config.data, config.tokenizer.normalizer)
    torch.manual_seed(config.seed)
    model = new_model(config, train, statistics=not config.resume)
    check_data(train, dev, model, config.data)
    warning = ctc_warning(train, model, config.augmentation)
    if warning and config.training.ctc_weight > 0:
        print(f"note: {warning}", file=sys.stderr)
    data = SpeechData(
        train,
        dev,
        config.features.sample_rate,
        config.data.loading,
        config.augmentation,
        config.seed,
        config.trainer.max_epochs,
    )
    if config.data.loading.cut_at_pauses and not config.resume:
        located = data.cut_at_pauses()
        print(f"words located by pauses: {located} of {len(train)} utterances", file=sys.stderr)
    task = RecognizerTask(
        model,
        config.training,
        config.augmentation,
        config.scheduler,
        optimizer_maker(config),
        config.seed,
        config.trainer.max_epochs,
    )
    task.network.train()
    return task, data


def resumed_settings(config: RunConfig, folder: Path) -> RunConfig:
    """Settings of the run to go on with; only how it is computed may be changed."""
    if not (folder / RESUME_FILE).is_file():
        raise ConfigError(
            f"resume={folder}: there is no {RESUME_FILE} in it; name the folder of a run that "
            "was stopped, or start a new run without resume"
        )
    before = load_settings(folder / CONFIG_FILE)
    trainer = dataclasses.replace(
        before.trainer, **{name: getattr(config.trainer, name) for name in RESUME_MAY_CHANGE}
    )
    return replace(before, resume=config.resume, trainer=trainer)


def optimizer_maker(
    config: RunConfig,
) -> Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]:
    """What makes the optimizer of given parameters."""

    def make(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = instantiate(
            dict(config.optimizer), params=list(parameters), _convert_="all"
        )
        return optimizer

    return make


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
    config: RunConfig, folder: Path, checkpoints: RunCheckpoints, dev: Sequence[Utterance]
) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers of a run."""
    loggers: list[Logger] = []
    if config.logger.tensorboard:
        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    shown = dev[: config.callbacks.pictures]
    options = dataclasses.asdict(config.trainer)
    del options["threads"]
    return pl.Trainer(
        **{**options, "precision": precision_for(config.trainer)},
        callbacks=[
            GracefulStop(checkpoints),
            AttentionPictures(folder / "attention", shown),
            progress_callback(),
            *([MetricsFile(folder / "metrics.csv")] if config.logger.csv else []),
            checkpoints,
        ],
        logger=loggers or False,
        enable_checkpointing=True,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _quiet_lightning() -> None:
    """Keep Lightning from advertising, and from warning of what is meant here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*num_workers.*bottleneck.*",
        ".*smaller than the logging interval.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*ended before the epoch ended.*",
        ".*already exists.*",
        ".*isinstance.treespec, LeafSpec.*",
    ):
        warnings.filterwarnings("ignore", message)
