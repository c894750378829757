"""One training run, from settings to a model file."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from asr_attn.audio.noise import noise_files
from asr_attn.checkpoint import MODEL_FILE, load_model, save_model
from asr_attn.config import load_settings
from asr_attn.data.datamodule import SpeechData, fingerprint_of
from asr_attn.data.manifest import Utterance
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import AudioError, InputError, is_out_of_memory
from asr_attn.evaluation.error_rates import ErrorCounts
from asr_attn.lm.loading import load_scorer
from asr_attn.settings import DataConfig, RunConfig
from asr_attn.text.scripts import lacks_spaces
from asr_attn.training.callbacks import GracefulStop, report_callbacks
from asr_attn.training.checkpoints import RESUME_FILE, RunCheckpoints, StopRequested
from asr_attn.training.faults import check_data, check_noise, notes_on_data
from asr_attn.training.finish import average_best, errors_on
from asr_attn.training.health import AttentionMonitor
from asr_attn.training.loggers import begin_runs
from asr_attn.training.preparation import learn_statistics, load_data, load_manifest, new_model
from asr_attn.training.processes import note
from asr_attn.training.resuming import check_saved_state, resumed_settings
from asr_attn.training.run_folder import (
    ATTENTION_FOLDER,
    METRICS_FILE,
    own_folder,
    record_start,
)
from asr_attn.training.starting import (
    started_model,
    with_encoder_of_start,
    with_settings_of_start,
)
from asr_attn.training.task import RecognizerTask
from asr_attn.training.trainer import (
    failures_explained,
    make_trainer,
    optimizer_maker,
    with_precision,
)
from asr_attn.training.unreadable import UnreadableAudio


@dataclass(frozen=True)
class RunResult:
    """What came of a run.

    Attributes:
        folder: of the run.
        model: model file; None when there is none yet.
        dev_wer: its word error rate on the validation set; None when not known.
        dev_cer: its character error rate there.
        monitor: the one of them that models were ranked by, "wer" or "cer".
        test: its wrong words on the test set; None without one.
        test_characters: its wrong characters there.
        stopped: True when the run was asked to stop and can be resumed.
        main_process: False in the further processes of a distributed run.
    """

    folder: Path
    model: Path | None = None
    dev_wer: float | None = None
    dev_cer: float | None = None
    monitor: str = "wer"
    test: ErrorCounts | None = None
    test_characters: ErrorCounts | None = None
    stopped: bool = False
    main_process: bool = True


def fit(
    config: RunConfig,
    changed: Collection[str] = (),
    renamed: Callable[[Path], None] | None = None,
) -> RunResult:
    """Train.

    Args:
        config: settings; with ``resume`` set, those of the run it names are used instead.
        changed: keys that were set for this run. With ``resume`` these alone are taken from
            ``config``, with ``start_from`` these alone of ``model``, or of ``model.encoder``.
        renamed: for a ``run_dir`` that a clock named: see ``run_folder.new_run_folder``.

    Raises:
        InputError: settings or data that cannot be trained on.
    """
    if config.resume is not None:
        config = resumed_settings(config, changed, load_settings)
    else:
        config = with_settings_of_start(with_precision(config), changed)
    with own_folder(config, renamed) as folder:
        return _fit_in(folder, check_saved_state(config))


def _fit_in(folder: Path, config: RunConfig) -> RunResult:
    """Train in a folder that this run holds."""
    settled = max([config.training.ctc_warmup, *(s.until for s in config.data.loading.curriculum)])
    checkpoints = RunCheckpoints(folder, config.callbacks, settled)
    callbacks = [
        GracefulStop(checkpoints),
        UnreadableAudio(),
        *report_callbacks(folder / METRICS_FILE if config.logger.csv else None),
        AttentionMonitor(folder / ATTENTION_FOLDER, config.callbacks.pictures, checkpoints.settled),
        checkpoints,
    ]
    trainer = make_trainer(config.trainer, config.logger, folder, callbacks)
    task, data = set_up(config)
    check_search(config.search, task)
    checkpoints.monitor = monitored(config, data.dev)
    begin_runs(trainer)
    if trainer.is_global_zero:
        record_start(folder, config, _manifests(config.data), _fingerprints(config, data))
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
    if not trainer.is_global_zero:
        return result
    with failures_explained(trainer, folder):
        if not checkpoints.best:
            save_model(folder / MODEL_FILE, task.model)
            return replace(result, model=folder / MODEL_FILE)
        # the task itself has been moved to the CPU
        device = trainer.strategy.root_device
        rates = average_best(folder, checkpoints, data.readable_dev, device)
    result = replace(
        result,
        model=folder / MODEL_FILE,
        dev_wer=rates["wer"],
        dev_cer=rates["cer"],
        monitor=checkpoints.monitor,
    )
    if config.data.test is None:
        return result
    test = load_manifest("test", config.data, config.tokenizer.normalizer)
    try:
        words, characters = errors_on(load_model(folder, device), test, config.search)
    except (AudioError, RuntimeError, MemoryError) as error:
        if not isinstance(error, AudioError) and not is_out_of_memory(error):
            raise
        reason = str(error) if isinstance(error, AudioError) else "there is too little memory"
        note(f"the test set is not measured: {reason}")
        return result
    return replace(result, test=words, test_characters=characters)


def _manifests(config: DataConfig) -> dict[str, Path]:
    """The manifests of a run, by their settings."""
    named = {"data.train": config.train, "data.dev": config.dev, "data.test": config.test}
    further = {f"data.also_train.{i}": name for i, name in enumerate(config.also_train)}
    return {key: Path(name) for key, name in (named | further).items() if name is not None}


def _fingerprints(config: RunConfig, data: SpeechData) -> dict[str, str]:
    """Digests of what a run is trained and measured on, wherever it lies."""
    found = {"data.train": fingerprint_of(data.train), "data.dev": fingerprint_of(data.dev)}
    if config.data.test is not None:
        test = load_manifest("test", config.data, config.tokenizer.normalizer)
        found["data.test"] = fingerprint_of(test)
    folder = config.augmentation.noise_folder
    if folder is not None and config.augmentation.noise_probability:
        rows = [(path.relative_to(folder).as_posix(), s) for path, s in noise_files(folder)]
        found["augmentation.noise_folder"] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


def set_up(config: RunConfig) -> tuple[RecognizerTask, SpeechData]:
    """What is trained, and on what."""
    train, dev, test = load_data(config.data, config.tokenizer.normalizer)
    check_data(train, dev, config.data, config.trainer.devices * config.trainer.num_nodes, test)
    check_noise(config.augmentation, len(train))
    data = SpeechData(
        train,
        dev,
        config.features.sample_rate,
        config.data.loading,
        config.augmentation,
        config.seed,
        config.trainer.max_epochs,
    )
    torch.manual_seed(config.seed)
    new = config.resume is None
    if new and config.start_from is not None and config.start_with == "model":
        model = started_model(config, train)
    else:
        model = new_model(config, train)
        if new and config.start_from is not None:
            model = with_encoder_of_start(model, config)
        elif new:
            data.lose("train", learn_statistics(model, train, config.seed))
    if not all(buffer.isfinite().all() for buffer in model.network.features.buffers()):
        raise InputError(
            f"{config.data.train}: the sound of some recordings is far beyond full scale, so that "
            "its mean over all of them is not finite; find them by asr-attn data check"
        )
    for sentence in notes_on_data(train, [*dev, *test], model, config.augmentation):
        note(sentence)
    if config.data.loading.cut_at_pauses and not config.resume:
        located = data.cut_at_pauses()
        note(f"words located by pauses: {located} of {len(train)} utterances")
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


def monitored(config: RunConfig, dev: Sequence[Utterance]) -> str:
    """The error rate that models are ranked by, "wer" or "cer"; says so where it chose the latter.

    A run that goes on keeps its own, which is part of its state.
    """
    if config.callbacks.monitor != "auto":
        return config.callbacks.monitor
    if not lacks_spaces(utterance.text for utterance in dev):
        return "wer"
    if config.resume is None:
        note(
            "the validation texts have no spaces between words, so models are ranked by CER "
            "(callbacks.monitor=wer ranks them by WER)"
        )
    return "cer"


def check_search(config: SearchConfig, task: RecognizerTask) -> None:
    """Make sure that the search can be done with, before hours of training go by.

    Raises:
        InputError: its language model cannot be used.
    """
    if config.lm is not None:
        load_scorer(Path(config.lm), task.model.tokenizer)


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
