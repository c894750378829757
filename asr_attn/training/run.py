"""One training run, from settings to a model file."""

import dataclasses
import logging
import sys
import warnings
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import torch
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from asr_attn.checkpoint import MODEL_FILE, load_model
from asr_attn.config import CONFIG_FILE, load_settings, save_settings
from asr_attn.data.datamodule import SpeechData
from asr_attn.errors import AudioError, ConfigError
from asr_attn.evaluation.error_rates import ErrorCounts
from asr_attn.settings import RunConfig, TrainerConfig
from asr_attn.training.callbacks import GracefulStop, report_callbacks
from asr_attn.training.checkpoints import (
    RESUME_FILE,
    AtomicCheckpointIO,
    RunCheckpoints,
    StopRequested,
    check_resume_file,
)
from asr_attn.training.faults import check_data, notes_on_data
from asr_attn.training.finish import average_best, errors_on
from asr_attn.training.health import AttentionMonitor
from asr_attn.training.preparation import (
    load_data,
    load_manifest,
    new_model,
    started_model,
    with_settings_of_start,
)
from asr_attn.training.task import RecognizerTask

RESUME_MAY_CHANGE = {
    f"trainer.{name}"
    for name in ("max_epochs", "accelerator", "devices", "num_nodes", "strategy", "threads")
}
"""Settings that may differ when a run is resumed."""


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


def fit(config: RunConfig, changed: Collection[str] = ()) -> RunResult:
    """Train.

    Args:
        config: settings; with ``resume`` set, those of the run it names are used instead.
        changed: with ``resume``, the keys whose values are to be taken from ``config``.

    Raises:
        InputError: settings or data that cannot be trained on.
    """
    folder = Path(config.resume or config.run_dir)
    if config.resume:
        config = resumed_settings(config, changed)
    else:
        config = with_settings_of_start(with_precision(config))
    quiet_lightning()
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    settled = max([config.training.ctc_warmup, *(s.until for s in config.data.loading.curriculum)])
    checkpoints = RunCheckpoints(folder, config.callbacks, settled)
    trainer = make_trainer(config, folder, checkpoints)
    if trainer.is_global_zero and not config.resume:
        refuse_used_folder(folder)
    task, data = set_up(config)
    if trainer.is_global_zero:
        make_folder(folder)
        save_settings(folder / CONFIG_FILE, replace(config, resume=None))
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
    except AudioError as error:
        raise AudioError(f"{error}; then go on with resume={folder}") from error
    if not checkpoints.best or not trainer.is_global_zero:
        return result
    dev_wer = average_best(folder, checkpoints, data.dev, task.device)
    result = replace(result, model=folder / MODEL_FILE, dev_wer=dev_wer)
    if config.data.test is None:
        return result
    test = load_manifest("test", config.data, config.tokenizer.normalizer)
    try:
        errors = errors_on(load_model(folder, task.device), test, config.search)
    except AudioError as error:
        print(f"note: the test set is not measured: {error}", file=sys.stderr)
        return result
    return replace(result, test=errors)


def refuse_used_folder(folder: Path) -> None:
    """Make sure that a new run does not write over another.

    Raises:
        ConfigError: the folder holds a run already.
    """
    if (folder / CONFIG_FILE).exists():
        raise ConfigError(
            f"run_dir={folder}: holds a run already; choose another folder, or go on with that "
            f"run by resume={folder}"
        )


def make_folder(folder: Path) -> None:
    """Make the folder of a run, once it is known that the run can start.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"run_dir={folder}: cannot be made ({error.strerror})") from error


def set_up(config: RunConfig) -> tuple[RecognizerTask, SpeechData]:
    """What is trained, and on what."""
    train, dev, test = load_data(config.data, config.tokenizer.normalizer)
    check_data(train, dev, config.data, config.trainer.devices * config.trainer.num_nodes)
    torch.manual_seed(config.seed)
    if config.start_from is not None:
        model = started_model(config, train)
    else:
        model = new_model(config, train, statistics=not config.resume)
    for note in notes_on_data(train, [*dev, *test], model, config.augmentation):
        print(f"note: {note}", file=sys.stderr)
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


def resumed_settings(config: RunConfig, changed: Collection[str]) -> RunConfig:
    """Settings of the run to go on with; only how it is computed may be changed.

    Raises:
        ConfigError: there is nothing to resume, or a key that may not be changed.
    """
    assert config.resume is not None
    folder = Path(config.resume)
    refused = sorted(set(changed) - RESUME_MAY_CHANGE - {"resume"})
    if refused:
        raise ConfigError(
            f"{', '.join(refused)}: a resumed run keeps its settings; what may be changed is "
            f"{', '.join(sorted(RESUME_MAY_CHANGE))}"
        )
    before = load_settings(folder / CONFIG_FILE)
    names = [key.removeprefix("trainer.") for key in changed if key != "resume"]
    trainer = replace(before.trainer, **{name: getattr(config.trainer, name) for name in names})
    check_resume_file(folder / RESUME_FILE, trainer.max_epochs)
    return replace(before, resume=config.resume, trainer=trainer)


def optimizer_maker(
    config: RunConfig,
) -> Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]:
    """What makes the optimizer of given parameters.

    Raises:
        ConfigError: settings that the optimizer does not take.
    """

    def make(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = instantiate(
            dict(config.optimizer), params=list(parameters), _convert_="all"
        )
        return optimizer

    try:
        make([torch.nn.Parameter(torch.zeros(1))])
    except Exception as error:  # whatever the optimizer named in the settings raises
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(f"optimizer: {reason}") from error
    return make


def with_precision(config: RunConfig) -> RunConfig:
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


def make_trainer(config: RunConfig, folder: Path, checkpoints: RunCheckpoints) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers of a run.

    Raises:
        ConfigError: settings that Lightning does not take.
    """
    loggers: list[Logger] = []
    if config.logger.tensorboard:
        loggers.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    options = dataclasses.asdict(config.trainer)
    del options["threads"]
    try:
        return pl.Trainer(
            **options,
            callbacks=[
                GracefulStop(checkpoints),
                *report_callbacks(folder / "metrics.csv" if config.logger.csv else None),
                AttentionMonitor(
                    folder / "attention", config.callbacks.pictures, checkpoints.settled
                ),
                checkpoints,
            ],
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


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


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
