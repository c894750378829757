"""One training run, from settings to a model file."""

import dataclasses
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from asr_attn import __version__
from asr_attn.checkpoint import MODEL_FILE, TrainedModel, load_model, save_model
from asr_attn.config import CONFIG_FILE, load_settings, save_settings
from asr_attn.data.batches import pad_waveforms, read_utterance
from asr_attn.data.datamodule import SpeechData
from asr_attn.data.digits import make_digits
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import AudioError, ConfigError, InputError
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.models.asr import AsrModel
from asr_attn.recognizer import Recognizer
from asr_attn.settings import DataConfig, RunConfig, TrainerConfig
from asr_attn.text.normalizer import NormalizerConfig, normalize
from asr_attn.text.tokenizer import CharTokenizer
from asr_attn.training.callbacks import GracefulStop, MetricsFile, progress_callback
from asr_attn.training.checkpoints import (
    BEST_FOLDER,
    RESUME_FILE,
    RunCheckpoints,
    StopRequested,
    average_models,
)
from asr_attn.training.faults import check_data, ctc_warning
from asr_attn.training.pictures import AttentionPictures
from asr_attn.training.task import RecognizerTask

RESUME_MAY_CHANGE = ("max_epochs", "accelerator", "devices", "num_nodes", "strategy", "threads")
"""Settings of the trainer that may differ when a run is resumed."""
STATISTICS_SECONDS = 1800.0
"""Training audio that feature statistics are computed from, at most."""


@dataclass(frozen=True)
class RunResult:
    """What came of a run.

    Attributes:
        folder: of the run.
        model: model file; None when there is none yet.
        dev_wer: its word error rate on the validation set; None when not known.
        stopped: True when the run was asked to stop and can be resumed.
    """

    folder: Path
    model: Path | None
    dev_wer: float | None
    stopped: bool = False


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
    _quiet_lightning()
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
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
    settled = max([config.training.ctc_warmup, *(s.until for s in config.data.loading.curriculum)])
    checkpoints = RunCheckpoints(folder, model, config.callbacks, settled)
    trainer = make_trainer(config, folder, checkpoints, dev)
    if trainer.is_global_zero and not config.resume:
        folder.mkdir(parents=True, exist_ok=True)
        save_settings(folder / CONFIG_FILE, config)
    try:
        trainer.fit(
            task,
            datamodule=data,
            ckpt_path=folder / RESUME_FILE if config.resume else None,
            weights_only=True if config.resume else None,
        )
    except StopRequested:
        return RunResult(folder, _existing(folder / MODEL_FILE), None, stopped=True)
    dev_wer = None
    if trainer.is_global_zero:
        dev_wer = finish(folder, model, checkpoints, dev)
    return RunResult(folder, _existing(folder / MODEL_FILE), dev_wer)


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


def load_data(
    config: DataConfig, normalizer: NormalizerConfig
) -> tuple[list[Utterance], list[Utterance]]:
    """Training and validation utterances, with normalised texts."""
    if config.digits is not None:
        assert config.folder is not None
        make_digits(Path(config.folder), config.digits, _print_progress)
    found = []
    for name, path in (("train", config.train), ("dev", config.dev)):
        if path is None:
            raise ConfigError(
                f"data.{name} is not set; name a manifest, as in "
                f"data=manifests data.{name}={name}.jsonl"
            )
        if not Path(path).is_file():
            hint = f"; {config.hint}" if config.hint else "; check the path"
            raise InputError(f"data.{name}={path}: there is no such manifest{hint}")
        found.append(
            [replace(u, text=normalize(u.text, normalizer)) for u in read_manifest(Path(path))]
        )
    return found[0], found[1]


def _print_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\rmaking synthetic speech: {done}/{total}", end=end, file=sys.stderr, flush=True)


def new_model(
    config: RunConfig, train: Sequence[Utterance], statistics: bool = True
) -> TrainedModel:
    """A network with random weights, for the characters and the sound of the training set.

    Args:
        config: settings of the run.
        train: training utterances.
        statistics: compute feature statistics; not needed when weights are loaded afterwards.
    """
    # the space belongs in even if all texts are single words: joined examples need it
    tokenizer = CharTokenizer.train([" ", *(u.text for u in train)])
    network = AsrModel(config.features, config.model, len(tokenizer))
    if statistics:
        random = np.random.default_rng(config.seed)
        batches, seconds = [], 0.0
        for i in random.permutation(len(train)):
            if seconds > STATISTICS_SECONDS:
                break
            utterance = train[int(i)]
            batches.append(pad_waveforms([read_utterance(utterance, config.features.sample_rate)]))
            seconds += utterance.duration
        network.features.fit(batches)
    info = {"asr_attn": __version__, "data": config.data.name, "seed": config.seed}
    return TrainedModel(
        network, config.features, config.model, tokenizer, config.tokenizer.normalizer, info
    )


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


def finish(
    folder: Path, model: TrainedModel, checkpoints: RunCheckpoints, dev: Sequence[Utterance]
) -> float | None:
    """Average the best models and keep the average if it is better than the best of them.

    Returns:
        WER of the model file on the validation set; None when no model was kept.
    """
    if not checkpoints.best:
        return None
    files = [folder / BEST_FOLDER / kept.file for kept in checkpoints.best]
    best = load_model(folder / MODEL_FILE)
    wer = word_error_rate(best, dev)
    if len(files) > 1:
        average = load_model(folder / MODEL_FILE)
        average.network.load_state_dict(average_models(files))
        average_wer = word_error_rate(average, dev)
        if average_wer <= wer:
            wer = average_wer
            info = {**average.info, "averaged": len(files), "dev_wer": wer}
            save_model(folder / MODEL_FILE, replace(average, info=info))
    return wer


def word_error_rate(model: TrainedModel, utterances: Sequence[Utterance]) -> float:
    """Pooled WER of greedy search; texts must be normalised."""
    recognizer = Recognizer(model)
    texts = [""] * len(utterances)
    for i, result in recognizer.transcribe_utterances(utterances):
        if isinstance(result, AudioError):
            raise result
        texts[i] = result.text
    return count_errors([u.text for u in utterances], texts).rate


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
