"""One training run, from settings to a model file."""

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from asr_attn.checkpoint import MODEL_FILE, load_model
from asr_attn.config import CONFIG_FILE, load_settings, save_settings
from asr_attn.data.datamodule import SpeechData
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import AudioError, ConfigError, InputError
from asr_attn.evaluation.error_rates import ErrorCounts
from asr_attn.lm.loading import load_scorer
from asr_attn.settings import RunConfig
from asr_attn.training.callbacks import GracefulStop, report_callbacks
from asr_attn.training.checkpoints import (
    RESUME_FILE,
    RunCheckpoints,
    StopRequested,
    check_resume_file,
)
from asr_attn.training.faults import check_data, check_noise, notes_on_data
from asr_attn.training.finish import average_best, errors_on
from asr_attn.training.health import AttentionMonitor
from asr_attn.training.preparation import (
    load_data,
    load_manifest,
    new_model,
)
from asr_attn.training.provenance import save_environment
from asr_attn.training.splitting import is_out_of_memory
from asr_attn.training.starting import (
    started_model,
    with_encoder_of_start,
    with_settings_of_start,
)
from asr_attn.training.task import RecognizerTask
from asr_attn.training.trainer import (
    C,
    failures_explained,
    make_trainer,
    optimizer_maker,
    quiet_lightning,
    with_precision,
)
from asr_attn.training.unreadable import UnreadableAudio

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
        changed: keys that were set for this run. With ``resume`` these alone are taken from
            ``config``, with ``start_from`` these alone of ``model``, or of ``model.encoder``.

    Raises:
        InputError: settings or data that cannot be trained on.
    """
    folder = Path(config.resume or config.run_dir)
    resuming = config.resume is not None
    if resuming:
        config = resumed_settings(config, changed, load_settings)
    else:
        config = with_settings_of_start(with_precision(config), changed)
    quiet_lightning()
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    settled = max([config.training.ctc_warmup, *(s.until for s in config.data.loading.curriculum)])
    checkpoints = RunCheckpoints(folder, config.callbacks, settled)
    callbacks = [
        GracefulStop(checkpoints),
        UnreadableAudio(),
        *report_callbacks(folder / "metrics.csv" if config.logger.csv else None),
        AttentionMonitor(folder / "attention", config.callbacks.pictures, checkpoints.settled),
        checkpoints,
    ]
    trainer = make_trainer(config.trainer, config.logger, folder, callbacks)
    if trainer.is_global_zero and not resuming:
        refuse_used_folder(folder)
    task, data = set_up(config)
    check_search(config.search, task)
    if trainer.is_global_zero:
        make_folder(folder)
        remove_unfinished(folder)
        save_settings(folder / CONFIG_FILE, replace(config, resume=None))
        names = (config.data.train, *config.data.also_train, config.data.dev, config.data.test)
        save_environment(folder, [Path(name) for name in names if name is not None])
    result = RunResult(folder, main_process=trainer.is_global_zero)
    try:
        with failures_explained(trainer, folder):
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
    with failures_explained(trainer, folder):
        # the task itself has been moved to the CPU
        device = trainer.strategy.root_device
        dev_wer = average_best(folder, checkpoints, data.readable_dev, device)
    result = replace(result, model=folder / MODEL_FILE, dev_wer=dev_wer)
    if config.data.test is None:
        return result
    test = load_manifest("test", config.data, config.tokenizer.normalizer)
    try:
        errors = errors_on(load_model(folder, device), test, config.search)
    except (AudioError, RuntimeError, MemoryError) as error:
        if not isinstance(error, AudioError) and not is_out_of_memory(error):
            raise
        reason = str(error) if isinstance(error, AudioError) else "there is too little memory"
        print(f"note: the test set is not measured: {reason}", file=sys.stderr)
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


def remove_unfinished(folder: Path) -> None:
    """Remove files that a run did not come to finish when it was killed."""
    for path in folder.rglob(".*.partial"):
        path.unlink(missing_ok=True)


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
    check_data(train, dev, config.data, config.trainer.devices * config.trainer.num_nodes, test)
    check_noise(config.augmentation, len(train))
    torch.manual_seed(config.seed)
    new = config.resume is None
    if new and config.start_from is not None and config.start_with == "model":
        model = started_model(config, train)
    else:
        model = new_model(config, train, statistics=new and config.start_from is None)
        if new and config.start_from is not None:
            model = with_encoder_of_start(model, config)
    if not all(buffer.isfinite().all() for buffer in model.network.features.buffers()):
        raise InputError(
            f"{config.data.train}: the sound of some recordings is far beyond full scale, so that "
            "its mean over all of them is not finite; find them by asr-attn data check"
        )
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
        optimizer_maker(config.optimizer),
        config.seed,
        config.trainer.max_epochs,
        config.tokenizer.sampling,
    )
    task.skipped.limit = config.callbacks.skips_in_a_row
    task.network.train()
    return task, data


def check_search(config: SearchConfig, task: RecognizerTask) -> None:
    """Make sure that the search can be done with, before hours of training go by.

    Raises:
        InputError: its language model cannot be used.
    """
    if config.lm is not None:
        load_scorer(Path(config.lm), task.model.tokenizer)


def resumed_settings(config: C, changed: Collection[str], load: Callable[[Path], C]) -> C:
    """Settings of the run to go on with; only how it is computed may be changed.

    A run that was killed before it saved anything begins anew: then ``resume`` is None.

    Args:
        config: settings that name the run, and what is to be changed.
        changed: keys whose values are to be taken from ``config``.
        load: reads the settings of the run.

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
    before = load(folder / CONFIG_FILE)
    names = [key.removeprefix("trainer.") for key in changed if key != "resume"]
    try:
        trainer = replace(before.trainer, **{name: getattr(config.trainer, name) for name in names})
    except ValueError as error:  # what is changed does not go with what is not
        raise ConfigError(f"resume={folder}: {error}") from error
    if not (folder / RESUME_FILE).exists():
        print(f"note: resume={folder}: nothing was saved yet, so it begins anew", file=sys.stderr)
        return replace(before, resume=None, run_dir=config.resume, trainer=trainer)
    check_resume_file(folder / RESUME_FILE, trainer.max_epochs)
    return replace(before, resume=config.resume, trainer=trainer)


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
